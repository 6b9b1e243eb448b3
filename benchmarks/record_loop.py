"""How well `lfd record` keeps its rate: 60 s at 20 Hz, two 256 x 256 cameras stored, window open, everything saved.

    python benchmarks/record_loop.py [--env ID] [--seconds 60] [--cameras front wrist] [--size-px 256] [--ordinary]

The scripted operator drives in real time through the window's own loop. Prints one JSON line: how late ticks began
(p50, p95, p99, worst, ms), ticks lost, pictures missing, and the machine's load, since other work on it shows.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from robot_lfd import record, urgent
from robot_lfd.config import RecordConfig
from robot_lfd.demos.spec import software_versions
from robot_lfd.demos.store import DemoStore


def main() -> None:
    options = _options()
    if options.ordinary:
        urgent._granted = lambda: False
    if not os.environ.get("DISPLAY"):
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        store = _record(options, Path(folder) / "demos")
        print(json.dumps({**_measure(store, options), **_machine(), "wall_s": round(time.perf_counter() - started, 1)}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env", default="pybullet/Lift-v0")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--cameras", nargs="*", default=["front", "wrist"])
    parser.add_argument("--size-px", type=int, default=256)
    parser.add_argument("--ordinary", action="store_true", help="without real-time priority, as most users have it")
    return parser.parse_args()


def _record(options: argparse.Namespace, folder: Path) -> DemoStore:
    limit_s = 10.0  # of an episode of Lift: it does not end at success here
    config = RecordConfig(
        env=options.env,
        out=folder,
        device="scripted",
        episodes=max(1, round(options.seconds / limit_s)),
        cameras=tuple(options.cameras),
        size_px=options.size_px,
        env_kwargs=("terminate_on_success=false",),
        realtime=True,
        window=True,
    )
    with contextlib.redirect_stdout(sys.stderr):
        record.run(config)
    return DemoStore.open(folder)


def _measure(store: DemoStore, options: argparse.Namespace) -> dict:
    episodes = [store[i] for i in store.ids()]
    late_ms = 1000 * np.concatenate([e.time[:, 1] - e.time[:, 0] for e in episodes])
    hz = store.spec.control_hz
    lost = sum(round((e.time[-1, 0] - e.time[0, 0]) * hz) + 1 - len(e) for e in episodes)
    wanted = sum((len(e) + 1) * len(options.cameras) for e in episodes)
    stored = sum(len(e.obs[f"images/{c}"]) for e in episodes for c in options.cameras)
    p50, p95, p99 = np.percentile(late_ms, [50, 95, 99])
    return {
        "benchmark": "record_loop",
        "env": options.env,
        "control_hz": hz,
        "cameras": f"{len(options.cameras)} x {options.size_px} x {options.size_px}",
        "ticks": len(late_ms),
        "achieved_hz": round(float(np.mean([e.meta["verdict"]["rate_hz"] for e in episodes])), 3),
        "late_ms": {"p50": _ms(p50), "p95": _ms(p95), "p99": _ms(p99), "worst": _ms(late_ms.max())},
        "ticks_over_half_a_period_late": int((late_ms > 500 / hz).sum()),
        "ticks_lost": lost,
        "pictures_wanted": wanted,
        "pictures_missing": wanted - stored,
        "real_time_priority": all(e.meta["real_time_priority"] for e in episodes),
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
