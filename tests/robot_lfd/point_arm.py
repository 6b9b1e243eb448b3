"""PointArm: the smallest environment with the whole arm contract, a point that moves by its actions. Fast and exact."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from robot_lfd.envs.contract import arm_of
from robot_lfd.errors import LfdError

ID = "tests/PointArm-v0"


class PointArm(gym.Env):
    """Moves eef_pos by action * 0.05 m a step, with a lag that carries on; solved within 2 cm of target_pos."""

    metadata = {"render_modes": [], "render_fps": 20}  # noqa: RUF012
    control_hz = 20.0
    action_names = ("dx", "dy", "dz", "gripper")
    action_units = ("m", "m", "m", "1")
    policy_keys = ("target_rel",)
    proprio_keys = ()
    camera_names = ("front", "top")

    def __init__(self, terminate_on_success: bool = True, lag: float = 0.3) -> None:
        self.terminate_on_success, self.lag = terminate_on_success, lag
        self.action_scale = np.array([0.05, 0.05, 0.05, 1.0], np.float32)
        self.action_space = gym.spaces.Box(-1, 1, (4,), np.float32)
        box = gym.spaces.Box(-np.inf, np.inf, (3,), np.float32)
        self.observation_space = gym.spaces.Dict({k: box for k in ("eef_pos", "eef_vel", "target_pos", "target_rel")})
        self.state = np.zeros(9)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        self.state = np.concatenate([np.zeros(6), self.np_random.uniform(-0.3, 0.3, 3)])
        if options and options.get("sim_state") is not None:
            self.state = np.array(options["sim_state"], np.float64)
        return self._obs(), {"is_success": False}

    def step(self, action):
        move = self.action_scale[:3] * np.asarray(action, np.float64)[:3]
        self.state[3:6] = self.lag * self.state[3:6] + (1 - self.lag) * move
        self.state[:3] += self.state[3:6]
        distance = float(np.linalg.norm(self.state[6:] - self.state[:3]))
        solved = distance < 0.02
        ends = solved and self.terminate_on_success
        return self._obs(), float(np.exp(-5 * distance)), ends, False, {"is_success": solved}

    def _obs(self):
        eef, velocity, target = self.state[:3], self.state[3:6], self.state[6:]
        named = {"eef_pos": eef, "eef_vel": velocity * 20, "target_pos": target, "target_rel": target - eef}
        return {k: v.astype(np.float32) for k, v in named.items()}

    def sim_state(self) -> np.ndarray:
        return self.state.copy()

    def model(self) -> str:
        return "<point-arm/>"

    def render_camera(self, camera: str, height_px: int, width_px: int) -> np.ndarray:
        if camera not in self.camera_names:
            raise LfdError(f"unknown camera '{camera}'; this environment has: {', '.join(self.camera_names)}")
        picture = np.full((height_px, width_px, 3), (24, 28, 38), np.uint8)
        axes = (0, 2) if camera == "front" else (0, 1)
        for point, colour, half in ((self.state[6:], (80, 200, 120), 6), (self.state[:3], (240, 180, 60), 4)):
            x, y = (int((0.5 + point[a]) * s) for a, s in zip(axes, (width_px, height_px), strict=True))
            picture[max(0, y - half) : max(0, y + half), max(0, x - half) : max(0, x + half)] = colour
        return picture


class Chase:
    """A policy that goes straight for the target; `weak` ones do not get there."""

    def __init__(self, speed: float = 1.0) -> None:
        self.speed, self.resets = speed, 0

    def reset(self) -> None:
        self.resets += 1

    def act(self, obs: dict[str, np.ndarray]) -> np.ndarray:
        move = np.clip(obs["target_rel"] / 0.05, -1, 1) * self.speed
        return np.append(move, 1.0).astype(np.float32)


class Script:
    """A policy that plays a list of actions and then stands still."""

    def __init__(self, actions) -> None:
        self.actions, self._next = [np.asarray(a, np.float32) for a in actions], 0

    def reset(self) -> None:
        self._next = 0

    def act(self, obs: dict[str, np.ndarray]) -> np.ndarray:
        self._next += 1
        return self.actions[self._next - 1] if self._next <= len(self.actions) else np.zeros(4, np.float32)


def register() -> None:
    """Makes `tests/PointArm-v0` known to Gymnasium."""
    if ID not in gym.registry:
        gym.register(ID, PointArm, max_episode_steps=60)


def make_point_arm(**kwargs: Any) -> gym.Env:
    """Returns the environment with its time limit, as gymnasium makes it."""
    register()
    env = gym.make(ID, disable_env_checker=True, **kwargs)
    assert arm_of(env) is env.unwrapped
    return env
