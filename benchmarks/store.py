"""Demo storage: append, and random windows for training, beside zarr-python and h5py in robomimic's layout, in one run.

python benchmarks/store.py --demos 20 --rounds 5

Prints one line of JSON. The pictures are drawn so that they compress about as rendered ones do. Every reader gets the
same random windows: 256 starts, 4 frames of two cameras and of the low-dim observations, 4 actions. Rates are windows
a second, the median of the rounds; the three readers take turns within a round. Memory is the growth of the process's
peak while the cache is built and loaded into RAM, in a process of its own, over the bytes of the arrays.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import zarr

from robot_lfd.demos.cache import FlatDemos, load_flat
from robot_lfd.demos.convert.robomimic_export import mimic_key
from robot_lfd.demos.episode import Episode
from robot_lfd.demos.spec import DatasetSpec
from robot_lfd.demos.store import DemoStore

LOW = {
    "eef_pos": 3, "eef_vel": 3, "gripper_width": 1, "gripper_vel": 1, "joint_pos": 7, "joint_vel": 7, "object_pos": 3,
    "object_quat": 4, "object_vel": 3, "object_rel": 3, "object_height": 1, "target_pos": 3, "target_rel": 3,
}  # fmt: skip
CAMERAS = ("front", "wrist")
BATCH, LENGTH = 256, 4


def spec_of(size_px: int) -> DatasetSpec:
    """Returns the spec of the made-up demos."""
    shapes: dict[str, tuple[list[int], str]] = {
        "action": ([7], "float32"), "reward": ([], "float32"), "time": ([2], "float64"), "intervention": ([], "bool"),
        **{f"obs/{k}": ([n], "float32") for k, n in LOW.items()},
        **{f"images/{c}": ([size_px, size_px, 3], "uint8") for c in CAMERAS},
    }  # fmt: skip
    features = {p: {"shape": s, "dtype": d, "unit": "1", "names": None} for p, (s, d) in shapes.items()}
    return DatasetSpec("made-up/Task-v0", {}, 20.0, features)


def demo(seed: int, steps: int, size_px: int) -> Episode:
    """Returns a made-up demo: smooth motion, and pictures of a textured scene with a moving block."""
    rng = np.random.default_rng(seed)
    ticks = np.arange(steps) / 20
    walk = {k: np.cumsum(rng.normal(size=(steps + 1, n)), 0).astype(np.float32) for k, n in LOW.items()}
    pictures = {f"images/{c}": scene(rng, steps + 1, size_px) for c in CAMERAS}
    action = rng.uniform(-1, 1, (steps, 7)).astype(np.float32)
    flat = np.zeros(steps, np.float32)
    states = np.cumsum(rng.normal(size=(steps + 1, 40)), 0)
    return Episode(
        {**walk, **pictures}, action, flat, states, np.stack([ticks, ticks], 1), flat > 0, True, True, False, "<world/>"
    )


def scene(rng: np.random.Generator, frames: int, size_px: int) -> np.ndarray:
    """Returns (frames, size, size, 3) uint8: a still background with a little texture, a block that wanders."""
    coarse = rng.integers(40, 200, (8, 8, 3)).repeat(size_px // 8, 0).repeat(size_px // 8, 1)
    still = coarse.astype(np.uint8)
    still[: size_px // 3] += rng.integers(0, 2, still[: size_px // 3].shape, dtype=np.uint8)  # a rough wall
    block = rng.integers(0, 256, (size_px // 4, size_px // 4, 3), dtype=np.uint8)
    out = np.repeat(still[None], frames, 0)
    place = np.clip(np.cumsum(rng.integers(-2, 3, (frames, 2)), 0) + size_px // 3, 0, size_px - len(block))
    for frame, (y, x) in zip(out, place, strict=True):
        frame[y : y + len(block), x : x + len(block)] = block
    return out


def time_appends(folder: Path, demos: int, steps: int, size_px: int) -> tuple[DemoStore, list[float], list[float]]:
    """Returns a filled dataset, and the seconds and CPU seconds that each append took."""
    store, seconds, busy = DemoStore.create(folder, spec_of(size_px)), [], []
    for seed in range(demos):
        episode = demo(seed, steps, size_px)
        began, began_busy = time.perf_counter(), time.process_time()
        store.append(episode)
        seconds.append(time.perf_counter() - began)
        busy.append(time.process_time() - began_busy)
    return store, seconds, busy


Windows = Callable[[np.ndarray], dict[str, np.ndarray]]


def cache_reader(flat: FlatDemos) -> Windows:
    """Returns a reader of windows from the cache, which fills the same arrays again and again, as training does."""
    kept = {k: np.empty((BATCH, LENGTH, *a.shape[1:]), a.dtype) for k, a in {**flat.obs, "action": flat.action}.items()}

    def read(starts: np.ndarray) -> dict[str, np.ndarray]:
        out = {k: a[: len(starts)] for k, a in kept.items()}
        seen = {k: flat.obs_windows(k, starts, LENGTH, out[k]) for k in flat.obs}
        return {**seen, "action": flat.action_windows(starts, LENGTH, out["action"])}

    return read


def zarr_reader(store: DemoStore, flat: FlatDemos) -> Windows:
    """Returns a reader of the same windows straight from the dataset, by zarr-python."""
    root = zarr.open_group(store.path / "episodes.zarr", mode="r")
    arrays = [{k: root[f"{i}/{k if '/' in k else 'obs/' + k}"] for k in flat.obs} for i in flat.ids]
    actions = [root[f"{i}/action"] for i in flat.ids]
    return _by_episode(flat, arrays, actions)


def write_robomimic_layout(store: DemoStore, path: Path) -> None:
    """Writes the demos as robomimic's own tools do by default: one dataset a key and demo, not compressed."""
    with h5py.File(path, "w") as file:
        for number, episode_id in enumerate(store.ids()):
            episode, group = store[episode_id], file.create_group(f"data/demo_{number}")
            group["actions"] = episode.action
            for key, seen in episode.obs.items():
                group[f"obs/{mimic_key(key)}"] = seen[:-1]


