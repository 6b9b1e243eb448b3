"""What is read by compiled code is what MuJoCo's own functions and numpy say."""

# pyright: reportAttributeAccessIssue=false
# mujoco is a compiled module without types

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from robot_lfd.envs.registry import make_env
from robot_lfd.envs.robosuite_env import RobosuiteEnv


def velocity(arm: RobosuiteEnv, kind: int, number: int) -> np.ndarray:
    """Returns what MuJoCo says of something's velocity in the world, (3,)."""
    twist = np.zeros(6)
    mujoco.mj_objectVelocity(arm._env.sim.model._model, arm._env.sim.data._data, kind, number, twist, 0)
    return twist[3:].astype(np.float32)


def columns(rotation: np.ndarray) -> np.ndarray:
    """Returns the first two columns, (6,)."""
    return rotation[:, :2].T.reshape(6).astype(np.float32)


def expected(arm: RobosuiteEnv, obs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns some of the observations, from MuJoCo's own functions."""
    data, hand = arm._env.sim.data._data, arm._env.robots[0].eef_site_id["right"]
    thing = arm._features._things[0]
    turn, own = data.site_xmat[hand].reshape(3, 3), data.xmat[thing.body].reshape(3, 3)
    found = {
        "eef_pos": data.site_xpos[hand].astype(np.float32),
        "eef_rot": columns(turn),
        "eef_vel": velocity(arm, mujoco.mjtObj.mjOBJ_SITE, hand),
        "object_quat": data.xquat[thing.body][[1, 2, 3, 0]].astype(np.float32),
        "object_vel": velocity(arm, mujoco.mjtObj.mjOBJ_BODY, thing.body),
        "object_rot_rel": columns(turn.T @ own),
        "object_rel": obs["object_pos"] - obs["eef_pos"],
        "target_rel": obs.get("target_pos", obs["object_pos"]) - obs["object_pos"],
    }
    pads = arm._features._gripper._pads if arm._features._gripper else ()
    if pads:
        gap = data.geom_xpos[pads[0]] - data.geom_xpos[pads[1]]
        rate = velocity(arm, mujoco.mjtObj.mjOBJ_GEOM, pads[0]) - velocity(arm, mujoco.mjtObj.mjOBJ_GEOM, pads[1])
        found["gripper_vel"] = np.array([gap @ rate / np.linalg.norm(gap)])
    return {key: value for key, value in found.items() if key in obs}


@pytest.mark.parametrize(("task", "robot"), [("Lift", "UR5e"), ("NutAssemblySquare", "Panda"), ("Door", "Panda")])
def test_observations_are_what_mujoco_says(task: str, robot: str):
    env = make_env(f"robosuite/{task}-v0", robots=robot)
    env.reset(seed=0)
    for action in np.random.default_rng(0).uniform(-1, 1, (15, 7)).astype(np.float32):
        obs, *_ = env.step(action)
        for key, value in expected(env.unwrapped, obs).items():
            assert np.allclose(obs[key], value, rtol=1e-5, atol=1e-6), key
    env.close()


def test_a_step_does_not_change_what_was_read_before():
    env = make_env("robosuite/Lift-v0")
    before, _ = env.reset(seed=0)
    kept = {key: value.copy() for key, value in before.items()}
    env.step(np.ones(7, np.float32))
    assert all(np.array_equal(before[key], kept[key]) for key in kept)
    env.close()
