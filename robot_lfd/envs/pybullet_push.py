"""pybullet/Push-v0: push a box along the table to a mark."""

from __future__ import annotations

import numpy as np

from robot_lfd.envs.pybullet_cubes import upright_pose
from robot_lfd.envs.pybullet_table import TableEnv

PUSHED_M = 0.03


class PushEnv(TableEnv):
    """A 4 cm box is pushed with closed fingers until its centre lies within 3 cm of a mark on the table.

    The mark lies 12 to 20 cm from the box. Adds `object_pos/_quat/_vel/_height`, `object_rel` (object minus gripper),
    `target_pos`, `target_rel` (target minus object). Policy: the relative ones and the arm's own. Reward: half for
    being near the box, half for the box being near the mark. See TableEnv for actions and the arm's observations.
    """

    start_width = 0.0
    policy_keys = ("object_rel", "target_rel", "object_vel", "eef_height", "eef_vel")

    def _draw_task(self, rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
        box = upright_pose(rng, (0.44, -0.15), (0.58, 0.15))
        while True:
            away, angle = rng.uniform(0.12, 0.20), rng.uniform(-np.pi, np.pi)
            target = np.array([box[0] + away * np.cos(angle), box[1] + away * np.sin(angle), 0.0])
            if 0.40 < target[0] < 0.62 and abs(target[1]) < 0.24:
                return [box], target

    def _task_features(self, obs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        ahead = obs["target_pos"] - obs["object_pos"]
        return {"target_rel": np.array([ahead[0], ahead[1], 0.0])}

    def _reward_and_success(self, obs: dict[str, np.ndarray]) -> tuple[float, bool]:
        near = 1.0 - float(np.tanh(5.0 * np.linalg.norm(obs["object_rel"])))
        away = float(np.linalg.norm(obs["target_rel"]))
        return 0.5 * near + 0.5 * (1.0 - float(np.tanh(5.0 * away))), away < PUSHED_M
