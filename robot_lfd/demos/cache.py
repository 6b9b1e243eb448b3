"""What training reads: the arrays of all episodes end to end, built once from the store and kept beside it.

zarr gives some hundreds of small random windows a second, these arrays a hundred times that.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robot_lfd.demos.episode import array_path
from robot_lfd.demos.select import Selection, select_some
from robot_lfd.demos.show import progress
from robot_lfd.demos.store import FLAT_CACHE, DemoStore, EpisodeInfo
from robot_lfd.durable import held, publish, remove_folder, sync_folder
from robot_lfd.errors import LfdError

CACHE_VERSION = 1
RAM_BYTES = 2 << 30  # larger than this is mapped from the disk instead
CACHES_KEPT = 4
STEP_ARRAYS = ("action", "reward", "intervention")


@dataclass(frozen=True)
class FlatDemos:
    """E episodes with N steps in all, end to end; observations stored once, T + 1 an episode.

    Attributes:
        obs: (N + E, ...) per key. Step i of episode e saw row i + e, and row i + e + 1 followed.
        action: (N, A). reward: (N,). intervention: (N,).
        episode_ends: (E,) int64, steps up to and with each episode's last one.
        terminated, success: (E,) bool, of each episode's end.
        ids: of the episodes.
    """

    obs: dict[str, np.ndarray]
    action: np.ndarray
    reward: np.ndarray
    intervention: np.ndarray
    episode_ends: np.ndarray
    terminated: np.ndarray
    success: np.ndarray
    ids: tuple[str, ...]

    def __len__(self) -> int:
        """N, the number of steps."""
        return len(self.action)

    def episode_of(self, steps: np.ndarray) -> np.ndarray:
        """Returns the number of the episode of each step."""
        return np.searchsorted(self.episode_ends, steps, side="right")

    def obs_rows(self, steps: np.ndarray) -> np.ndarray:
        """Returns the row in `obs` that each step saw; the one after it is what followed."""
        return steps + self.episode_of(steps)

    def is_terminal(self, steps: np.ndarray) -> np.ndarray:
        """Returns whether each step is the last one of an episode that truly ended (no time limit)."""
        episodes = self.episode_of(steps)
        return (steps + 1 == self.episode_ends[episodes]) & self.terminated[episodes]

    def window_starts(self, length: int) -> np.ndarray:
        """Returns every step at which `length` steps of one and the same episode begin."""
        begins = np.concatenate([[0], self.episode_ends[:-1]])
        spans = [np.arange(b, e - length + 1) for b, e in zip(begins, self.episode_ends, strict=True)]
        return np.concatenate(spans).astype(np.int64)

    def obs_windows(self, key: str, starts: np.ndarray, length: int, out: np.ndarray | None = None) -> np.ndarray:
        """Returns (B, length, ...): what was seen in `length` steps from each start on.

        Args:
            out: an array to fill instead of a new one: for pictures that saves a third of the time.
        """
        rows = self.obs_rows(starts)[:, None] + np.arange(length)
        return np.take(self.obs[key], rows, axis=0, out=out, mode="raise" if out is None else "clip")

    def action_windows(self, starts: np.ndarray, length: int, out: np.ndarray | None = None) -> np.ndarray:
        """Returns (B, length, A): what was done in `length` steps from each start on."""
        rows = starts[:, None] + np.arange(length)
        return np.take(self.action, rows, axis=0, out=out, mode="raise" if out is None else "clip")


def load_flat(
    stores: Sequence[DemoStore | Path | str] | DemoStore | Path | str,
    keys: Iterable[str] | None = None,
    *,
    selection: Selection | None = None,
    ram_bytes: int = RAM_BYTES,
) -> FlatDemos:
    """Returns the chosen episodes as flat arrays, from the cache where it is up to date.

    Args:
        stores: datasets of one environment, or their folders.
        keys: observations, `images/<camera>` among them; all without it.
        selection: which episodes; all that are not deleted without it.
        ram_bytes: arrays of more bytes than this are mapped from the disk.

    Raises:
        LfdError: nothing to read, a damaged episode, an unknown key, datasets that do not fit each other.
    """
    opened = _open(stores)
    spec = opened[0].spec
    paths = sorted(p for p in spec.features if p.startswith(("obs/", "images/")))
    if keys is not None:
        wanted = [array_path(k) for k in keys]
        for path in wanted:
            if path not in paths:
                known = ", ".join(p.removeprefix("obs/") for p in paths)
                raise LfdError(f"unknown observation '{path.removeprefix('obs/')}'; this dataset has: {known}")
        paths = wanted
    picked = select_some(opened, selection or Selection())
    key = _content_key(picked, paths)
    home = opened[0].path / FLAT_CACHE
    folder = home / key
    with ExitStack() as stack:
        if not folder.is_dir():
            folder = _build(home, key, opened, picked, [*STEP_ARRAYS, *paths], stack)
        return _load(folder, picked, paths, ram_bytes)


def _open(stores: Any) -> list[DemoStore]:
    many = [stores] if isinstance(stores, (DemoStore, Path, str)) else list(stores)
    opened = [s if isinstance(s, DemoStore) else DemoStore.open(s) for s in many]
    if not opened:
        raise LfdError("no dataset was named, expected at least one")
    for other in opened[1:]:
        if difference := opened[0].spec.difference(other.spec):
            raise LfdError(f"dataset '{opened[0].path}' {difference} (as in '{other.path}'); they cannot be mixed")
    return opened


def _content_key(picked: list[list[EpisodeInfo]], paths: list[str]) -> str:
    """Returns a name that changes whenever an array of the cache would."""
    content = [[i.id, i.attributes["checksum"], i.trim] for infos in picked for i in infos]
    return hashlib.sha256(json.dumps([CACHE_VERSION, paths, content]).encode()).hexdigest()[:32]


def _build(
    home: Path,
    key: str,
    stores: list[DemoStore],
    picked: list[list[EpisodeInfo]],
    paths: list[str],
    stack: ExitStack,
) -> Path:
    """Writes the cache and returns its folder: beside the dataset, or a temporary one where that is read-only."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        staged = home / f"building-{secrets.token_hex(8)}"
        staged.mkdir()
    except OSError:
        staged = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lfd-cache-")))
        _write(staged, stores, picked, paths)
        return staged
    try:
        with held(staged):
            _write(staged, stores, picked, paths)
            try:
                publish(staged, home / key)
            except OSError:
                if not (home / key).is_dir():  # else another process was faster
                    raise
    finally:
        remove_folder(staged)
    _prune(home)
    return home / key


