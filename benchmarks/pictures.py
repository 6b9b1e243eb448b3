"""Pictures: ours ("fast") beside the simulator's own, in turn, in one run. A line of JSON a case, and one in all.

python benchmarks/pictures.py --part robosuite    # six tasks; about three minutes where nothing else runs
python benchmarks/pictures.py --part pybullet     # five tasks, two arms; about one minute

Each writes benchmarks/results/pictures_<part>.json. Times: one 84x84 picture of each camera, and one control step that
returns observations and a picture. Both sides play the same random actions; ratios are of the medians over the rounds,
wall and CPU. Likeness: PSNR of ours against the simulator's own picture of the same state (robosuite's settings;
TinyRenderer without shadows), over states of several episodes, the mean and the worst.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from robot_lfd.envs.mujoco_pictures import Pictures
from robot_lfd.envs.registry import make_env
from robot_lfd.envs.robosuite_world import robosuite

RESULTS = Path(__file__).parent / "results"
TASKS = {
    "robosuite": ["Lift", "Stack", "PickPlaceCan", "NutAssemblySquare", "Door", "Wipe"],
    "pybullet": ["Reach", "Push", "Lift", "PickPlace", "Stack"],
}
CAMERAS = ("agentview", "frontview", "robot0_eye_in_hand")


def timed(run: Callable[[], Any]) -> tuple[float, float]:
    """Returns wall and CPU seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


def summary(ours: list[tuple[float, float]], plain: list[tuple[float, float]]) -> dict[str, float]:
    """Returns milliseconds and ratios of the medians of (wall, CPU) pairs, one of each a round."""
    mine, theirs = 1e3 * np.median(ours, axis=0), 1e3 * np.median(plain, axis=0)
    return {
        "ours_ms": round(mine[0], 3),
        "plain_ms": round(theirs[0], 3),
        "ours_cpu_ms": round(mine[1], 3),
        "plain_cpu_ms": round(theirs[1], 3),
        "ratio": round(theirs[0] / mine[0], 1),
        "cpu_ratio": round(theirs[1] / mine[1], 1),
    }


def decibels(one: np.ndarray, other: np.ndarray) -> float:
    """Returns the peak signal-to-noise ratio of two pictures."""
    return float(10 * np.log10(255**2 / max(np.mean((one.astype(float) - other) ** 2), 1e-9)))


def each(count: int, pairs: tuple[float, float]) -> tuple[float, float]:
    """Returns the seconds of one of `count` calls."""
    return pairs[0] / count, pairs[1] / count


def alike(env: Any, cameras: list[str], rounds: int, size_px: int) -> dict[str, list[float]]:
    """Returns decibels by camera over states of episodes, while no other simulation has a GL context open."""
    arm, usual = env.unwrapped, Pictures("reference")
    found: dict[str, list[float]] = {c: [] for c in cameras}
    for number in range(rounds):
        env.reset(seed=number)
        rng = np.random.default_rng(number)
        for _ in range(4):
            action = rng.uniform(-1, 1, env.action_space.shape).astype(np.float32)
            for _ in range(10):
                env.step(action)
            model, data = arm._env.sim.model._model, arm._env.sim.data._data
            for camera in cameras:
                seen = usual.draw(model, data, camera, size_px, size_px)
                found[camera].append(decibels(seen, arm.render_camera(camera, size_px, size_px)))
        usual.forget()
    usual.close()
    return found


def measure(task: str, rounds: int, size_px: int, control_path: str) -> dict[str, Any]:
    """Returns what one task gives."""
    keywords = {"cameras": ("agentview",), "size_px": size_px, "max_episode_steps": 10**9, "control_path": control_path}
    ours = make_env(f"robosuite/{task}-v0", pictures="fast", **keywords)
    arm = ours.unwrapped
    cameras = [c for c in CAMERAS if c in arm.camera_names]
    likeness = alike(ours, cameras, rounds, size_px)
    plain = robosuite.make(
        task, robots="Panda", has_offscreen_renderer=True, use_camera_obs=True, camera_names="agentview",
        camera_heights=size_px, camera_widths=size_px, reward_shaping=True, ignore_done=True, renderer="mujoco",
    )  # fmt: skip
    times: dict[str, tuple[list, list]] = {key: ([], []) for key in (*cameras, "step")}
    for number in range(rounds + 1):
        ours.reset(seed=number)
        plain.reset()
        rng = np.random.default_rng(number)
        for stretch in range(4):
            action = rng.uniform(-1, 1, ours.action_space.shape).astype(np.float32)
            plain.sim._render_context_offscreen.gl_ctx.make_current()  # it draws into whichever is current
            steps = timed(lambda a=action: [ours.step(a) for _ in range(10)])
            theirs = timed(lambda a=action: [plain.step(a.astype(np.float64)) for _ in range(3)])
            for camera in cameras:
                mine = timed(lambda c=camera: [arm.render_camera(c, size_px, size_px) for _ in range(10)])
                plain.sim._render_context_offscreen.gl_ctx.make_current()
                other = timed(lambda c=camera: plain.sim.render(camera_name=c, height=size_px, width=size_px))
                if number and stretch:
                    times[camera][0].append(each(10, mine))
                    times[camera][1].append(other)
            if number and stretch:
                times["step"][0].append(each(10, steps))
                times["step"][1].append(each(3, theirs))
    result: dict[str, Any] = {"task": task, "pictures": arm.pictures_name, "control_path": arm.stepper_name}
    for camera in cameras:
        found = summary(*times[camera])
        result[camera] = {**found, **told(likeness[camera])}
    result["step_with_observations_and_picture"] = summary(*times["step"])
    ours.close()
    plain.close()
    return result


