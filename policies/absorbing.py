"""Rows with a mark that tells the absorbing state from all others: what follows the task's end is a state of its own.

Source: Kostrikov et al., "Discriminator-Actor-Critic", ICLR 2019, Sec. 4: learners that judge rows by a learned reward
must see where episodes go once they have ended, or ending early is rewarded or punished by construction. An observation
gets one more column, 0; the absorbing state is all zeros with a 1 there, whatever is done in it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from policies.batch import Batch
from policies.networks import Normaliser
from policies.sharing import Share


class MarkedRows(NamedTuple):
    """R = B + E rows: those of a batch, and for each of the E that ended one that stays in the absorbing state."""

    state: torch.Tensor  # (R, D + 1) normalised, marked
    action: torch.Tensor  # (R, A)
    next_state: torch.Tensor  # (R, D + 1) normalised, marked
    absorbed: torch.Tensor  # (R,) bool: next_state is the absorbing one, where no action matters
    is_expert: torch.Tensor  # (R,) bool
    seen: int  # B, the number of rows that the batch has


def mark_rows(normaliser: Normaliser, batch: Batch) -> MarkedRows:
    """Returns the batch's rows normalised and marked; where the task itself ended, the absorbing state follows."""
    state, following = marked(normaliser(batch.obs)), marked(normaliser(batch.next_obs))
    ended = batch.terminated
    nowhere = absorbing_state(state.shape[1], int(ended.sum()))
    following = torch.where(ended[:, None], absorbing_state(state.shape[1], 1), following)
    return MarkedRows(
        torch.cat([state, nowhere]),
        torch.cat([batch.action, torch.zeros(len(nowhere), batch.action.shape[1])]),
        torch.cat([following, nowhere]),
        torch.cat([ended, torch.ones(len(nowhere), dtype=torch.bool)]),
        torch.cat([batch.is_expert, batch.is_expert[ended]]),
        len(ended),
    )


def value_after(batch: Batch, next_value: torch.Tensor, absorbing_value: float | None) -> torch.Tensor:
    """Returns V(s'), (..., B), with the absorbing state's value where the task itself ended; None: as it stands."""
    return next_value if absorbing_value is None else torch.where(batch.terminated, absorbing_value, next_value)


def marked(normal: torch.Tensor) -> torch.Tensor:
    """Returns normalised observations (B, D) with a column of zeros, (B, D + 1)."""
    return torch.cat([normal, normal.new_zeros(len(normal), 1)], 1)


def absorbing_state(width: int, rows: int) -> torch.Tensor:
    """Returns `rows` copies of the absorbing state, (rows, width)."""
    state = torch.zeros(rows, width)
    state[:, -1] = 1.0
    return state


def points_between(
    expert: torch.Tensor, other: torch.Tensor, generator: torch.Generator, share: Share = Share()
) -> torch.Tensor:
    """Returns random points on lines from an expert's input (E, W) to another (O, W), with gradient: for a penalty.

    There are as many as there are of both, (min(E, O), W).

    Source: Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017, Sec. 4.
    """
    pairs = min(len(expert), len(other))
    part = share.of(torch.rand(pairs * share.count, 1, generator=generator))
    return (part * expert[:pairs] + (1.0 - part) * other[:pairs]).requires_grad_()
