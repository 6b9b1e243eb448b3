"""pybullet/Lift-v0: pick a cube from the table and hold it in the air."""

from __future__ import annotations

import numpy as np

from robot_lfd.envs.pybullet_cubes import grasped, nearness, upright_pose
from robot_lfd.envs.pybullet_table import TableEnv

LIFTED_M = 0.10


class LiftEnv(TableEnv):
    """A 4 cm cube at any place and yaw is grasped and lifted by 10 cm.

    Adds `object_pos/_quat/_vel`, `object_rel` (object minus gripper), `object_height` (above the table). Policy: the
    relative ones and the arm's own. Reward: a third for being near, a third for a grasp, a third for height. See
    TableEnv for actions and the arm's observations.
    """

    policy_keys = (
        "object_rel", "object_height", "object_vel", "eef_height", "eef_vel", "gripper_width", "gripper_vel",
    )  # fmt: skip

    def _draw_task(self, rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
        box = upright_pose(rng, (0.38, -0.20), (0.62, 0.20))
        return [box], np.array([box[0], box[1], -1.0])  # no mark to see

    def _task_features(self, obs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {}

    def _reward_and_success(self, obs: dict[str, np.ndarray]) -> tuple[float, bool]:
        height = float(obs["object_height"][0])
        lifted = min(max(height / LIFTED_M, 0.0), 1.0)
        return (nearness(obs) + grasped(obs) + lifted) / 3.0, height > LIFTED_M
