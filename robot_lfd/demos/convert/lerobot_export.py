"""Writes LeRobotDataset v3: parquet files of frames, parquet of episodes and tasks, `meta/info.json`.

Pictures are PNG inside the parquet files, which LeRobot reads as it reads video, and which loses nothing; or, where it
is asked for, video, which is far smaller, and whose loss is measured and stated.
Needs pyarrow: pip install 'robot-lfd[lerobot]'.

Source: `src/lerobot/datasets/` of https://github.com/huggingface/lerobot , codebase version v3.0.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from robot_lfd.demos.convert.arrow import pa, pq
from robot_lfd.demos.convert.lerobot_video import VIDEO_PATH, VideoWriter, video_feature
from robot_lfd.demos.convert.rest import write_rest, writing_rest
from robot_lfd.demos.convert.staging import new_folder
from robot_lfd.demos.episode import Episode
from robot_lfd.demos.spec import DatasetSpec
from robot_lfd.demos.store import DemoStore
from robot_lfd.errors import LfdError

FILE_BYTES = 100 << 20
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
COUNTERS = ("frame_index", "episode_index", "index", "task_index")
PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def state_parts(spec: DatasetSpec) -> list[tuple[str, int]]:
    """Returns the low-dim observations, in the order in which `observation.state` holds them, and their sizes."""
    low = sorted(p for p in spec.features if p.startswith("obs/"))
    return [(p.removeprefix("obs/"), int(np.prod(spec.features[p]["shape"]))) for p in low]


def export_lerobot(
    store: DemoStore, ids: list[str], out: Path, *, tick: Callable[[], None] = lambda: None, video: str = "no"
) -> dict[str, Any]:
    """Writes episodes as a LeRobotDataset: `observation.state` is all low-dim observations, in the names' order.

    Args:
        video: "h264" or "av1" for pictures as video, "no" for pictures that lose nothing.
    """
    if store.spec.control_hz != round(store.spec.control_hz):
        raise LfdError(f"LeRobot wants whole frames per second, this dataset has {store.spec.control_hz:g}")
    features = _features(store.spec, video)
    rows: list[dict[str, Any]] = []
    with new_folder(out) as staged, writing_rest(staged, store.spec) as rest:
        files = _Files(staged, _schema(features))
        movies, start = VideoWriter(staged, store.spec.control_hz, video), 0
        for number, episode_id in enumerate(ids):
            episode = store[episode_id]
            frames = _frames(store.spec, episode, number, start)
            place = files.write(frames, features)
            stats = {name: _stats(column) for name, column in frames.items()}
            filmed = [n for n, f in features.items() if f["dtype"] == "video"]
            videos = {k: v for n in filmed for k, v in movies.write(n, number, frames[n]).items()}
            row = {"number": number, "length": len(episode), "start": start, "stats": stats, "videos": videos}
            rows.append({**row, **place})
            start += len(episode)
            write_rest(rest, number, episode_id, episode)
            tick()
        files.close()
        rest.attrs["video_loss"] = json.dumps(movies.loss())
        _write_meta(staged, store.spec, features, rows, start)
    return {"demos": len(ids), "steps": start, **({"video_loss": movies.loss()} if video != "no" else {})}


def _features(spec: DatasetSpec, video: str) -> dict[str, dict[str, Any]]:
    names = [f"{key}.{i}" if size > 1 else key for key, size in state_parts(spec) for i in range(size)]
    action = spec.features["action"]
    size = int(np.prod(action["shape"]))
    found: dict[str, dict[str, Any]] = {
        "action": {"dtype": action["dtype"], "shape": [size], "names": action.get("names")},
    }
    if names:
        found["observation.state"] = {"dtype": "float32", "shape": [len(names)], "names": names}
    for camera in spec.cameras:
        shape = spec.features[f"images/{camera}"]["shape"]
        axes = ["height", "width", "channel"]
        found[f"observation.images.{camera}"] = (
            {"dtype": "image", "shape": shape, "names": axes}
            if video == "no"
            else video_feature(shape, video, int(spec.control_hz))
        )
    single = {"shape": [1], "names": None}
    found |= {"next.reward": {"dtype": "float32", **single}, "next.done": {"dtype": "bool", **single}}
    found |= {"next.success": {"dtype": "bool", **single}, "timestamp": {"dtype": "float32", **single}}
    return found | {name: {"dtype": "int64", **single} for name in COUNTERS}


def _schema(features: dict[str, dict[str, Any]]) -> pa.Schema:
    return pa.schema([(name, _arrow_type(f)) for name, f in features.items() if f["dtype"] != "video"])


def _arrow_type(feature: dict[str, Any]) -> pa.DataType:
    if feature["dtype"] == "image":
        return PICTURE
    kind = pa.from_numpy_dtype(np.dtype(feature["dtype"]))
    return kind if feature["shape"] == [1] else pa.list_(kind, feature["shape"][0])


def _frames(spec: DatasetSpec, episode: Episode, number: int, start: int) -> dict[str, np.ndarray]:
    """Returns the columns of an episode; T rows, as LeRobot has no observation after the last action."""
    T = len(episode)
    low = [episode.obs[key][:-1].reshape(T, -1) for key, _ in state_parts(spec)]
    last = np.arange(T) == T - 1
    columns = {"action": episode.action.reshape(T, -1)}
    if low:
        columns["observation.state"] = np.concatenate(low, 1)
    columns |= {f"observation.images.{c}": episode.obs[f"images/{c}"][:-1] for c in spec.cameras}
    columns |= {"next.reward": episode.reward[:, None], "next.done": last[:, None]}
    columns |= {"next.success": (last & episode.success)[:, None]}
    columns["timestamp"] = (np.arange(T) / spec.control_hz).astype(np.float32)[:, None]
    counted = (np.arange(T), np.full(T, number), start + np.arange(T), np.zeros(T))
    return columns | {name: c.astype(np.int64)[:, None] for name, c in zip(COUNTERS, counted, strict=True)}


class _Files:
    """Parquet files of about 100 MB, one row group an episode."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self._folder, self._schema = folder, schema
        self._writer: pq.ParquetWriter | None = None
        self._number, self._bytes = -1, 0

    def write(self, frames: dict[str, np.ndarray], features: dict[str, dict[str, Any]]) -> dict[str, int]:
        """Writes an episode and returns where it is."""
        if self._writer is None or self._bytes > FILE_BYTES:
            self.close()
            self._number, self._bytes = self._number + 1, 0
            path = self._folder / DATA_PATH.format(**self._place())
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(path, self._schema)
        arrays = [_column(frames[name], features[name]) for name in self._schema.names]
        table = pa.Table.from_arrays(arrays, schema=self._schema)
        self._writer.write_table(table)
        self._bytes += table.nbytes
        return self._place()

    def _place(self) -> dict[str, int]:
        return {"chunk_index": self._number // 1000, "file_index": self._number % 1000}

    def close(self) -> None:
        """Finishes the file that is being written."""
        if self._writer is not None:
            self._writer.close()


def _column(rows: np.ndarray, feature: dict[str, Any]) -> pa.Array:
    if feature["dtype"] == "image":
        cells = [{"bytes": _png(p), "path": f"frame-{k:06d}.png"} for k, p in enumerate(rows)]
        return pa.array(cells, PICTURE)
    flat = pa.array(np.ascontiguousarray(rows).ravel())
    return flat if feature["shape"] == [1] else pa.FixedSizeListArray.from_arrays(flat, feature["shape"][0])


def _png(picture: np.ndarray) -> bytes:
    ok, data = cv2.imencode(".png", picture[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert ok
    return data.tobytes()


def _stats(rows: np.ndarray) -> dict[str, list]:
    """Returns LeRobot's statistics of a column; of pictures per channel, from 0 to 1, shaped (3, 1, 1)."""
    pictures = rows.ndim == 4
    values = (rows[:: max(1, len(rows) // 8)].reshape(-1, 3) / 255.0) if pictures else rows.astype(np.float64)
    found = {"min": values.min(0), "max": values.max(0), "mean": values.mean(0), "std": values.std(0)}
    found |= {name: np.quantile(values, q, axis=0) for name, q in QUANTILES.items()}
    shaped = {k: (v[:, None, None] if pictures else v).tolist() for k, v in found.items()}
    return {**shaped, "count": [len(rows)]}


def _write_meta(
    folder: Path, spec: DatasetSpec, features: dict[str, Any], rows: list[dict[str, Any]], total: int
) -> None:
    meta = folder / "meta"
    (meta / "episodes" / "chunk-000").mkdir(parents=True)
    info = {
        "codebase_version": "v3.0",
        "robot_type": str(spec.env_kwargs.get("robots", "panda")).lower(),
        "total_episodes": len(rows),
        "total_frames": total,
        "total_tasks": 1,
        "chunks_size": 1000,
        "data_files_size_in_mb": FILE_BYTES >> 20,
        "video_files_size_in_mb": 200,
        "fps": int(spec.control_hz),
        "splits": {"train": f"0:{len(rows)}"},
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH if any(f["dtype"] == "video" for f in features.values()) else None,
        "features": features,
    }
    (meta / "info.json").write_text(json.dumps(info, indent=4))
    (meta / "stats.json").write_text(json.dumps(_all_stats(rows, features), indent=4))
    pq.write_table(_episode_table(rows, spec.env_id), meta / "episodes" / "chunk-000" / "file-000.parquet")
    pq.write_table(_task_table(spec.env_id), meta / "tasks.parquet")


def _all_stats(rows: list[dict[str, Any]], features: dict[str, Any]) -> dict[str, Any]:
    """Returns the statistics over all episodes: exact but for quantiles, which are weighted means as in LeRobot."""
    return {name: _merged([row["stats"][name] for row in rows]) for name in features}


def _merged(parts: list[dict[str, list]]) -> dict[str, list]:
    counts = np.array([p["count"][0] for p in parts], np.float64)
    stacked = {k: np.array([p[k] for p in parts], np.float64) for k in parts[0] if k != "count"}
    weights = (counts / counts.sum()).reshape(-1, *[1] * (stacked["mean"].ndim - 1))
    mean = (weights * stacked["mean"]).sum(0)
    variance = (weights * (stacked["std"] ** 2 + (stacked["mean"] - mean) ** 2)).sum(0)
    found = {"min": stacked["min"].min(0), "max": stacked["max"].max(0), "mean": mean, "std": np.sqrt(variance)}
    found |= {name: (weights * stacked[name]).sum(0) for name in QUANTILES}
    return {**{k: v.tolist() for k, v in found.items()}, "count": [int(counts.sum())]}


def _episode_table(rows: list[dict[str, Any]], task: str) -> pa.Table:
    columns: dict[str, list] = {
        "episode_index": [r["number"] for r in rows],
        "tasks": [[task] for _ in rows],
        "length": [r["length"] for r in rows],
        "data/chunk_index": [r["chunk_index"] for r in rows],
        "data/file_index": [r["file_index"] for r in rows],
        "dataset_from_index": [r["start"] for r in rows],
        "dataset_to_index": [r["start"] + r["length"] for r in rows],
        "meta/episodes/chunk_index": [0] * len(rows),
        "meta/episodes/file_index": [0] * len(rows),
    }
    columns |= {name: [r["videos"][name] for r in rows] for name in rows[0]["videos"]}
    for name, stats in rows[0]["stats"].items():
        columns |= {f"stats/{name}/{k}": [r["stats"][name][k] for r in rows] for k in stats}
    return pa.table(columns)


def _task_table(task: str) -> pa.Table:
    """Returns the tasks as pandas would write them, with the tasks as index: so LeRobot looks them up."""
    index = "__index_level_0__"
    text = {"pandas_type": "unicode", "numpy_type": "object"}
    described = {
        "index_columns": [index],
        "column_indexes": [{"name": None, "field_name": None, **text, "metadata": {"encoding": "UTF-8"}}],
        "columns": [
            {"name": n, "field_name": n, "pandas_type": "int64", "numpy_type": "int64", "metadata": None}
            for n in ("task_index",)
        ]
        + [{"name": None, "field_name": index, **text, "metadata": None}],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.2.0",
    }
    table = pa.table({"task_index": pa.array([0], pa.int64()), index: pa.array([task])})
    return table.replace_schema_metadata({"pandas": json.dumps(described)})
