"""What an arm environment offers beyond `gymnasium.Env`, so that demos can be recorded, replayed and learned from."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import gymnasium as gym
import numpy as np

from robot_lfd.errors import LfdError


@runtime_checkable
class ArmEnv(Protocol):
    """A simulated arm. Observations are a Dict of named float32 arrays, actions a Box [-1, 1] float32 (A,).

    `reset(seed=..., options={"model": str, "sim_state": (S,)})` starts from a recorded model and first state instead
    of drawing a new start. From equal model, state and actions every later step is equal bit for bit.

    Attributes:
        control_hz: control steps per second.
        action_names: one per dimension, of dx dy dz drx dry drz gripper (gripper: +1 closes, -1 opens, 0 holds).
        action_scale: (A,) physical size of 1.0 in a control step, in `action_units`.
        action_units: one per dimension: "m", "rad" or "1".
        policy_keys: the observations a policy sees by default: relative ones, see each environment's docstring.
        proprio_keys: what a policy that sees pictures may feel beside them: of the arm alone, nothing of any object.
        camera_names: what `render_camera` accepts; the first is the main view.

    An arm may also tell `joint_limits`, (2, J) rad for its `joint_pos`, `gripper_force_n`, what its fingers press with
    at most, and `workspace`, (2, 3) m: `robot_lfd.limits` keeps to them.
    """

    control_hz: float
    action_names: tuple[str, ...]
    action_scale: np.ndarray
    action_units: tuple[str, ...]
    policy_keys: tuple[str, ...]
    proprio_keys: tuple[str, ...]
    camera_names: tuple[str, ...]

    def sim_state(self) -> np.ndarray:
        """Returns the simulator's state now, (S,) float64."""
        ...

    def model(self) -> str:
        """Returns the text from which, with a first state, the world of this episode is built again."""
        ...

    def render_camera(self, camera: str, height_px: int, width_px: int) -> np.ndarray:
        """Returns the picture of a camera, (H, W, 3) uint8 RGB. Raises LfdError for an unknown camera."""
        ...


def arm_of(env: gym.Env) -> ArmEnv:
    """Returns the layer of `env` that offers the arm contract, below time limits and camera wrappers."""
    layer = env
    while not isinstance(layer, ArmEnv):
        if not isinstance(layer, gym.Wrapper):
            raise LfdError(f"{layer} offers no simulator state; make it with robot_lfd.envs.make_env")
        layer = layer.env
    return layer
