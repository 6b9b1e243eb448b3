"""SQIL: soft Q-learning on a reward of 1 for demo rows and 0 for the policy's own. A baseline beside IQ-Learn.

Source: Reddy, Dragan, Levine, "SQIL: Imitation Learning via Reinforcement Learning with Sparse Rewards", ICLR 2020,
Eq. 1. Actor, critics, pretraining and cloning term are those of IQ-Learn here, so that only the critic's loss differs.
"""

from __future__ import annotations

import torch


def sqil_loss(
    q: torch.Tensor, value: torch.Tensor, next_value: torch.Tensor, target_next_value: torch.Tensor,
    is_expert: torch.Tensor, *, gamma: float,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:  # fmt: skip
    """Returns the squared soft Bellman error with reward 1 on expert rows, 0 on the others, and its two halves.

    Args:
        q: Q(s, a), (N, B). target_next_value: V(s'), (B,). is_expert: (B,) bool. The other two are not needed.
    """
    target = is_expert.float() + gamma * target_next_value
    error = (q - target).square()
    return error.mean(), {"bellman_expert": error[:, is_expert].mean(), "bellman_replay": error[:, ~is_expert].mean()}


def sqil_absorbing_value(gamma: float) -> float:
    """Returns V of the state after success: the reward of 1 for ever."""
    return 1.0 / (1.0 - gamma)
