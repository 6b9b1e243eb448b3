"""pybullet/PickPlace-v0: carry a cube into a tray."""

from __future__ import annotations

import numpy as np

from robot_lfd.envs.pybullet_cubes import BOX_HALF_M, carrying_reward, upright_pose
from robot_lfd.envs.pybullet_quiet import pybullet
from robot_lfd.envs.pybullet_table import MARK_COLOUR, TableEnv

TRAY_HALF_M, WALL_M, WALL_HEIGHT_M, FLOOR_M = 0.07, 0.006, 0.025, 0.004
INSIDE_M = TRAY_HALF_M - WALL_M - BOX_HALF_M / 2  # the cube's centre, from the tray's, along x and y
CARRY_M = 0.05  # above the table: clear of the walls
APART_M = 0.19  # the fingers have room between cube and tray


class PickPlaceEnv(TableEnv):
    """A 4 cm cube at any place and yaw is carried into a green tray of 14 by 14 cm at any other place, and let go.

    Solved while the cube's centre lies inside the walls (2.5 cm high), on the floor, and the arm does not touch it.
    Adds `object_pos/_quat/_vel`, `object_rel` (object minus gripper), `object_height` (above the table), `target_pos`
    (where the cube's centre rests in the tray's middle), `target_rel` (target minus object). Policy: the relative ones
    and the arm's own. Reward: 0.9 of the mean of being near, a grasp, height (or being above the tray) and nearness of
    the lifted cube to the tray; 0.95 in the tray, 1 let go there. See TableEnv for actions and the arm's observations.
    """

    policy_keys = (
        "object_rel", "target_rel", "object_height", "object_vel",
        "eef_height", "eef_vel", "gripper_width", "gripper_vel",
    )  # fmt: skip

    def _make_mark(self) -> int:
        """Returns the tray, which stands still and can be bumped into."""
        b, wall = self._bullet, WALL_HEIGHT_M / 2
        side, middle = TRAY_HALF_M - WALL_M / 2, TRAY_HALF_M - WALL_M
        places = [[0, 0, FLOOR_M / 2], [side, 0, wall], [-side, 0, wall], [0, side, wall], [0, -side, wall]]
        along_y, along_x = [WALL_M / 2, TRAY_HALF_M, wall], [middle, WALL_M / 2, wall]
        sizes = [[middle, middle, FLOOR_M / 2], along_y, along_y, along_x, along_x]
        kinds = [pybullet.GEOM_BOX] * len(sizes)
        colours = [[0.55, 0.78, 0.70, 1.0]] + [[*MARK_COLOUR, 1.0]] * 4
        solid = b.createCollisionShapeArray(kinds, halfExtents=sizes, collisionFramePositions=places)
        look = b.createVisualShapeArray(kinds, halfExtents=sizes, visualFramePositions=places, rgbaColors=colours)
        return b.createMultiBody(0, solid, look, [0, 0, -1])

    def _draw_task(self, rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
        while True:
            box = upright_pose(rng, (0.38, -0.22), (0.62, 0.22))
            target = np.array([*rng.uniform((0.42, -0.20), (0.60, 0.20)), 0.0])
            if np.hypot(*(box - [*target, 0, 0, 0, 0])[:2]) > APART_M:
                return [box], target

    def _task_features(self, obs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        target = self._target + np.array([0.0, 0.0, FLOOR_M + BOX_HALF_M])
        return {"target_pos": target, "target_rel": target - obs["object_pos"]}

    def _reward_and_success(self, obs: dict[str, np.ndarray]) -> tuple[float, bool]:
        ahead, height = obs["target_rel"], float(obs["object_height"][0])
        above = bool(np.all(np.abs(ahead[:2]) < INSIDE_M))
        if above and height < WALL_HEIGHT_M:
            free = not self._touched(self._objects[0])
            return (1.0, True) if free and height < FLOOR_M + 0.01 else (0.95, False)
        return carrying_reward(obs, above, CARRY_M), False
