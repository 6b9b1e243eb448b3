"""Gives any other Gymnasium environment the contract: Dict observation, Box [-1, 1] action, state, pictures."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from robot_lfd.errors import LfdError


def adapt_foreign_env(env: gym.Env) -> gym.Env:
    """Returns `env` with a Dict observation ("state" where it had a plain Box) and actions rescaled to [-1, 1]."""
    if isinstance(env.action_space, gym.spaces.Box):
        if not np.all(np.isfinite(env.action_space.low) & np.isfinite(env.action_space.high)):
            raise LfdError(f"environment '{_env_id(env)}' has an unbounded action space, expected finite bounds")
        env = gym.wrappers.RescaleAction(env, np.float32(-1.0), np.float32(1.0))
    elif not isinstance(env.action_space, gym.spaces.Discrete):
        raise LfdError(f"environment '{_env_id(env)}' has actions {env.action_space}, expected Box or Discrete")
    return ForeignEnv(env)


def _env_id(env: gym.Env) -> str:
    return env.spec.id if env.spec else type(env.unwrapped).__name__


class ForeignEnv(gym.Wrapper, gym.utils.RecordConstructorArgs):
    """A Gymnasium environment seen through the arm contract. It has no model: an episode starts again from its seed.

    `sim_state` is MuJoCo's [time, qpos, qvel] where there is one, otherwise the observation itself.
    """

    camera_names = ("view",)

    def __init__(self, env: gym.Env) -> None:
        gym.utils.RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)
        space = env.observation_space
        self._plain = not isinstance(space, gym.spaces.Dict)
        spaces = space.spaces if isinstance(space, gym.spaces.Dict) else {"state": space}
        self.observation_space = gym.spaces.Dict({k: _as_float32(k, s, _env_id(env)) for k, s in spaces.items()})
        if isinstance(env.action_space, gym.spaces.Box):  # RescaleAction keeps float64 bounds of some environments
            self.action_space = gym.spaces.Box(-1.0, 1.0, env.action_space.shape, np.float32)
        size = int(np.prod(env.action_space.shape)) if env.action_space.shape else 1
        self.action_names = tuple(f"a{i}" for i in range(size))
        self.action_scale = np.ones(size, np.float32)
        self.action_units = ("1",) * size
        self.policy_keys = tuple(spaces)
        self.proprio_keys: tuple[str, ...] = ()  # nobody says which of them are the body's own
        self.control_hz = float(env.metadata.get("render_fps", 20))
        self._obs: dict[str, np.ndarray] = {}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        """Starts an episode; a recorded one starts again from its seed alone."""
        kept = {k: v for k, v in (options or {}).items() if k not in ("model", "sim_state")}
        obs, info = self.env.reset(seed=seed, options=kept or None)
        self._obs = self._convert(obs)
        return self._obs, {"is_success": False, **info}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        """Steps the environment; `info["is_success"]` is False where the environment has no notion of success."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        self._obs = self._convert(obs)
        return self._obs, float(reward), bool(terminated), bool(truncated), {"is_success": False, **info}

    def _convert(self, obs: Any) -> dict[str, np.ndarray]:
        named = {"state": obs} if self._plain else obs
        return {k: np.asarray(v, self.observation_space[k].dtype) for k, v in named.items()}  # type: ignore[index]

    def sim_state(self) -> np.ndarray:
        """Returns MuJoCo's [time, qpos, qvel] where there is one, otherwise the observation, (S,) float64."""
        data = getattr(self.env.unwrapped, "data", None)
        if data is not None and hasattr(data, "qpos"):
            return np.concatenate([[data.time], data.qpos, data.qvel]).astype(np.float64)
        return np.concatenate([np.ravel(v) for v in self._obs.values()]).astype(np.float64)

    def model(self) -> str:
        """Returns the empty text: the environment's id, keywords and seed say all there is."""
        return ""

    def render_camera(self, camera: str, height_px: int, width_px: int) -> np.ndarray:
        """Returns the environment's own picture, resized; it must have been made with render_mode="rgb_array"."""
        import cv2

        picture = self.env.render()
        if not isinstance(picture, np.ndarray):
            raise LfdError('this environment draws nothing; make it with render_mode="rgb_array"')
        return cv2.resize(picture, (width_px, height_px), interpolation=cv2.INTER_AREA)


def _as_float32(key: str, space: gym.Space, env_id: str) -> gym.Space:
    if isinstance(space, gym.spaces.Box) and space.dtype == np.uint8:
        return space
    if isinstance(space, gym.spaces.Box):
        low, high = space.low.astype(np.float32), space.high.astype(np.float32)
        return gym.spaces.Box(low, high, dtype=np.float32)
    raise LfdError(f"environment '{env_id}': observation '{key}' is {space}, expected a Box")
