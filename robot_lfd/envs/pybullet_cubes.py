"""The cubes of the PyBullet tasks: where they start, and how far the gripper has got with one."""

from __future__ import annotations

import numpy as np

BOX_HALF_M = 0.02


def upright_pose(rng: np.random.Generator, low: tuple[float, float], high: tuple[float, float]) -> np.ndarray:
    """Returns the pose (7,) of a box on the table, drawn from a rectangle, with any yaw."""
    x, y = rng.uniform(low, high)
    yaw = rng.uniform(-np.pi, np.pi)
    return np.array([x, y, BOX_HALF_M, 0.0, 0.0, np.sin(yaw / 2), np.cos(yaw / 2)])


def nearness(obs: dict[str, np.ndarray]) -> float:
    """Returns 1 where the gripper is at the object, towards 0 far from it; 0.54 at 5 cm."""
    return 1.0 - float(np.tanh(10.0 * np.linalg.norm(obs["object_rel"])))


def grasped(obs: dict[str, np.ndarray]) -> bool:
    """Whether the gripper is around the object, within 3 cm, and neither open nor shut."""
    return nearness(obs) > 0.7 and 0.02 < obs["gripper_width"][0] < 0.065


def carrying_reward(obs: dict[str, np.ndarray], above: bool, clear_m: float) -> float:
    """Returns the reward in [0, 0.9] of a cube on its way to `target_rel`.

    The mean of four: near the cube, grasped, lifted to `clear_m` (or being `above` the target already), and how near
    the lifted cube is to the target, seen from above.
    """
    ahead = float(np.hypot(obs["target_rel"][0], obs["target_rel"][1]))
    lifted = 1.0 if above else min(max(float(obs["object_height"][0]) / clear_m, 0.0), 1.0)
    carried = lifted * (1.0 - float(np.tanh(5.0 * ahead)))
    return 0.9 * (nearness(obs) + grasped(obs) + lifted + carried) / 4.0
