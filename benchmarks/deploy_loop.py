"""The deployment loop at its control rate, state and pixels: achieved rate, lateness, latency, what the limits cost.

python benchmarks/deploy_loop.py --work W [--runs RUN ...] [--episodes 5] [--out FILE]      prints one line of JSON

The policies are behind the deadline watch and the limits, as `lfd deploy` flies them. Without --runs: the sample
policy, which sees state, and one that sees two cameras of 84 x 84, trained for a moment in W (its speed does not depend
on its skill). `limits_us` is the time that watching and limiting add to one answer, the median over the same
observations with and without them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from measured import machine

import robot_lfd
from robot_lfd.cli import sample
from robot_lfd.deploy import DEADLINE_TICKS, deploy
from robot_lfd.envs.contract import arm_of
from robot_lfd.envs.registry import make_env
from robot_lfd.evaluate import sight_of
from robot_lfd.limits import Limited
from robot_lfd.rollout import rollout
from robot_lfd.watch import Watched

ENV, LIMIT_MS = "pybullet/Lift-v0", {"state": 5.0, "pixels": 15.0}


def main() -> None:
    """Measures, prints, and writes the file where one is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--runs", type=Path, nargs="+", default=[])
    parser.add_argument("--episodes", type=int, default=5)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    runs = args.runs or [sample("lift-iq"), pixel_run(args.work)]
    rows = [measure(robot_lfd.load_policy(run), args.episodes) for run in runs]
    found = {"benchmark": "deploy_loop", **machine(), "rows": rows}
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found))


def pixel_run(work: Path) -> Path:
    """Returns a run that sees, made once."""
    demos, run = work / "pixel-demos", work / "pixel-run"
    if not demos.exists():
        device = ["--device", "scripted", "--episodes", 2, "--cameras", "front", "wrist"]
        lfd("record", "--env", ENV, *device, "--out", demos)
    if not run.exists():
        few = ["--algo", "bc", "--obs", "pixels", "--steps", 20, "--batch-rows", 16]
        lfd("train", "--demos", demos, *few, "--out", run)
    return run


def lfd(*words: Any) -> None:
    """Types one command."""
    subprocess.run([sys.executable, "-m", "robot_lfd.cli", *map(str, words)], check=True, capture_output=True)


def measure(policy: Any, episodes: int) -> dict[str, Any]:
    """Returns what one policy's loop comes to."""
    env = make_env(policy.env_id, **sight_of(policy), **policy.env_kwargs)
    watched = Watched(policy, deadline_s=DEADLINE_TICKS / policy.control_hz, needs=policy.policy_keys)
    pilot = Limited(watched, arm_of(env))
    for _ in zip(range(20), rollout(env, policy, seed=0), strict=False):  # warm
        pass
    rows = deploy(env, pilot, episodes=episodes, seed=2000)
    ms = 1000 * np.array(watched.latencies_s)
    sees = "pixels" if policy.spec.cameras else "state"
    row = {
        "sees": sees,
        "env": policy.env_id,
        "algo": policy.algo,
        "load": round(os.getloadavg()[0], 1),
        "n": sum(r.length for r in rows),
        "control_hz": policy.control_hz,
        "achieved_hz": round(float(np.median([r.achieved_hz for r in rows])), 3),
        "late": sum(r.late for r in rows),
        "stops": [r.stop_reason for r in rows if r.stop_reason],
        "latency_ms": {q: round(float(np.percentile(ms, p)), 3) for q, p in (("p50", 50), ("p95", 95), ("p99", 99))},
        "limit_ms": LIMIT_MS[sees],
        "limits_us": round(cost_us(policy, watched, pilot, env), 1),
        "cpu_ms": round(cpu_ms(policy, env), 3),
    }
    watched.close()
    env.close()
    return row


def cpu_ms(policy: Any, env: Any, calls: int = 200) -> float:
    """Returns the CPU time of one answer, milliseconds, the mean: what is left of a latency on a busy machine."""
    obs, _ = env.reset(seed=0)
    policy.reset()
    began = time.thread_time()
    for _ in range(calls):
        policy.act(obs)
    return 1000.0 * (time.thread_time() - began) / calls


def cost_us(policy, watched, pilot, env, calls: int = 500) -> float:
    """Returns by how much the limits and the watch lengthen one answer, microseconds, medians taken in turns."""
    obs, _ = env.reset(seed=0)
    pilot.reset()
    plain, whole = [], []
    for _ in range(calls):
        for act, taken in ((policy.act, plain), (pilot.act, whole)):
            began = time.perf_counter()
            act(obs)
            taken.append(time.perf_counter() - began)
    return 1e6 * float(np.median(whole) - np.median(plain))


if __name__ == "__main__":
    main()
