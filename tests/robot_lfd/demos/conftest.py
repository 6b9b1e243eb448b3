"""Made-up episodes, and real ones of Pendulum, which starts again from its seed alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from robot_lfd.demos.episode import Episode
from robot_lfd.demos.spec import DatasetSpec, make_spec
from robot_lfd.demos.store import DemoStore
from robot_lfd.demos.tape import Tape
from robot_lfd.envs.registry import make_env

MODEL = "<mujoco><worldbody/></mujoco>"


def made_up_spec(*, cameras: tuple[str, ...] = ("front",), size_px: int = 8) -> DatasetSpec:
    """Returns the spec of `made_up_episode`."""
    low = {"unit": "1", "names": None}
    features = {
        "action": {"shape": [4], "dtype": "float32", **low},
        "reward": {"shape": [], "dtype": "float32", **low},
        "time": {"shape": [2], "dtype": "float64", **low},
        "intervention": {"shape": [], "dtype": "bool", **low},
        "obs/eef_pos": {"shape": [3], "dtype": "float32", **low},
        "obs/gripper_width": {"shape": [1], "dtype": "float32", **low},
        **{f"images/{c}": {"shape": [size_px, size_px, 3], "dtype": "uint8", **low} for c in cameras},
    }
    return DatasetSpec("made-up/Task-v0", {"robot": "Panda"}, 20.0, features, {"robot-lfd": "0.1.0"})


def made_up_episode(
    seed: int = 0, steps: int = 5, *, cameras: tuple[str, ...] = ("front",), size_px: int = 8, model: str = MODEL
) -> Episode:
    """Returns an episode of random numbers."""
    rng = np.random.default_rng(seed)
    ticks = np.arange(steps) / 20
    obs = {k: rng.normal(size=(steps + 1, n)).astype(np.float32) for k, n in (("eef_pos", 3), ("gripper_width", 1))}
    shape = (steps + 1, size_px, size_px, 3)
    pictures = {f"images/{c}": rng.integers(0, 256, shape, dtype=np.uint8) for c in cameras}
    return Episode(
        obs={**obs, **pictures},
        action=rng.uniform(-1, 1, (steps, 4)).astype(np.float32),
        reward=np.zeros(steps, np.float32),
        sim_state=rng.normal(size=(steps + 1, 7)),
        time=np.stack([ticks, ticks + 0.001], 1),
        intervention=np.zeros(steps, bool),
        success=bool(seed % 2 == 0),
        terminated=True,
        truncated=False,
        model=model,
        meta={"seed": seed, "operator": "ada", "device": "keyboard", "device_settings": {"speed": 0.5}},
    )


def same(a: Episode, b: Episode, *, ignore: tuple[str, ...] = ("recorded_at",)) -> bool:
    """Returns whether two episodes are equal bit for bit, flags and meta included."""
    left, right = a.arrays(), b.arrays()
    flags = all(getattr(a, k) == getattr(b, k) for k in ("success", "terminated", "truncated", "model"))
    meta = [{k: v for k, v in e.meta.items() if k not in ignore} for e in (a, b)]
    arrays = left.keys() == right.keys() and all(
        left[k].dtype == right[k].dtype and left[k].shape == right[k].shape and left[k].tobytes() == right[k].tobytes()
        for k in left
    )
    return flags and arrays and meta[0] == meta[1]


@pytest.fixture
def store(tmp_path: Path) -> DemoStore:
    """An empty dataset for made-up episodes."""
    return DemoStore.create(tmp_path / "demos", made_up_spec())


def pendulum_env() -> gym.Env:
    """Returns Pendulum with a short time limit."""
    return make_env("Pendulum-v1", max_episode_steps=200)


def pendulum_spec(env: gym.Env) -> DatasetSpec:
    """Returns the spec of Pendulum episodes."""
    return make_spec("Pendulum-v1", env, {"max_episode_steps": 200})


def drive(tape: Tape, seed: int, steps: int) -> Episode:
    """Returns an episode of random actions in a real environment."""
    rng = np.random.default_rng(seed)
    tape.reset(seed=seed)
    for _ in range(steps):
        tape.step(rng.uniform(-1, 1, 1).astype(np.float32))
    return tape.episode(meta={"operator": "ada"})


def renamed(spec: DatasetSpec, **changes: object) -> DatasetSpec:
    """Returns a spec with some fields changed."""
    return dataclasses.replace(spec, **changes)  # type: ignore[arg-type]
