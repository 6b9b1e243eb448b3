"""Simulation speed: ours beside plain robosuite, in turn, in one run. Prints a line of JSON a case, and one in all.

python benchmarks/simulate.py --part tasks      # Lift, Stack, PickPlaceCan, NutAssemblySquare with a Panda
python benchmarks/simulate.py --part others     # Door; Lift with Sawyer and UR5e
python benchmarks/simulate.py --part fast       # control_path="fast": Lift, Door
python benchmarks/simulate.py --part threads    # two threads, two processes against one: needs two free cores

Each writes benchmarks/results/simulate_<part>.json with the seconds it took: two to four minutes, threads one, where
nothing else runs. Each round steps and resets both once; ratios are of the medians. Beside the threads two processes
that only count say what two cores of this machine give anybody. A step returns observations and reward on both sides.
Before any timing the two are compared: states and rewards over random steps of three seeds must not differ. "floor" is
MuJoCo alone: the torques of the same steps played through mj_step1 and mj_step2, nothing computed beside. Wall time is
what a user feels; CPU time of the process is what other work on the machine does not disturb.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import multiprocessing
import os
import platform
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from robot_lfd.envs.registry import make_env
from robot_lfd.envs.robosuite_stepper import PythonStepper
from robot_lfd.envs.robosuite_world import Draws, robosuite
from robot_lfd.envs.vector import make_vector_env

SEEDS = (0, 1, 2)
RESULTS = Path(__file__).parent / "results"
PARTS = {
    "tasks": ["Lift:Panda", "Stack:Panda", "PickPlaceCan:Panda", "NutAssemblySquare:Panda"],
    "others": ["Door:Panda", "Lift:Sawyer", "Lift:UR5e"],
    "fast": ["Lift:Panda", "Door:Panda"],
    "threads": [],
}


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


def torques_of(ours: Any, actions: np.ndarray) -> tuple[mujoco.MjData, list[np.ndarray]]:
    """Returns the state now, and what the actuators are told in every physics step of these actions."""
    env = ours.unwrapped._env
    model, data, told = env.sim.model._model, env.sim.data._data, []
    before, step2 = mujoco.MjData(model), env.sim.step2
    mujoco.mj_copyData(before, model, data)

    def noting() -> None:
        told.append(data.ctrl.copy())
        step2()

    env.sim.step2 = noting
    stepper = PythonStepper(env, round(500 / ours.unwrapped.control_hz), "to note torques")
    for action in actions:
        stepper.play(action)
    env.sim.step2 = step2
    return before, told


def physics_alone(ours: Any, before: mujoco.MjData, told: list[np.ndarray]) -> None:
    """Plays the noted torques through MuJoCo's own two halves of a step."""
    model, data = ours.unwrapped._env.sim.model._model, ours.unwrapped._env.sim.data._data
    mujoco.mj_copyData(data, model, before)
    for torques in told:
        mujoco.mj_step1(model, data)
        data.ctrl[:] = torques
        mujoco.mj_step2(model, data)


def one_step_errors(task: str, robot: str, steps: int) -> dict[str, float]:
    """Returns how far one fast step leads from one exact step, both from the exact path's states."""
    keywords = {"robots": robot, "max_episode_steps": 10**9}
    exact, fast = (make_env(f"robosuite/{task}-v0", **keywords, control_path=p) for p in ("exact", "fast"))
    away = []
    for seed in SEEDS:
        exact.reset(seed=seed)
        fast.reset(seed=seed)
        for action in np.random.default_rng(seed).uniform(-1, 1, (steps, exact.action_space.shape[0])):
            sims = [e.unwrapped._env.sim for e in (exact, fast)]
            mujoco.mj_copyData(sims[1].data._data, sims[1].model._model, sims[0].data._data)
            exact.step(action.astype(np.float32))
            fast.step(action.astype(np.float32))
            away.append(np.abs(exact.unwrapped.sim_state() - fast.unwrapped.sim_state()).max())
    exact.close()
    fast.close()
    return {"median": float(np.median(away)), "p95": float(np.percentile(away, 95)), "worst": float(max(away))}


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
    times: dict[str, list[tuple[float, float]]] = {
        k: [] for k in ("step", "plain_step", "floor", "reset", "plain_reset")
    }
    for round_number in range(rounds):
        ours.reset(seed=round_number)
        plain.rng.bit_generator.state = np.random.PCG64(round_number).state
        plain.reset()
        times["step"].append(timed(lambda: [ours.step(a) for a in actions]))
        times["plain_step"].append(timed(lambda: [plain.step(a) for a in exact]))
        ours.reset(seed=round_number)
        noted = torques_of(ours, exact)
        times["floor"].append(timed(lambda noted=noted: physics_alone(ours, *noted)))
        times["reset"].append(timed(lambda: [ours.reset() for _ in range(resets)]))
        times["plain_reset"].append(timed(plain.reset))
    result["step"] = summary(times["step"], times["plain_step"], steps)
    floor = summary(times["floor"], times["plain_step"], steps)
    result["floor"] = {"ms": floor["ours_ms"], "ratio": floor["ratio"], "cpu_ratio": floor["cpu_ratio"]}
    result["reset"] = summary(times["reset"], [(w * resets, c * resets) for w, c in times["plain_reset"]], resets)
    ours.close()
    plain.close()
    return result


