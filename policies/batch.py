"""Batch: the rows of one gradient step."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Batch(NamedTuple):
    """B transitions. `is_expert` says which rows a demo gave, the others come from the policy's own practice."""

    obs: torch.Tensor  # (B, D) float32
    action: torch.Tensor  # (B, A) float32 in [-1, 1]
    reward: torch.Tensor  # (B,) float32, the environment's; imitation does not look at it
    next_obs: torch.Tensor  # (B, D) float32
    terminated: torch.Tensor  # (B,) bool: the task itself ended here; a time limit does not count
    is_expert: torch.Tensor  # (B,) bool
