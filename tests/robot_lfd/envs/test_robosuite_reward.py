"""Rewards that look things up once are robosuite's own, number for number."""

from __future__ import annotations

import numpy as np
import pytest

from robot_lfd.envs.registry import make_env
from robot_lfd.envs.robosuite_env import RobosuiteEnv
from teleop.human import HumanPolicy
from teleop.scripted import make_scripted_operator

REPLACED = ("_check_success", "staged_rewards", "check_contact", "_check_grasp", "_gripper_to_target")


def by_robosuite(arm: RobosuiteEnv, action: np.ndarray) -> tuple[float, bool]:
    """Returns reward and success by robosuite's code alone."""
    own = arm._env.__dict__
    away = {name: own.pop(name) for name in REPLACED if name in own}
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
