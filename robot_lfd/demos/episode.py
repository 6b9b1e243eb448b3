"""Episode: one recorded demo or rollout, validated once when it is made."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from robot_lfd.errors import LfdError


@dataclass(frozen=True)
class Episode:
    """From reset to end: T steps, T + 1 observations.

    Attributes:
        obs: named observations, each (T + 1, ...): float32, or uint8 (T + 1, H, W, 3) under `images/<camera>`.
        action: (T, A) float32 in [-1, 1]; (T,) int64 for discrete actions.
        reward: (T,) float32.
        sim_state: (T + 1, S) float64, the simulator's own state.
        time: (T, 2) float64, [scheduled, actual] seconds since the first tick.
        intervention: (T,) bool, True where a human drove a step of a deployed policy.
        success: the task was solved at the end. terminated: the task itself ended. truncated: a limit cut it.
        model: the text from which the world is built again; "" where the seed says all.
        meta: seed (int or None), operator, device, device_settings, note, tags, ...: anything JSON can hold.

    Raises:
        LfdError: an array has the wrong shape, type or length, or holds NaN.
    """

    obs: dict[str, np.ndarray]
    action: np.ndarray
    reward: np.ndarray
    sim_state: np.ndarray
    time: np.ndarray
    intervention: np.ndarray
    success: bool
    terminated: bool
    truncated: bool
    model: str = ""
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        T = len(self.action)
        if T == 0:
            raise LfdError("episode has no steps, expected at least one")
        if not self.obs:
            raise LfdError("episode has no observations, expected at least one key")
        for name, array in self.arrays().items():
            _check(name, array, T)

    def __len__(self) -> int:
        """T, the number of steps."""
        return len(self.action)

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns every array by its path in the store: `action`, `obs/<key>`, `images/<camera>`, ..."""
        steps = {k: getattr(self, k) for k in ("action", "reward", "sim_state", "time", "intervention")}
        return {**steps, **{array_path(k): v for k, v in self.obs.items()}}

    def replace(self, **changes: Any) -> Episode:
        """Returns a copy with some fields changed, validated again."""
        return dataclasses.replace(self, **changes)

    def trim(self, start: int, stop: int) -> Episode:
        """Returns steps start..stop-1 alone. A piece that does not begin at 0 cannot be re-simulated from reset."""
        if not 0 <= start < stop <= len(self):
            raise LfdError(f"trim {start}:{stop} lies outside the episode's 0:{len(self)}")
        whole = stop == len(self)
        return self.replace(
            obs={k: v[start : stop + 1] for k, v in self.obs.items()},
            sim_state=self.sim_state[start : stop + 1],
            **{k: getattr(self, k)[start:stop] for k in ("action", "reward", "time", "intervention")},
            success=self.success and whole,
            terminated=self.terminated and whole,
            truncated=self.truncated if whole else True,
            meta={**self.meta, "trimmed": [start, stop]},
        )


def array_path(obs_key: str) -> str:
    """Returns where an observation lies in the store: pictures under `images/`, the rest under `obs/`."""
    return obs_key if obs_key.startswith("images/") else f"obs/{obs_key}"


def _check(name: str, array: np.ndarray, steps: int) -> None:
    rows = steps + 1 if name == "sim_state" or name.startswith(("obs/", "images/")) else steps
    dtypes = {"sim_state": "f8", "time": "f8", "intervention": "?", "reward": "f4"}
    wanted = dtypes.get(name, "u1" if name.startswith("images/") else "f4")
    found = f"{name} has shape {array.shape} and type {array.dtype}"
    if len(array.shape) == 0 or array.shape[0] != rows:
        raise LfdError(f"{found}, expected {rows} rows for {steps} steps")
    discrete = name == "action" and array.dtype == np.int64
    if array.dtype != np.dtype(wanted) and not discrete:
        raise LfdError(f"{found}, expected type {np.dtype(wanted)}")
    if name.startswith("images/") and (array.ndim != 4 or array.shape[3] != 3):
        raise LfdError(f"{found}, expected (T + 1, H, W, 3)")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        row = int(np.argwhere(~np.isfinite(array))[0][0])
        raise LfdError(f"{name} holds NaN or infinity, first in row {row}, expected finite numbers")


def step_rows(episode: Episode) -> tuple[dict[str, np.ndarray], np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Returns obs, action (T, A), next_obs and terminated (T,) of all steps."""
    T = len(episode)
    before, after = ({k: v[rows] for k, v in episode.obs.items()} for rows in (slice(0, T), slice(1, T + 1)))
    ends = np.zeros(T, bool)
    ends[-1] = episode.terminated
    return before, episode.action.reshape(T, -1), after, ends
