"""The frames a person can drive in: as the camera sees it, the world's, the tool's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from robot_lfd.envs.contract import ArmEnv

Frame = Callable[[dict[str, np.ndarray]], np.ndarray]


def driving_frames(arm: ArmEnv, observation_space: gym.Space) -> dict[str, Frame]:
    """Returns, by name, what turns the driver's x (away), y (left), z (up) into the world's, (3, 3).

    Camera-relative comes first, where the environment says how its main camera looks (`camera_rotation`); the tool's
    where the observation tells the gripper's rotation (`eef_rot` or `eef_quat`).
    """
    frames: dict[str, Frame] = {}
    look: Any = getattr(arm, "camera_rotation", None)
    if look is not None:
        turn = upright(np.asarray(look(arm.camera_names[0]), np.float64))
        frames["camera"] = lambda obs: turn
    frames["world"] = lambda obs: np.eye(3)
    spaces: Mapping[str, Any] = getattr(observation_space, "spaces", {})
    if "drx" in arm.action_names and "eef_rot" in spaces:
        frames["tool"] = lambda obs: tool(_from_columns(obs["eef_rot"]))
    elif "drx" in arm.action_names and "eef_quat" in spaces:
        frames["tool"] = lambda obs: tool(_from_quat(obs["eef_quat"]))
    return frames


def upright(camera: np.ndarray) -> np.ndarray:
    """Returns the driving frame of a camera, (3, 3): away from it along the table, its left, and the world's up.

    Args:
        camera: (3, 3), its columns are the camera's right, up and backward directions in the world.
    """
    away = -camera[:, 2] * (1.0, 1.0, 0.0)
    if np.linalg.norm(away) < 0.2:  # it looks straight down: what is up in the picture is away
        away = camera[:, 1] * (1.0, 1.0, 0.0)
    away = away / np.linalg.norm(away)
    return np.stack([away, np.cross([0.0, 0.0, 1.0], away), [0.0, 0.0, 1.0]], axis=1)


def tool(rotation: np.ndarray) -> np.ndarray:
    """Returns the driving frame of a gripper, (3, 3): away is where it points, left its own closing direction."""
    return np.stack([rotation[:, 2], rotation[:, 1], -rotation[:, 0]], axis=1)


def _from_columns(six: np.ndarray) -> np.ndarray:
    x, y = np.asarray(six[:3], np.float64), np.asarray(six[3:], np.float64)
    return np.stack([x, y, np.cross(x, y)], axis=1)


def _from_quat(q: np.ndarray) -> np.ndarray:
    x, y, z, w = np.asarray(q, np.float64) / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
