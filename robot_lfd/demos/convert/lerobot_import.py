"""Reads LeRobotDataset v3. Video is lossy: the report says which cameras come from it, and what was lost if known.

Needs pyarrow: pip install 'robot-lfd[lerobot]'.

Source: `src/lerobot/datasets/` of https://github.com/huggingface/lerobot , codebase version v3.0.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console

from robot_lfd.demos.convert.arrow import opened, pa
from robot_lfd.demos.convert.lerobot_export import state_parts
from robot_lfd.demos.convert.lerobot_video import VideoReader, describe_loss
from robot_lfd.demos.convert.options import PLAIN, ImportOptions
from robot_lfd.demos.convert.rest import Rest, bare_episode, reading_rest, store_all
from robot_lfd.demos.episode import Episode
from robot_lfd.demos.spec import DatasetSpec
from robot_lfd.errors import LfdError

PICTURES = ("image", "video")


def import_lerobot(source: Path, out: Path, options: ImportOptions = PLAIN) -> dict[str, Any]:
    """Adds the episodes of a LeRobotDataset to the dataset `out`; the report names the cameras that were video.

    Raises:
        LfdError: no LeRobotDataset v3, a damaged one, or nothing said about its environment.
    """
    try:
        info = _read_info(source)
        hz = float(info["fps"]) if options.control_hz is None else options.control_hz
        videos = VideoReader(source, info, float(info["fps"]))
        with reading_rest(source) as rest:

            def read() -> Iterator[tuple[str | None, Episode]]:
                return _episodes(source, info, rest, hz, options.max_demos, videos)

            lost = _video_loss(videos, rest)
            words = [f"{name} comes from video, which is lossy: {describe_loss(loss)}" for name, loss in lost.items()]
            report = store_all(source, out, read, rest, options.env_id, hz, options)
    except LfdError:
        raise
    except Exception as error:  # whatever pyarrow makes of damaged files
        reason = str(error).split("\n")[0][:200]
        raise LfdError(f"'{source}' cannot be read as a LeRobotDataset: {type(error).__name__}: {reason}") from error
    for line in words:
        Console().print(line, markup=False)
    return {**report, "video_loss": lost}


def _video_loss(videos: VideoReader, rest: Rest | None) -> dict[str, dict[str, Any]]:
    known = rest.said("video_loss") if rest is not None else {}
    codecs = {_camera(name): codec for name, codec in videos.codecs.items()}
    return {camera: known.get(camera, {"codec": codec}) for camera, codec in codecs.items()}


def _camera(feature: str) -> str:
    return feature.removeprefix("observation.images.").removeprefix("observation.")


def _read_info(source: Path) -> dict[str, Any]:
    info = json.loads((source / "meta" / "info.json").read_bytes())
    if info.get("codebase_version") != "v3.0":
        raise LfdError(f"'{source}' is a LeRobotDataset of version {info.get('codebase_version')}, expected v3.0")
    if "action" not in info["features"]:
        raise LfdError(f"'{source}' has no feature 'action'")
    return info


def _episodes(
    source: Path,
    info: dict[str, Any],
    rest: Rest | None,
    control_hz: float,
    max_demos: int | None,
    videos: VideoReader,
) -> Iterator[tuple[str | None, Episode]]:
    wanted = ["action", "next.reward", "next.success", "next.done", "episode_index"]
    seen = [n for n, f in info["features"].items() if n.startswith("observation.") and f["dtype"] != "video"]
    waiting: dict[int, list[dict[str, np.ndarray]]] = {}
    limit = info["total_episodes"] if max_demos is None else min(max_demos, info["total_episodes"])
    number = 0
    for path in sorted((source / "data").rglob("*.parquet")):
        file = opened(path)
        columns = [n for n in (*wanted, *seen) if n in file.schema_arrow.names]
        for group in range(file.num_row_groups):
            for index, rows in _by_episode(file.read_row_group(group, columns), info):
                while number < index:
                    if number == limit:
                        return
                    yield _episode(number, waiting.pop(number), info, rest, control_hz, source, videos)
                    number += 1
                waiting.setdefault(index, []).append(rows)
    for last in sorted(waiting):
        if last < limit:
            yield _episode(last, waiting[last], info, rest, control_hz, source, videos)


def _by_episode(table: pa.Table, info: dict[str, Any]) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    owners = table["episode_index"].to_numpy()
    for index in np.unique(owners):
        part = table.filter(pa.array(owners == index))
        yield int(index), {n: _rows(part[n], info["features"].get(n, {})) for n in part.column_names}


def _rows(column: pa.ChunkedArray, feature: dict[str, Any]) -> np.ndarray:
    if feature.get("dtype") == "image":
        return np.stack([_picture(cell["bytes"], tuple(feature["shape"])) for cell in column.to_pylist()])
    if pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type):
        rows = np.array(column.to_pylist(), np.dtype(feature["dtype"]))
        return rows.reshape(len(rows), -1)
    return column.to_numpy()


def _picture(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR":
        raise LfdError("a picture is no PNG, which is what LeRobot writes")
    width, height = struct.unpack(">II", data[16:24])
    if (height, width) not in (shape[:2], shape[1:]):
        raise LfdError(f"a picture has {width}x{height} pixels, expected shape {shape}")
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise LfdError("a picture is damaged")
    if tuple(picture.shape) not in (shape, (*shape[1:], shape[0])):
        raise LfdError(f"a picture has shape {picture.shape}, expected {shape}")
    return np.ascontiguousarray(picture[:, :, ::-1])


def _episode(
    number: int,
    parts: list[dict[str, np.ndarray]],
    info: dict[str, Any],
    rest: Rest | None,
    control_hz: float,
    source: Path,
    videos: VideoReader,
) -> tuple[str | None, Episode]:
    rows = {n: np.concatenate([p[n] for p in parts]) for n in parts[0]}
    rows |= videos.pictures(number, len(rows["action"]))
    action, reward = rows["action"], rows.get("next.reward")
    pictures = {
        f"images/{_camera(n)}": a
        for n, a in rows.items()
        if n.startswith("observation.") and info["features"][n]["dtype"] in PICTURES
    }
    if rest is not None and reward is not None:
        shape = tuple(rest.spec.features["action"]["shape"])
        low = _split_state(rows.get("observation.state"), rest.spec)
        lossy = {"video": videos.codecs} if videos.codecs else {}
        return rest.complete(number, {**low, **pictures}, action.reshape(len(action), *shape), reward, **lossy)
    low = {
        n.removeprefix("observation."): a.reshape(len(a), -1)
        for n, a in rows.items()
        if n.startswith("observation.") and info["features"][n]["dtype"] not in PICTURES
    }
    success = bool(rows["next.success"].any()) if "next.success" in rows else None
    meta = {"device": "lerobot", "source": {"file": source.name, "demo": number}}
    single = action.reshape(len(action), -1) if action.dtype.kind == "f" else action
    return None, bare_episode({**low, **pictures}, single, reward, control_hz, success=success, meta=meta)


def _split_state(state: np.ndarray | None, spec: DatasetSpec) -> dict[str, np.ndarray]:
    found, at = {}, 0
    for key, size in state_parts(spec):
        assert state is not None
        found[key] = state[:, at : at + size].reshape(len(state), *spec.features[f"obs/{key}"]["shape"])
        at += size
    return found
