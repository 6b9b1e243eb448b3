"""The deployment loop at its control rate: achieved rate, lateness, policy latency, and what the limits cost.

python benchmarks/deploy_loop.py --run RUN [--episodes 5]      prints one line of JSON

The policy is a trained one, behind the deadline watch and the limits, as `lfd deploy` flies it. `limits_us` is the
time that watching and limiting add to one answer, the median over the same observations with and without them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import time
from pathlib import Path

import numpy as np

import robot_lfd
from robot_lfd.deploy import DEADLINE_TICKS, deploy
from robot_lfd.envs.contract import arm_of
from robot_lfd.envs.registry import make_env
from robot_lfd.limits import Limited
from robot_lfd.rollout import rollout
from robot_lfd.watch import Watched


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--episodes", type=int, default=5)
    args = parser.parse_args()
    policy = robot_lfd.load_policy(args.run)
    env = make_env(policy.env_id, **policy.env_kwargs)
    watched = Watched(policy, deadline_s=DEADLINE_TICKS / policy.control_hz, needs=policy.policy_keys)
    pilot = Limited(watched, arm_of(env))
    list(rollout(env, policy, seed=0))  # warm
    rows = deploy(env, pilot, episodes=args.episodes, seed=2000)
    ms = 1000 * np.array(watched.latencies_s)
    steps = sum(r.length for r in rows)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    found = {
        "benchmark": "deploy_loop",
        "commit": commit.stdout.strip(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "env": policy.env_id,
        "algo": policy.algo,
        "n": steps,
        "control_hz": policy.control_hz,
        "achieved_hz": round(float(np.median([r.achieved_hz for r in rows])), 3),
        "late": sum(r.late for r in rows),
        "stops": [r.stop_reason for r in rows if r.stop_reason],
        "latency_ms": {q: round(float(np.percentile(ms, p)), 3) for q, p in (("p50", 50), ("p95", 95), ("p99", 99))},
        "limits_us": round(cost_us(policy, watched, pilot, env), 1),
    }
    print(json.dumps(found))


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
