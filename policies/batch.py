"""Batch: the rows of one gradient step. Judged: what the critics say of them."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Batch(NamedTuple):
    """B transitions. `is_expert` says which rows a demo gave, the others come from the policy's own practice."""

    obs: torch.Tensor  # (B, D) float32
    action: torch.Tensor  # (B, A) float32 in [-1, 1]; (B,) int64 where actions are discrete
    reward: torch.Tensor  # (B,) float32, the environment's; imitation does not look at it
    next_obs: torch.Tensor  # (B, D) float32
    terminated: torch.Tensor  # (B,) bool: the task itself ended here; a time limit does not count
    is_expert: torch.Tensor  # (B,) bool
    first_obs: torch.Tensor  # (F, D) float32: what demos began with; F is 0 unless the loss asks for it


class Judged(NamedTuple):
    """The values of a batch, from N critics. Where the task ended, V(s') is the absorbing state's."""

    q: torch.Tensor  # (N, B) Q(s, a)
    value: torch.Tensor  # (N, B) V(s)
    next_value: torch.Tensor  # (N, B) V(s') of the critics being trained, with gradient
    target_next_value: torch.Tensor  # (B,) V(s') of the slowly moving target critics, without gradient
    first_value: torch.Tensor  # (N, F) V of the demos' first observations
    is_expert: torch.Tensor  # (B,) bool
    reward: torch.Tensor = torch.zeros(0)  # (B,) the batch's, for losses that are told rewards instead of finding them