def _write(folder: Path, stores: list[DemoStore], picked: list[list[EpisodeInfo]], paths: list[str]) -> None:
    jobs = [(store, info) for store, infos in zip(stores, picked, strict=True) for info in infos]
    steps = sum(info.length for _, info in jobs)
    features = stores[0].spec.features
    with ExitStack() as stack:
        files = {p: stack.enter_context((folder / _file_name(p)).open("wb")) for p in paths}
        for path, file in files.items():
            rows = steps if path in STEP_ARRAYS else steps + len(jobs)
            shape = (rows, *features[path]["shape"])
            descr = np.lib.format.dtype_to_descr(np.dtype(features[path]["dtype"]))
            header = {"descr": descr, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
        advance = stack.enter_context(progress("reading demos", len(jobs)))
        for store, info in jobs:
            for path, array in store.arrays(info.id, paths).items():
                files[path].write(np.ascontiguousarray(array).data)
            advance()
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())
    sync_folder(folder)


def _file_name(path: str) -> str:
    return path.replace("/", "+") + ".npy"


def _load(folder: Path, picked: list[list[EpisodeInfo]], paths: list[str], ram_bytes: int) -> FlatDemos:
    large = sum(p.stat().st_size for p in folder.iterdir()) > ram_bytes
    arrays = {}
    for path in (*STEP_ARRAYS, *paths):
        mapped = large and path not in STEP_ARRAYS
        arrays[path] = np.load(folder / _file_name(path), mmap_mode="r" if mapped else None, allow_pickle=False)
    infos = [i for per_store in picked for i in per_store]
    return FlatDemos(
        obs={p.removeprefix("obs/"): arrays[p] for p in paths},
        **{k: arrays[k] for k in STEP_ARRAYS},
        episode_ends=np.cumsum([i.length for i in infos], dtype=np.int64),
        terminated=np.array([i.terminated for i in infos]),
        success=np.array([i.success for i in infos]),
        ids=tuple(i.id for i in infos),
    )


def _prune(home: Path) -> None:
    """Removes all but the newest caches, and half-built ones whose builder is dead."""
    done = sorted((p for p in home.iterdir() if not p.name.startswith("building-")), key=lambda p: p.stat().st_mtime)
    for old in done[:-CACHES_KEPT]:
        remove_folder(old)
    clear_unfinished(home)


def clear_unfinished(home: Path) -> int:
    """Removes half-built caches whose builder is dead, and returns how many there were."""
    count = 0
    for folder in home.glob("building-*"):
        with held(folder, wait=False) as got:
            if got:
                remove_folder(folder)
                count += 1
    return count
