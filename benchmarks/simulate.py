"""Simulation speed: ours beside plain robosuite, in turn, in one run. Prints one line of JSON.

python benchmarks/simulate.py --cases Lift:Panda Door:Panda Lift:UR5e --rounds 7

Each round steps and resets both once; ratios are of the medians. A step returns observations and reward on both
sides. Before any timing the two are compared: states and rewards over random steps of three seeds must not differ.
Wall time is what a user feels; CPU time of the process is what other work on the machine does not disturb.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from robot_lfd.envs.registry import make_env
from robot_lfd.envs.robosuite_world import Draws, robosuite

SEEDS = (0, 1, 2)


def plain_env(task: str, robot: str) -> Any:
    """Returns robosuite's own environment with a generator that can be set to a seed."""
    env = robosuite.make(
        task, robots=robot, has_offscreen_renderer=False, use_camera_obs=False, reward_shaping=True,
        ignore_done=True, renderer="mujoco",
    )  # fmt: skip
    env.rng = Draws(np.random.PCG64(0))
    sampler = getattr(env, "placement_initializer", None)
    for each in (sampler, *getattr(sampler, "samplers", {}).values()):
        if each is not None:
            each.rng = env.rng
    return env


def difference(ours: Any, plain: Any, steps: int) -> float:
    """Returns the largest difference in state, reward and (as float32) what is seen, over steps of each seed."""
    worst = 0.0
    for seed in SEEDS:
        actions = np.random.default_rng(seed).uniform(-1, 1, (steps, ours.action_space.shape[0])).astype(np.float32)
        ours.reset(seed=seed)
        plain.rng.bit_generator.state = np.random.PCG64(seed).state
        plain.reset()
        for action in actions:
            obs, reward, *_ = ours.step(action)
            seen, theirs, *_ = plain.step(action.astype(np.float64))
            apart = np.abs(ours.unwrapped.sim_state() - plain.sim.get_state().flatten()).max()
            for key in ("eef_pos", "joint_pos", "joint_vel"):
                apart = max(apart, np.abs(obs[key] - seen[f"robot0_{key}"].astype(np.float32)).max())
            worst = max(worst, float(apart), abs(reward - float(np.clip(theirs, 0.0, 1.0))))
    return worst


def timed(run: Callable[[], None]) -> tuple[float, float]:
    """Returns wall and CPU seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


def summary(ours: list[tuple[float, float]], plain: list[tuple[float, float]], count: int) -> dict[str, Any]:
    """Returns milliseconds and ratios of the medians of (wall, CPU) pairs of `count` calls each."""
    mine, theirs = 1e3 * np.array(ours) / count, 1e3 * np.array(plain) / count
    return {
        "ours_ms": round(float(np.median(mine[:, 0])), 4),
        "plain_ms": round(float(np.median(theirs[:, 0])), 4),
        "ours_p95_ms": round(float(np.percentile(mine[:, 0], 95)), 4),
        "plain_p95_ms": round(float(np.percentile(theirs[:, 0], 95)), 4),
        "ratio": round(float(np.median(theirs[:, 0]) / np.median(mine[:, 0])), 2),
        "cpu_ratio": round(float(np.median(theirs[:, 1]) / np.median(mine[:, 1])), 2),
    }


def measure(task: str, robot: str, rounds: int, steps: int, resets: int, control_path: str) -> dict[str, Any]:
    """Returns what one task and robot give: the way taken, the difference, steps and resets."""
    ours = make_env(f"robosuite/{task}-v0", robots=robot, control_path=control_path, max_episode_steps=10**9)
    plain = plain_env(task, robot)
    result: dict[str, Any] = {"task": task, "robot": robot, "control_path": ours.unwrapped.stepper_name}
    result["difference"] = difference(ours, plain, steps)
    actions = np.random.default_rng(9).uniform(-1, 1, (steps, ours.action_space.shape[0])).astype(np.float32)
    exact = actions.astype(np.float64)
    times: dict[str, list[tuple[float, float]]] = {k: [] for k in ("step", "plain_step", "reset", "plain_reset")}
    for round_number in range(rounds):
        ours.reset(seed=round_number)
        plain.rng.bit_generator.state = np.random.PCG64(round_number).state
        plain.reset()
        times["step"].append(timed(lambda: [ours.step(a) for a in actions]))
        times["plain_step"].append(timed(lambda: [plain.step(a) for a in exact]))
        times["reset"].append(timed(lambda: [ours.reset() for _ in range(resets)]))
        times["plain_reset"].append(timed(plain.reset))
    result["step"] = summary(times["step"], times["plain_step"], steps)
    result["reset"] = summary(times["reset"], [(w * resets, c * resets) for w, c in times["plain_reset"]], resets)
    ours.close()
    plain.close()
    return result


def threads_ratio(rounds: int, steps: int, control_path: str) -> dict[str, Any]:
    """Returns how many more steps two threads make than one, each with an environment of its own."""
    envs = [make_env("robosuite/Lift-v0", control_path=control_path, max_episode_steps=10**9) for _ in range(2)]
    actions = np.random.default_rng(0).uniform(-1, 1, (steps, 7)).astype(np.float32)

    def play(env: Any) -> None:
        env.reset(seed=0)
        for action in actions:
            env.step(action)

    one, two = [], []
    for _ in range(rounds):
        one.append(timed(lambda: play(envs[0]))[0])
        pair = [threading.Thread(target=play, args=(env,)) for env in envs]
        two.append(timed(lambda pair=pair: [*(t.start() for t in pair), *(t.join() for t in pair)])[0])
    return {"two_threads_ratio": round(2 * float(np.median(one) / np.median(two)), 2), "load": os.getloadavg()[0]}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = ["Lift:Panda", "Stack:Panda", "PickPlaceCan:Panda", "NutAssemblySquare:Panda", "Door:Panda"]
    parser.add_argument("--cases", nargs="+", default=[*usual, "Lift:Sawyer", "Lift:UR5e"], metavar="TASK:ROBOT")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--resets", type=int, default=20)
    parser.add_argument("--control-path", default="exact")
    asked = parser.parse_args()
    cases = []
    for case in asked.cases:
        task, robot = case.split(":")
        cases.append(measure(task, robot, asked.rounds, asked.steps, asked.resets, asked.control_path))
        print(json.dumps(cases[-1]), flush=True)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    packages = ("robosuite", "mujoco", "numpy", "numba")
    print(
        json.dumps(
            {
                "benchmark": "simulate",
                "commit": commit,
                "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
                "versions": {p: importlib.metadata.version(p) for p in packages},
                "rounds": asked.rounds,
                "steps": asked.steps,
                **threads_ratio(asked.rounds, asked.steps, asked.control_path),
                "cases": cases,
            }
        )
    )


if __name__ == "__main__":
    main()
