"""pybullet/Reach-v0: bring the gripper to a point in the air."""

from __future__ import annotations

import numpy as np

from robot_lfd.envs.pybullet_table import TableEnv

REACHED_M = 0.02


class ReachEnv(TableEnv):
    """The gripper goes to a green point drawn from a box above the table, and stays within 2 cm of it.

    Adds `target_pos` and `target_rel` (target minus gripper). Policy: `target_rel` and the arm's own. Reward:
    1 - tanh(5 distance). See TableEnv for actions and the arm's observations.
    """

    object_count = 0
    policy_keys = ("target_rel", "eef_height", "eef_vel")

    def _draw_task(self, rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
        return [], rng.uniform([0.38, -0.22, 0.06], [0.62, 0.22, 0.35])

    def _task_features(self, obs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {"target_rel": obs["target_pos"] - obs["eef_pos"]}

    def _reward_and_success(self, obs: dict[str, np.ndarray]) -> tuple[float, bool]:
        distance = float(np.linalg.norm(obs["target_rel"]))
        return 1.0 - float(np.tanh(5.0 * distance)), distance < REACHED_M
