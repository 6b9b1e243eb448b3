"""Adds camera pictures to an arm environment's observation."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from robot_lfd.envs.contract import arm_of
from robot_lfd.errors import LfdError


class CameraObservation(gym.ObservationWrapper, gym.utils.RecordConstructorArgs):
    """Adds `images/<camera>`, (size_px, size_px, 3) uint8, to the Dict observation for each camera asked for."""

    def __init__(self, env: gym.Env, cameras: tuple[str, ...], size_px: int) -> None:
        gym.utils.RecordConstructorArgs.__init__(self, cameras=cameras, size_px=size_px)
        gym.ObservationWrapper.__init__(self, env)
        self._arm = arm_of(env)
        known = self._arm.camera_names
        for camera in cameras:
            if camera not in known:
                raise LfdError(f"unknown camera '{camera}'; this environment has: {', '.join(known)}")
        self.cameras, self.size_px = tuple(cameras), size_px
        assert isinstance(env.observation_space, gym.spaces.Dict)
        picture = gym.spaces.Box(0, 255, (size_px, size_px, 3), np.uint8)
        spaces = {**env.observation_space.spaces, **{f"images/{c}": picture for c in cameras}}
        self.observation_space = gym.spaces.Dict(spaces)

    def observation(self, observation: dict[str, np.ndarray]) -> dict[str, Any]:
        """Returns the observation with the pictures added."""
        pictures = {f"images/{c}": self._arm.render_camera(c, self.size_px, self.size_px) for c in self.cameras}
        return {**observation, **pictures}
