"""Numbers among a run's settings: each where it means something, checked before anything is read."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from robot_lfd.believable import COUNTS
from robot_lfd.errors import LfdError
from robot_lfd.train.config import TrainConfig

WHOLE = {
    "batch_rows": 1, "critics": 1, "updates_per_step": 1, "practice_per_update": 1, "copies": 1, "frame_stack": 1,
    "practice_limit": 1, "max_demos": 1, "eval_episodes": 1, "checkpoint_every": 1, "seed": 0, "pretrain_steps": 0,
    "bc_decay_steps": 0, "bc_fall_at": 0, "eval_every": 0, "shift_px": 0, "teacher_steps": 0, "steps": 1,
}  # fmt: skip
"""The least that each may be."""
ABOVE_NOUGHT = ("chi2_alpha", "temperature", "practice_noise")
FROM_NOUGHT = ("bc_weight", "action_noise", "colour_jitter", "state_weight", "near_m")


def check_numbers(config: TrainConfig) -> None:
    """Raises LfdError, in one line, for a number that makes no sense."""
    for name, least in WHOLE.items():
        _check(config, name, f"at least {least}", lambda x, n=least: x >= n)
    for name in ABOVE_NOUGHT:
        _check(config, name, "more than 0", lambda x: x > 0.0)
    for name in FROM_NOUGHT:
        _check(config, name, "0 or more", lambda x: x >= 0.0)
    _check(config, "ema_share", "more than 0, at most 1", lambda x: 0.0 < x <= 1.0)
    _check(config, "gamma", "a number between 0 and 1", lambda x: 0.0 < x < 1.0)
    most = COUNTS["candidates"]
    _check(config, "candidates", f"at most {most}", lambda x: x <= most)
    if config.hidden is not None and any(width < 1 for width in config.hidden):
        raise LfdError(f"--hidden is {' '.join(map(str, config.hidden))}, expected widths of at least 1")
    twice = [k for k in config.features if config.features.count(k) > 1]
    if twice:
        raise LfdError(f"--features names '{twice[0]}' twice; once is enough")


def _check(config: TrainConfig, name: str, expected: str, fits: Callable[[Any], bool]) -> None:
    value = getattr(config, name)
    if value is not None and not (math.isfinite(value) and fits(value)):
        raise LfdError(f"--{name.replace('_', '-')} is {value}, expected {expected}")
