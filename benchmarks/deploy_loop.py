"""The deployment loop at its control rate, state and pixels: achieved rate, lateness, latency, what the limits cost.

python benchmarks/deploy_loop.py --work W [--runs RUN ...] [--episodes 5] [--out FILE]      prints one line of JSON

The policies are behind the deadline watch and the limits, as `lfd deploy` flies them. Without --runs: the sample
policy, which sees state, and one that sees two cameras of 84 x 84 drawn fast (docs/pixels.md), trained for a moment
in W (its speed does not depend on its skill). `limits_us` is what watching and limiting add to one answer: the median
of what an answer took, less what the policy itself took of it. `step_ms` is the simulator's step, pictures and all, and
`step_cpu_ms` the CPU time of one: the loop holds its rate where answer and step fit into a period.
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

import gymnasium as gym
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
        device = ["--device", "scripted", "--episodes", 2, "--cameras", "front", "wrist", "--size-px", 84]
        lfd("record", "--env", ENV, "--env-kwargs", "pictures=fast", *device, "--out", demos)
    if not run.exists():
        few = ["--algo", "bc", "--obs", "pixels", "--steps", 20, "--batch-rows", 16]
        lfd("train", "--demos", demos, *few, "--out", run)
    return run


def lfd(*words: Any) -> None:
    """Types one command."""
    subprocess.run([sys.executable, "-m", "robot_lfd.cli", *map(str, words)], check=True, capture_output=True)


class Timed:
    """A policy that notes how long each of its own answers takes, seconds."""

    def __init__(self, policy: Any) -> None:
        self.policy, self.taken = policy, []

    def reset(self) -> None:
        """Begins an episode."""
        self.policy.reset()

    def act(self, obs: dict[str, np.ndarray]) -> np.ndarray:
        """Returns the policy's answer."""
        began = time.perf_counter()
        action = self.policy.act(obs)
        self.taken.append(time.perf_counter() - began)
        return action


class Asked(Limited):
    """The limits, noting how long each whole answer takes where the policy was asked, seconds."""

    def __init__(self, policy: Watched, arm: Any) -> None:
        super().__init__(policy, arm)
        self.taken: list[float] = []

    def act(self, obs: dict[str, np.ndarray]) -> np.ndarray:
        """Returns the limited answer."""
        asked, began = self.stop_reason is None, time.perf_counter()
        action = super().act(obs)
        if asked and self.stop_reason is None:
            self.taken.append(time.perf_counter() - began)
        return action


class Stepped(gym.Wrapper):
    """An environment that notes how long each of its steps takes, seconds: on the clock, and of the CPU."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.taken: list[tuple[float, float]] = []

    def step(self, action: Any) -> Any:
        """Takes a step."""
        began = time.perf_counter(), time.thread_time()
        found = self.env.step(action)
        self.taken.append((time.perf_counter() - began[0], time.thread_time() - began[1]))
        return found


def measure(policy: Any, episodes: int) -> dict[str, Any]:
    """Returns what one policy's loop comes to."""
    env = Stepped(make_env(policy.env_id, **sight_of(policy), **policy.env_kwargs))
    timed = Timed(policy)
    watched = Watched(timed, deadline_s=DEADLINE_TICKS / policy.control_hz, needs=policy.policy_keys)
    pilot = Asked(watched, arm_of(env))
    for _ in zip(range(20), rollout(env, policy, seed=0), strict=False):  # warm
        pass
    timed.taken, env.taken = [], []
    rows = deploy(env, pilot, episodes=episodes, seed=2000)
    sees = "pixels" if policy.spec.cameras else "state"
    steps_ms = 1000.0 * np.array(env.taken)
    added = 1e6 * (np.array(pilot.taken) - np.array(timed.taken[: len(pilot.taken)]))
    row = {
        "sees": sees,
        "env": policy.env_id,
        "env_kwargs": policy.env_kwargs,
        "algo": policy.algo,
        "load": round(os.getloadavg()[0], 1),
        "n": sum(r.length for r in rows),
        "control_hz": policy.control_hz,
        "achieved_hz": round(float(np.median([r.achieved_hz for r in rows])), 3),
        "late": sum(r.late for r in rows),
        "stops": [r.stop_reason for r in rows if r.stop_reason],
        "latency_ms": quantiles(1000.0 * np.array(watched.latencies_s)),
        "limit_ms": LIMIT_MS[sees],
        "limits_us": round(float(np.median(added)), 1),
        "cpu_ms": round(cpu_ms(policy, env), 3),
        "step_ms": quantiles(steps_ms[:, 0]),
        "step_cpu_ms": quantiles(steps_ms[:, 1]),
    }
    watched.close()
    env.close()
    return row


def quantiles(values: np.ndarray) -> dict[str, float]:
    """Returns the median and two tails."""
    return {f"p{p}": round(float(np.percentile(values, p)), 3) for p in (50, 95, 99)}


def cpu_ms(policy: Any, env: Any, calls: int = 200) -> float:
    """Returns the CPU time of one answer, milliseconds, the mean: what is left of a latency on a busy machine."""
    obs, _ = env.reset(seed=0)
    policy.reset()
    began = time.thread_time()
    for _ in range(calls):
        policy.act(obs)
    return 1000.0 * (time.thread_time() - began) / calls


if __name__ == "__main__":
    main()
