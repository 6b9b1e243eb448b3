"""How well `lfd record` keeps its rate: 60 s at 20 Hz, two 256 x 256 cameras stored, window open, everything saved.

    python benchmarks/record_loop.py [--env ID] [--seconds 60] [--cameras main hand] [--size-px 256] [--rows ROW ...]

The scripted operator drives in real time through the window's own loop, once with real-time priority where the system
grants it and once without, as most users have it. Episodes are filmed and written by another process meanwhile, so that
no size of picture costs a tick; it decides how long the operator waits at the end (`wall_s`). Prints one JSON line, and
writes it to --out (by default benchmarks/results/record_loop.json, for robosuite record_loop_robosuite.json): how late
ticks began (p50, p95, p99, worst, ms), ticks lost, pictures missing, the slowest verdict, and the machine's load, since
other work on it shows.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import gymnasium as gym
import numpy as np

from robot_lfd import record, urgent
from robot_lfd.config import RecordConfig
from robot_lfd.demos.spec import software_versions
from robot_lfd.demos.store import DemoStore

ROWS = ("real_time_priority", "ordinary_priority")
CAMERAS = {"pybullet": ["front", "wrist"], "robosuite": ["agentview", "robot0_eye_in_hand"]}


def main() -> None:
    options = _options()
    if not os.environ.get("DISPLAY"):
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    rows, granted = {}, urgent._granted
    for row in options.rows:
        urgent._granted = granted if row == ROWS[0] else lambda: False
        rows[row] = _run(options)
    what = {"benchmark": "record_loop", "env": options.env, "cameras": _cameras(options)}
    line = json.dumps({**what, **rows, **_machine()})
    options.out.write_text(line + "\n")
    print(line)


def _run(options: argparse.Namespace) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        started, load = time.perf_counter(), os.getloadavg()[0]
        result, store = _record(options, Path(folder) / "demos")
        took = round(time.perf_counter() - started, 1)
        return {
            **_measure(store, options),
            "verdict_s": result["verdict_s"],
            "wall_s": took,
            "load_before": round(load, 1),
        }


def _cameras(options: argparse.Namespace) -> str:
    return f"{len(options.cameras)} x {options.size_px} x {options.size_px}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env", default="pybullet/Lift-v0")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--cameras", nargs="*")
    parser.add_argument("--size-px", type=int, default=256)
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=ROWS)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    simulator = options.env.split("/")[0]
    options.cameras = CAMERAS.get(simulator, []) if options.cameras is None else options.cameras
    name = "record_loop" if simulator == "pybullet" else f"record_loop_{simulator}"
    options.out = Path(__file__).parent / "results" / f"{name}.json" if options.out is None else options.out
    return options


def _record(options: argparse.Namespace, folder: Path) -> tuple[dict, DemoStore]:
    limit_s = (gym.spec(options.env).max_episode_steps or 200) / 20.0  # an episode does not end at success here
    config = RecordConfig(
        env=options.env,
        out=folder,
        device="scripted",
        episodes=math.ceil(options.seconds / limit_s),
        cameras=tuple(options.cameras),
        size_px=options.size_px,
        env_kwargs=("terminate_on_success=false",),
        realtime=True,
        window=True,
    )
    with contextlib.redirect_stdout(sys.stderr):
        result = record.run(config)
    return result, DemoStore.open(folder)


def _measure(store: DemoStore, options: argparse.Namespace) -> dict:
    episodes = [store[i] for i in store.ids()]
    late_ms = 1000 * np.concatenate([e.time[:, 1] - e.time[:, 0] for e in episodes])
    hz = store.spec.control_hz
    lost = sum(round((e.time[-1, 0] - e.time[0, 0]) * hz) + 1 - len(e) for e in episodes)
    wanted = sum((len(e) + 1) * len(options.cameras) for e in episodes)
    stored = sum(len(e.obs[f"images/{c}"]) for e in episodes for c in options.cameras)
    p50, p95, p99 = np.percentile(late_ms, [50, 95, 99])
    return {
        "control_hz": hz,
        "ticks": len(late_ms),
        "achieved_hz": round(float(np.mean([e.meta["verdict"]["rate_hz"] for e in episodes])), 3),
        "late_ms": {"p50": _ms(p50), "p95": _ms(p95), "p99": _ms(p99), "worst": _ms(late_ms.max())},
        "ticks_over_half_a_period_late": int((late_ms > 500 / hz).sum()),
        "ticks_lost": lost,
        "pictures_wanted": wanted,
        "pictures_missing": wanted - stored,
        "granted": all(e.meta["real_time_priority"] for e in episodes),
        "replays_exactly": all(e.meta["verdict"]["replays"] for e in episodes),
    }


def _ms(value: float) -> float:
    return round(float(value), 2)


def _machine() -> dict:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "commit": commit.stdout.strip(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "load": [round(x, 1) for x in os.getloadavg()],
        "versions": software_versions(),
    }


if __name__ == "__main__":
    main()