def workers_ratio(rounds: int, steps: int) -> dict[str, Any]:
    """Returns how many more steps two workers make than one, threads and processes, each with a Lift of its own.

    All take turns, and with them two processes that only count: what this machine's cores give to anybody.
    """
    actions = np.random.default_rng(0).uniform(-1, 1, (steps, 7)).astype(np.float32)
    rows = [[np.repeat(action[None], n, 0) for action in actions] for n in (1, 2)]
    make = partial(make_vector_env, "robosuite/Lift-v0", max_episode_steps=10**9)
    every = {workers: [make(n, workers=workers) for n in (1, 2)] for workers in ("threads", "processes")}
    ratios: dict[str, list[float]] = {"counting": [], **{workers: [] for workers in every}}
    seconds: dict[str, list[list[float]]] = {workers: [[], []] for workers in every}
    pool = multiprocessing.get_context("spawn").Pool(2)
    for _ in range(rounds):
        one, two = (max(task.get() for task in [pool.apply_async(count_up) for _ in range(n)]) for n in (1, 2))
        ratios["counting"].append(2 * one / two)
        for workers, many in every.items():
            for n, envs in enumerate(many):
                envs.reset(seed=0)
                seconds[workers][n].append(timed(lambda e=envs, n=n: [e.step(row) for row in rows[n]])[0])
            ratios[workers].append(2 * seconds[workers][0][-1] / seconds[workers][1][-1])
    pool.terminate()
    found: dict[str, Any] = {"counting_processes": spread(ratios["counting"])}
    for workers, many in every.items():
        for envs in many:
            envs.close()
        one, two = (float(np.median(s)) for s in seconds[workers])
        found[f"two_{workers}"] = {
            "ratio": round(2 * one / two, 2),
            "rounds": spread(ratios[workers]),
            "one_steps_per_s": round(steps / one),
            "two_steps_per_s": round(2 * steps / two),
        }
    return found


def count_up(count: int = 4_000_000) -> float:
    """Counts, and returns how long it took."""
    began, total = time.perf_counter(), 0
    for i in range(count):
        total += i
    return time.perf_counter() - began


def spread(ratios: list[float]) -> dict[str, float]:
    """Returns quartiles."""
    return dict(zip(("25 %", "50 %", "75 %"), np.round(np.percentile(ratios, (25, 50, 75)), 2).tolist(), strict=True))


def share_without_lock(steps: int) -> float:
    """Returns the share of a Lift step's CPU time that is spent in compiled code, without Python's lock."""
    env = make_env("robosuite/Lift-v0", max_episode_steps=10**9)
    env.reset(seed=0)
    stepper, spent = env.unwrapped._stepper, [0.0]
    kernel = stepper._kernel
    plain = kernel.osc_step

    def noted(*args: Any) -> None:
        began = time.thread_time()
        plain(*args)
        spent[0] += time.thread_time() - began

    actions = np.random.default_rng(0).uniform(-1, 1, (steps, 7)).astype(np.float32)
    kernel.osc_step = noted
    try:
        began = time.thread_time()
        for action in actions:
            env.step(action)
        whole = time.thread_time() - began
    finally:
        kernel.osc_step = plain
    env.close()
    return round(spent[0] / whole, 3)


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=sorted(PARTS), required=True)
    parser.add_argument("--cases", nargs="+", metavar="TASK:ROBOT", help="instead of the part's own")
    parser.add_argument("--rounds", type=int, help="5; for threads 25")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--resets", type=int, default=20)
    parser.add_argument("--out", type=Path, help="instead of benchmarks/results/simulate_<part>.json")
    asked = parser.parse_args()
    asked.rounds = asked.rounds or (25 if asked.part == "threads" else 5)
    path, began = "fast" if asked.part == "fast" else "exact", time.perf_counter()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    found: dict[str, Any] = {
        "benchmark": "simulate",
        "commit": commit,
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "versions": {p: importlib.metadata.version(p) for p in ("robosuite", "mujoco", "numpy", "numba", "scipy")},
        "rounds": asked.rounds,
        "steps": asked.steps,
        "load": os.getloadavg()[0],
        "cases": [],
    }
    for case in asked.cases or PARTS[asked.part]:
        task, robot = case.split(":")
        found["cases"].append(measure(task, robot, asked.rounds, asked.steps, asked.resets, path))
        if path == "fast":
            found["cases"][-1]["one_step_error"] = one_step_errors(task, robot, asked.steps)
        print(json.dumps(found["cases"][-1]), flush=True)
    if asked.part == "threads":
        found |= workers_ratio(asked.rounds, asked.steps)
        found["without_the_lock"] = share_without_lock(asked.steps)
    found["seconds"] = round(time.perf_counter() - began)
    print(json.dumps(found))
    out = asked.out or RESULTS / f"simulate_{asked.part}.json"
    out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
