"""pybullet/Stack-v0: put one cube on another."""

from __future__ import annotations

import numpy as np

from robot_lfd.envs.pybullet_cubes import BOX_HALF_M, carrying_reward, upright_pose
from robot_lfd.envs.pybullet_table import TableEnv

EDGE_M = 2 * BOX_HALF_M
APART_M = 0.11  # the fingers have room between the cubes
LEVEL_M = 0.005  # the upper cube's centre may lie this much off one edge above the lower one's
REST_M_S = 0.03  # slower is at rest


class StackEnv(TableEnv):
    """A vermillion 4 cm cube is put on a blue one; both lie at any place and yaw.

    Solved while it lies on the blue one, its centre above it, neither of them touched by the arm or moving. Adds, for
    the cube to be carried, `object_pos/_quat/_vel`, `object_rel` (object minus gripper), `object_height` (above the
    table), for the other one `base_pos/_quat/_vel`, and `target_pos` (one edge above the base), `target_rel` (target
    minus object). Policy: the relative ones and the arm's own. Reward: 0.9 of the mean of being near, a grasp, height
    (or being above the base) and nearness of the lifted cube to its place; 0.95 on the base, 1 at rest there and let
    go. See TableEnv for actions and the arm's observations.
    """

    object_count = 2
    policy_keys = (
        "object_rel", "target_rel", "object_height", "object_vel", "base_vel",
        "eef_height", "eef_vel", "gripper_width", "gripper_vel",
    )  # fmt: skip

    def _draw_task(self, rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
        while True:
            boxes = [upright_pose(rng, (0.40, -0.18), (0.60, 0.18)) for _ in range(2)]
            if np.hypot(*(boxes[0] - boxes[1])[:2]) > APART_M:
                return boxes, np.array([*boxes[1][:2], -1.0])  # no mark to see: the blue cube is it

    def _task_features(self, obs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        base = self._body_state(self._objects[1])
        target = base[:3] + np.array([0.0, 0.0, EDGE_M])
        features = {"base_pos": base[:3], "base_quat": base[3:7], "base_vel": base[7:10]}
        return {**features, "target_pos": target, "target_rel": target - obs["object_pos"]}

    def _reward_and_success(self, obs: dict[str, np.ndarray]) -> tuple[float, bool]:
        ahead, height = obs["target_rel"], float(obs["object_height"][0])
        across = float(np.hypot(ahead[0], ahead[1]))
        above = across < BOX_HALF_M
        if above and abs(ahead[2]) < LEVEL_M:
            free = not any(self._touched(body) for body in self._objects)
            speed = max(np.linalg.norm(obs["object_vel"]), np.linalg.norm(obs["base_vel"]))
            return (1.0, True) if free and speed < REST_M_S else (0.95, False)
        return carrying_reward(obs, above and height > EDGE_M / 2, 1.5 * EDGE_M), False
