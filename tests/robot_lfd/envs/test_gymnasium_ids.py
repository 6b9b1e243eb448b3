"""Gymnasium's own tasks: made with the extra `gym`, refused in one line without it."""

from __future__ import annotations

import sys

import pytest

from robot_lfd.envs.registry import make_env
from robot_lfd.errors import LfdError


@pytest.mark.parametrize("env_id", ["Hopper-v5", "HalfCheetah-v5", "LunarLander-v3"])
def test_what_the_extra_brings_steps(env_id: str) -> None:
    env = make_env(env_id)
    first, _ = env.reset(seed=0)
    env.action_space.seed(0)
    following, *_ = env.step(env.action_space.sample())
    assert first["state"].shape == following["state"].shape
    assert (first["state"] != following["state"]).any()
    env.close()


@pytest.mark.parametrize(("env_id", "package"), [("Hopper-v5", "imageio"), ("LunarLander-v3", "Box2D")])
def test_a_missing_package_is_named_with_what_brings_it(
    env_id: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [m for m in sys.modules if m.startswith(("gymnasium.envs.mujoco", "gymnasium.envs.box2d"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(LfdError, match=r"needs a package.*pip install 'robot-lfd\[gym\]'"):
        make_env(env_id)
