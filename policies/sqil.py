"""SQIL: soft Q-learning on a reward of 1 for demo rows and 0 for the policy's own. A baseline beside IQ-Learn.

Source: Reddy, Dragan, Levine, "SQIL: Imitation Learning via Reinforcement Learning with Sparse Rewards", ICLR 2020,
Eq. 1. Actor, critics, pretraining and cloning term are those of IQ-Learn here, so that only the critic's loss differs.
"""

from __future__ import annotations

import torch

from policies.batch import Judged


def sqil_loss(judged: Judged, *, gamma: float) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Returns the squared soft Bellman error with reward 1 on expert rows, 0 on the others, and its two halves."""
    target = judged.is_expert.float() + gamma * judged.target_next_value
    error = (judged.q - target).square()
    expert = judged.is_expert
    return error.mean(), {"bellman_expert": error[:, expert].mean(), "bellman_replay": error[:, ~expert].mean()}


def sqil_absorbing_value(gamma: float) -> float:
    """Returns V of the state after success: the reward of 1 for ever."""
    return 1.0 / (1.0 - gamma)
