"""diffusion_policy's ReplayBuffer, both ways: a zarr v2 group with `data/<key>` (N, ...) and `meta/episode_ends` (E,).

Source: `diffusion_policy/common/replay_buffer.py` of https://github.com/real-stanford/diffusion_policy
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from robot_lfd.demos.convert.options import PLAIN, ImportOptions
from robot_lfd.demos.convert.rest import (
    Rest,
    bare_episode,
    reading_rest,
    store_all,
    write_rest,
    writing_rest,
)
from robot_lfd.demos.convert.robomimic_export import mimic_key
from robot_lfd.demos.convert.staging import new_folder
from robot_lfd.demos.episode import Episode
from robot_lfd.demos.store import DemoStore
from robot_lfd.errors import LfdError

CHUNK_BYTES = 2_000_000
MAX_RATIO, MAX_EMPTY_BYTES = 20_000, 64 << 20
CODECS = ("blosc", "zstd", "lz4", "gzip", "zlib", "bz2", "lzma")


def export_diffusion_policy(
    store: DemoStore, ids: list[str], out: Path, *, tick: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Writes episodes as a ReplayBuffer, in one pass, one episode in memory at a time."""
    keys = {p.removeprefix("obs/"): f for p, f in store.spec.features.items() if p.startswith(("obs/", "images/"))}
    ends = np.cumsum([store.info(i).length for i in ids], dtype=np.int64)
    with new_folder(out) as staged, writing_rest(staged, store.spec) as rest:
        root = zarr.open_group(staged, mode="a", zarr_format=2)
        data, meta = root.create_group("data"), root.create_group("meta")
        meta.create_array("episode_ends", data=ends, compressors=None)
        arrays = {mimic_key(k): _new_array(data, mimic_key(k), f, int(ends[-1])) for k, f in keys.items()}
        for name in ("action", "reward"):
            arrays[name] = _new_array(data, name, store.spec.features[name], int(ends[-1]))
        pending: dict[str, list[np.ndarray]] = {name: [] for name in arrays}
        written = dict.fromkeys(arrays, 0)
        for number, episode_id in enumerate(ids):
            episode = store[episode_id]
            rows = {mimic_key(k): seen[:-1] for k, seen in episode.obs.items()}
            for name, part in {**rows, "action": episode.action, "reward": episode.reward}.items():
                pending[name].append(part)
                written[name] = _flush(arrays[name], pending[name], written[name], last=number == len(ids) - 1)
            write_rest(rest, number, episode_id, episode)
            tick()
    return {"demos": len(ids), "steps": int(ends[-1])}


def _new_array(group: zarr.Group, name: str, feature: dict[str, Any], rows: int) -> zarr.Array:
    shape = tuple(feature["shape"])
    row_bytes = math.prod(shape) * np.dtype(feature["dtype"]).itemsize
    chunk = max(1, min(rows, math.ceil(CHUNK_BYTES / row_bytes)))
    return group.create_array(name, shape=(rows, *shape), chunks=(chunk, *shape), dtype=feature["dtype"])


def _flush(array: zarr.Array, pending: list[np.ndarray], written: int, *, last: bool) -> int:
    """Writes whole chunks of what waits; zarr would read and rewrite half ones."""
    waiting, chunk = sum(map(len, pending)), array.chunks[0]
    ready = waiting if last else waiting - (written + waiting) % chunk
    if ready <= 0:
        return written
    rows = np.concatenate(pending)
    array[written : written + ready] = rows[:ready]
    pending[:] = [rows[ready:]]
    return written + ready


def import_diffusion_policy(source: Path, out: Path, options: ImportOptions = PLAIN) -> dict[str, Any]:
    """Adds the episodes of a ReplayBuffer to the dataset `out`.

    Raises:
        LfdError: no ReplayBuffer, a damaged one, or nothing said about its environment.
    """
    hz = 20.0 if options.control_hz is None else options.control_hz
    try:
        root = zarr.open_group(source, mode="r", zarr_format=2)
        data = {name: _checked(array, f"data/{name}", source) for name, array in _arrays(root, "data")}
        ends = _checked(dict(_arrays(root, "meta"))["episode_ends"], "meta/episode_ends", source)
        with reading_rest(source) as rest:
            ends = _check_ends(np.asarray(ends[...]), data, source)[: options.max_demos]
            read = partial(_episodes, data, ends, rest, hz, source)
            return store_all(source, out, read, rest, options.env_id, hz, options)
    except LfdError:
        raise
    except Exception as error:  # whatever zarr and its codecs make of damaged files
        reason = str(error).split("\n")[0]
        raise LfdError(f"'{source}' cannot be read as a ReplayBuffer: {type(error).__name__}: {reason}") from error


