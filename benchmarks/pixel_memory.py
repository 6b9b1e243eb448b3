"""Peak memory of training from 200 Square demos with two 84x84 cameras: 30,154 steps, 1.28 GB of pictures.

The dataset is a real one, written by the store, of robosuite/NutAssemblySquare-v0 with as many steps an episode as the
200 human demos have; all numbers in it, pictures among them, are synthetic, since memory does not depend on them. Each
training runs as a process of its own; what counts is the largest resident memory that the kernel saw, and, apart, that
without pages that only mirror files.

    python benchmarks/pixel_memory.py --work runs/memory --out benchmarks/results/pixel_memory.json
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from measured import machine

from robot_lfd.demos.episode import Episode
from robot_lfd.demos.spec import DatasetSpec, make_spec, software_versions
from robot_lfd.demos.store import DemoStore
from robot_lfd.envs.registry import make_env

ENV, CAMERAS, SIZE_PX = "robosuite/NutAssemblySquare-v0", ("agentview", "robot0_eye_in_hand"), 84
DEMOS, STEPS = 200, 30_154
SETTINGS = {
    "bc": ["--algo", "bc"],
    "iq offline": ["--algo", "iq", "--mode", "offline", "--pretrain-steps", "5", "--critic-sees", "pixels"],
    "iq online": ["--algo", "iq", "--pretrain-steps", "5", "--practice-limit", "60"],
}  # fmt: skip


def lengths() -> np.ndarray:
    """Returns the steps of each demo: 200 of them, 30,154 steps in all."""
    found = np.full(DEMOS, STEPS // DEMOS)
    found[: STEPS - found.sum()] += 1
    return found


def synthetic(spec: DatasetSpec, steps: int, rng: np.random.Generator) -> Episode:
    """Returns an episode of random numbers that fits the dataset."""
    obs: dict[str, np.ndarray] = {}
    for path, feature in spec.features.items():
        shape = (steps + 1, *feature["shape"])
        if path.startswith("images/"):
            obs[path] = rng.integers(0, 256, shape, dtype=np.uint8)
        elif path.startswith("obs/"):
            obs[path.removeprefix("obs/")] = rng.normal(size=shape).astype(np.float32)
    size = spec.features["action"]["shape"][0]
    action = np.tanh(rng.normal(size=(steps, size))).astype(np.float32)
    return Episode(
        obs, action, np.zeros(steps, np.float32), np.zeros((steps + 1, 45)), np.zeros((steps, 2)),
        np.zeros(steps, bool), success=True, terminated=True, truncated=False,
    )  # fmt: skip


def make_demos(path: Path) -> int:
    """Writes the dataset where it is not there yet, and returns the bytes of its pictures."""
    env = make_env(ENV, cameras=CAMERAS, size_px=SIZE_PX, pictures="fast")
    spec = make_spec(ENV, env, {"pictures": "fast"})
    env.close()
    store, rng = DemoStore.open_or_create(path, spec), np.random.default_rng(0)
    for number, steps in enumerate(lengths().tolist()):
        episode_id = f"20260101-000000-{number:06d}-000000"
        if episode_id not in store:
            store.append(synthetic(spec, steps, rng), episode_id=episode_id)
    return int((lengths() + 1).sum()) * len(CAMERAS) * SIZE_PX * SIZE_PX * 3


class Peak(threading.Thread):
    """Watches a process: the most memory that is its own, pages of mapped files left out."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.status, self.own, self.whole = Path(f"/proc/{pid}/status"), 0, 0

    def run(self) -> None:
        """Reads until the process is gone."""
        while True:
            try:
                lines = dict(row.split(":", 1) for row in self.status.read_text().splitlines())
                self.own = max(self.own, _kilobytes(lines["RssAnon"]))
                self.whole = max(self.whole, _kilobytes(lines["VmHWM"]))
            except (OSError, KeyError):
                return
            time.sleep(0.1)


def _kilobytes(text: str) -> int:
    return int(text.split()[0])


def measure(name: str, demos: Path, out: Path, steps: int) -> dict[str, Any]:
    """Trains a few steps and returns the peak."""
    words = ["--demos", str(demos), "--obs", "pixels", "--out", str(out), "--steps", str(steps), "--batch-rows", "64"]
    command = [sys.executable, "-m", "robot_lfd.cli", "train", *words, *SETTINGS[name]]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        peak = Peak(process.pid)
        peak.start()
        rc = process.wait()
    peak.join()
    gb = {"peak_gb": round(peak.whole / 2**20, 2), "own_gb": round(peak.own / 2**20, 2)}
    return {"row": name, "steps": steps, "rc": rc, **gb, "wall_s": round(time.perf_counter() - began, 1)}


def main() -> None:
    """Measures each training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    pictures = make_demos(args.work / "demos")
    rows = []
    for number, name in enumerate(args.rows):
        steps = 260 if "online" in name else 30
        run = args.work / f"run-{number}-{os.getpid()}"
        rows.append(measure(name, args.work / "demos", run, steps))
        print(json.dumps(rows[-1]), flush=True)
    about = {"env": ENV, "cameras": CAMERAS, "size_px": SIZE_PX, "demos": DEMOS, "steps": STEPS}
    report = {
        "benchmark": "pixel_memory", "pictures": "synthetic", "pictures_gb": round(pictures / 2**30, 2), **about,
        "machine": machine(), "versions": software_versions(), "rows": rows,
    }  # fmt: skip
    if args.out:
        args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
