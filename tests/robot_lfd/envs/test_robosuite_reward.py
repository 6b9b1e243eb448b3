"""Rewards that look things up once are robosuite's own, number for number."""

# pyright: reportAttributeAccessIssue=false
# mujoco is a compiled module without types

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from robot_lfd.envs.registry import make_env
from robot_lfd.envs.robosuite_env import RobosuiteEnv
from robot_lfd.envs.robosuite_reward import _REPLACED
from teleop.human import HumanPolicy
from teleop.scripted import make_scripted_operator


def by_robosuite(arm: RobosuiteEnv, action: np.ndarray) -> tuple[float, bool]:
    """Returns reward and success by robosuite's code alone."""
    own = arm._env.__dict__
    away = {name: own.pop(name) for name in _REPLACED if name in own}
    reward = arm._env._post_action(action)[0]
    success = bool(arm._env._check_success())
    own.update(away)
    return reward, success


def test_while_a_cube_is_grasped_and_lifted():
    env = make_env("robosuite/Lift-v0")
    arm, operator = env.unwrapped, make_scripted_operator("robosuite/Lift-v0", 0)
    policy = HumanPolicy(operator, arm.action_names, arm.action_scale, arm.action_units, arm.control_hz)
    obs, _ = env.reset(seed=0)
    policy.reset()
    rewards, solved = set(), False
    while not solved:
        action = policy.act(obs)
        obs, _, solved, truncated, _ = env.step(action)
        assert not truncated
        found = env.unwrapped._reward.read(action)
        assert found == by_robosuite(env.unwrapped, action)
        rewards.add(round(found[0], 2))
    assert 1.0 in rewards and len(rewards) > 20
    env.close()


def scatter(arm: RobosuiteEnv, rng: np.random.Generator) -> None:
    """Puts free things at random near the hand, the pegs and the bins, and bends the joints."""
    env, model, data = arm._env, arm._env.sim.model._model, arm._env.sim.data._data
    spots = [data.site_xpos[env.robots[0].eef_site_id["right"]].copy()]
    spots += [data.xpos[b].copy() for b in (getattr(env, f"peg{i}_body_id", None) for i in (1, 2)) if b is not None]
    spots += [bin_ + np.array([0.0, 0.0, 0.05]) for bin_ in getattr(env, "target_bin_placements", [])]
    data.qpos[:] += rng.normal(size=model.nq) * 0.2 * (rng.random(model.nq) < 0.1)
    for at in model.jnt_qposadr[model.jnt_type == mujoco.mjtJoint.mjJNT_FREE]:
        if rng.random() < 0.6:
            near = spots[rng.integers(len(spots))]
            data.qpos[at : at + 3] = near + rng.normal(size=3) * rng.choice([0.003, 0.02, 0.1])
            data.qpos[at + 3 : at + 7] = rng.normal(size=4)
    mujoco.mj_forward(model, data)


_SLOW = ("Lift", "PickPlaceCan", "NutAssemblySquare", "Door")


@pytest.mark.parametrize(
    "task", ["Stack", "PickPlace", "NutAssembly", *(pytest.param(t, marks=pytest.mark.slow) for t in _SLOW)]
)
def test_wherever_things_are(task: str):
    env, rng, found = make_env(f"robosuite/{task}-v0"), np.random.default_rng(1), set()
    assert env.unwrapped._reward._judge is not None, "computed without robosuite's code"
    for seed in range(2):
        env.reset(seed=seed)
        start = env.unwrapped.sim_state()
        for _ in range(100):
            env.unwrapped._env.sim.data._data.qpos[:] = start[1 : 1 + env.unwrapped._env.sim.model._model.nq]
            scatter(env.unwrapped, rng)
            found.add(env.unwrapped._reward.read(np.zeros(7)))
            assert env.unwrapped._reward.read(np.zeros(7)) == by_robosuite(env.unwrapped, np.zeros(7))
    assert len({round(reward, 1) for reward, _ in found}) > 2
    env.close()


@pytest.mark.parametrize("task", [pytest.param(t, marks=pytest.mark.slow) for t in (
    "Stack", "PickPlaceCan", "PickPlace", "NutAssemblySquare", "NutAssembly", "Door", "ToolHang", "Wipe"
)])  # fmt: skip
def test_over_random_steps(task: str):
    env = make_env(f"robosuite/{task}-v0")
    for seed in range(2):
        env.reset(seed=seed)
        for action in np.random.default_rng(seed).uniform(-1, 1, (20, *env.action_space.shape)):
            env.step(action.astype(np.float32))
            assert env.unwrapped._reward.read(action) == by_robosuite(env.unwrapped, action)
    env.close()