def _arrays(root: zarr.Group, name: str) -> Iterator[tuple[str, zarr.Array]]:
    group = root.get(name)
    if not isinstance(group, zarr.Group):
        raise LfdError(f"'{root.store_path}' is no ReplayBuffer: it has no group '{name}'")
    yield from group.arrays()


def _checked(array: zarr.Array, name: str, source: Path) -> zarr.Array:
    """Returns the array where it is one of plain numbers, by a known codec, of a size that its files can hold."""
    document = json.loads((source / name / ".zarray").read_bytes())
    codec = (document.get("compressor") or {"id": "blosc"}).get("id")
    if codec not in CODECS or document.get("filters"):
        raise LfdError(f"'{source}': {name} is written by '{codec}' with filters {document.get('filters')}; not read")
    if array.dtype.kind not in "biuf":
        raise LfdError(f"'{source}': {name} has type {array.dtype}, expected plain numbers")
    stored = sum(p.stat().st_size for p in (source / name).iterdir() if p.is_file())
    chunk = math.prod(array.chunks) * array.dtype.itemsize
    if max(array.nbytes, chunk) > MAX_EMPTY_BYTES + MAX_RATIO * stored:
        raise LfdError(f"'{source}': {name} declares shape {array.shape}, more than its files can hold")
    return array


def _check_ends(ends: np.ndarray, data: dict[str, zarr.Array], source: Path) -> np.ndarray:
    if ends.ndim != 1 or ends.dtype.kind not in "iu" or len(ends) == 0:
        raise LfdError(f"'{source}': meta/episode_ends has shape {ends.shape} {ends.dtype}, expected (E,) integers")
    if (np.diff(ends, prepend=0) <= 0).any():
        raise LfdError(f"'{source}': meta/episode_ends does not rise")
    if "action" not in data or len(data) < 2:
        raise LfdError(f"'{source}': data has {sorted(data)}, expected 'action' and observations")
    for name, array in data.items():
        if array.shape[:1] != (int(ends[-1]),):
            raise LfdError(f"'{source}': data/{name} has shape {array.shape}, expected {int(ends[-1])} rows")
    return ends


def _episodes(
    data: dict[str, zarr.Array], ends: np.ndarray, rest: Rest | None, control_hz: float, source: Path
) -> Iterator[tuple[str | None, Episode]]:
    names = {n: n for n in data if n not in ("action", "reward")}
    if rest is not None:
        ours = [p.removeprefix("obs/") for p in rest.spec.features if p.startswith(("obs/", "images/"))]
        names = {mimic_key(key): key for key in ours}
    start = 0
    for number, end in enumerate(map(int, ends)):
        rows = {
            n: np.asarray(data[n][start:end]) for n in (*names, "action", *(["reward"] if "reward" in data else []))
        }
        start = end
        action, reward = rows.pop("action"), rows.pop("reward", None)
        obs = {names[n]: a for n, a in rows.items()}
        if rest is not None and reward is not None:
            yield rest.complete(number, obs, action, reward)
            continue
        obs = {_key_of(key, seen): _as_picture(seen) for key, seen in obs.items()}
        meta = {"device": "diffusion_policy", "source": {"file": source.name, "demo": number}}
        yield None, bare_episode(obs, action, reward, control_hz, meta=meta)


def _is_picture(seen: np.ndarray) -> bool:
    return seen.ndim == 4 and seen.shape[3] == 3


def _key_of(name: str, seen: np.ndarray) -> str:
    return f"images/{name}" if _is_picture(seen) else name


def _as_picture(seen: np.ndarray) -> np.ndarray:
    """Returns pictures as uint8: some buffers hold them as floats from 0 to 255."""
    if not _is_picture(seen) or seen.dtype == np.uint8:
        return seen
    if seen.min() < 0 or seen.max() > 255 or not np.array_equal(seen, np.round(seen)):
        raise LfdError("pictures are neither uint8 nor whole numbers from 0 to 255")
    return seen.astype(np.uint8)