def h5py_reader(path: Path, flat: FlatDemos, count: int) -> Windows:
    """Returns a reader of the same windows from a file in robomimic's layout."""
    file = h5py.File(path, "r")
    arrays = [{k: file[f"data/demo_{n}/obs/{mimic_key(k)}"] for k in flat.obs} for n in range(count)]
    actions = [file[f"data/demo_{n}/actions"] for n in range(count)]
    return _by_episode(flat, arrays, actions)


def _by_episode(flat: FlatDemos, arrays: list[dict], actions: list[Any]) -> Windows:
    begins = np.concatenate([[0], flat.episode_ends[:-1]])

    def read(starts: np.ndarray) -> dict[str, np.ndarray]:
        owners = flat.episode_of(starts)
        rows = [(int(e), int(s - begins[e])) for e, s in zip(owners, starts, strict=True)]
        seen = {k: np.stack([arrays[e][k][r : r + LENGTH] for e, r in rows]) for k in flat.obs}
        return {**seen, "action": np.stack([actions[e][r : r + LENGTH] for e, r in rows])}

    return read


def rates(readers: dict[str, Windows], starts: np.ndarray, rounds: int) -> dict[str, float]:
    """Returns windows a second of each reader; they take turns, and must agree on every number first."""
    rng = np.random.default_rng(0)
    few = rng.choice(starts, 16)
    answers = [read(few) for read in readers.values()]
    for other in answers[1:]:
        assert all(np.array_equal(answers[0][k], other[k]) for k in answers[0]), "the readers disagree"
    found: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(rounds):
        batch = rng.choice(starts, BATCH)
        for name, read in readers.items():
            repeats = 10 if name == "cache" else 1
            began = time.perf_counter()
            for _ in range(repeats):
                read(batch)
            found[name].append(repeats * BATCH / (time.perf_counter() - began))
    return {name: statistics.median(values) for name, values in found.items()}


MEASURE = """
import resource, sys
from pathlib import Path
from robot_lfd.demos.cache import load_flat
before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1024
flat = load_flat(sys.argv[1], ram_bytes=1 << 40)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
size = sum(a.nbytes for a in flat.obs.values()) + flat.action.nbytes + flat.reward.nbytes
print((after - before) * 1024 / size)
"""


def memory_ratio(store: DemoStore) -> float:
    """Returns how much memory building and loading the cache takes over the size of the data."""
    done = subprocess.run([sys.executable, "-c", MEASURE, store.path], capture_output=True, text=True, check=True)
    return float(done.stdout)


def measure(folder: Path, demos: int, steps: int, size_px: int, rounds: int) -> dict[str, Any]:
    """Returns everything that is measured."""
    store, seconds, busy = time_appends(folder / "demos", demos, steps, size_px)
    memory = memory_ratio(store)
    flat = load_flat(store)
    write_robomimic_layout(store, folder / "demos.hdf5")
    raw = sum(a.nbytes for a in demo(0, steps, size_px).arrays().values())
    disk = sum(p.stat().st_size for p in (store.path / "episodes.zarr").rglob("*") if p.is_file())
    starts = flat.window_starts(LENGTH)
    readers = {
        "cache": cache_reader(flat),
        "zarr": zarr_reader(store, flat),
        "h5py": h5py_reader(folder / "demos.hdf5", flat, demos),
    }
    windows = rates(readers, starts, rounds)
    return {
        "append_ms": {"median": 1e3 * statistics.median(seconds), "p95": 1e3 * float(np.quantile(seconds, 0.95))},
        "append_cpu_ms": {"median": 1e3 * statistics.median(busy)},
        "append_n": len(seconds),
        "compression": raw * demos / disk,
        "windows_per_s": windows,
        "cache_over_zarr": windows["cache"] / windows["zarr"],
        "cache_over_h5py": windows["cache"] / windows["h5py"],
        "peak_memory_over_data": memory,
    }


def main() -> None:
    """Measures and prints one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demos", type=int, default=20)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--size-px", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=None, help="where to write; a temporary folder without it")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        result = measure(Path(folder), args.demos, args.steps, args.size_px, args.rounds)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    versions = {p: importlib.metadata.version(p) for p in ("zarr", "h5py", "numpy", "numcodecs")}
    print(
        json.dumps(
            {
                "benchmark": "store",
                "commit": commit,
                "machine": {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()},
                "load": round(os.getloadavg()[0], 1),
                "versions": {"python": platform.python_version(), **versions},
                "demos": args.demos,
                "steps": args.steps,
                "size_px": args.size_px,
                "batch": BATCH,
                "frames": LENGTH,
                **result,
                "max_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            }
        )
    )


if __name__ == "__main__":
    main()