def measure_pybullet(task: str, robot: str, rounds: int, size_px: int) -> dict[str, Any]:
    """Returns what one task and arm of PyBullet give: plain is the same environment with reference pictures."""
    keywords = {"robot": robot, "cameras": ("front",), "size_px": size_px, "max_episode_steps": 10**9}
    plain, ours = (make_env(f"pybullet/{task}-v0", pictures=q, **keywords) for q in ("reference", "fast"))
    cameras = ours.unwrapped.camera_names
    times: dict[str, tuple[list, list]] = {key: ([], []) for key in (*cameras, "step")}
    likeness: dict[str, list[float]] = {c: [] for c in cameras}
    for number in range(rounds + 1):
        rng = np.random.default_rng(number)
        ours.reset(seed=number)
        plain.reset(seed=number)
        for _ in range(4):
            action = rng.uniform(-1, 1, ours.action_space.shape).astype(np.float32)
            mine, theirs = (timed(lambda e=e, a=action: [e.step(a) for _ in range(8)]) for e in (ours, plain))
            assert ours.unwrapped.sim_state().tobytes() == plain.unwrapped.sim_state().tobytes()
            draws = [[partial(e.unwrapped.render_camera, c, size_px, size_px) for c in cameras] for e in (ours, plain)]
            for camera, fast, usual in zip(cameras, *draws, strict=True):
                likeness[camera].append(decibels(usual(), fast()))
                if number:  # the first round prepares
                    times[camera][0].append(each(10, timed(lambda f=fast: [f() for _ in range(10)])))
                    times[camera][1].append(each(2, timed(lambda u=usual: [u() for _ in range(2)])))
            if number:
                times["step"][0].append(each(8, mine))
                times["step"][1].append(each(8, theirs))
    result: dict[str, Any] = {"task": task, "robot": robot}
    for camera in cameras:
        result[camera] = {**summary(*times[camera]), **told(likeness[camera])}
    result["step_with_observations_and_picture"] = summary(*times["step"])
    ours.close()
    plain.close()
    return result


def told(likeness: list[float]) -> dict[str, float]:
    """Returns the mean and the worst of decibels."""
    mean, worst = round(float(np.mean(likeness)), 2), round(min(likeness), 2)
    return {"psnr_mean": mean, "psnr_worst": worst, "states": len(likeness)}


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=sorted(TASKS), required=True)
    parser.add_argument("--tasks", nargs="+", help="instead of the part's own")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size-px", type=int, default=84)
    parser.add_argument("--control-path", default="exact")
    parser.add_argument("--out", type=Path, help="instead of benchmarks/results/pictures_<part>.json")
    asked = parser.parse_args()
    began, cases = time.perf_counter(), []
    for task in asked.tasks or TASKS[asked.part]:
        if asked.part == "pybullet":
            cases += [measure_pybullet(task, robot, asked.rounds, asked.size_px) for robot in ("panda", "kuka")]
        else:
            cases.append(measure(task, asked.rounds, asked.size_px, asked.control_path))
        print(json.dumps(cases[-1]), flush=True)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    line = {
        "benchmark": f"pictures of {asked.part}",
        "commit": commit,
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "load": round(os.getloadavg()[0], 1),
        "versions": {p: importlib.metadata.version(p) for p in ("robosuite", "mujoco", "pybullet", "numpy", "numba")},
        "size_px": asked.size_px,
        "rounds": asked.rounds,
        "seconds": round(time.perf_counter() - began),
        "cases": cases,
    }
    print(json.dumps(line))
    out = asked.out or RESULTS / f"pictures_{asked.part}.json"
    out.write_text(json.dumps(line, indent=1) + "\n")


if __name__ == "__main__":
    main()
