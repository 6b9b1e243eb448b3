"""A mixture of Gaussians over actions: where people did now this and now that, its modes keep them apart.

Source: the heads of robomimic (Mandlekar et al., "What Matters in Learning from Offline Human Demonstrations for Robot
Manipulation", CoRL 2021): 5 modes, means inside (-1, 1), a floor under the standard deviation. What we do differently:
acting takes the mean of the heaviest mode instead of drawing a mode, so that a policy acts alike every time.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

MODES = 5
STD_FLOOR = 0.01  # robomimic's 1e-4 lets the likelihood of repeated actions, such as a closed gripper's, grow at will


class Mixture(NamedTuple):
    """M Gaussians without covariance over actions; leading dimensions (...) as of what they were computed from."""

    logit: torch.Tensor  # (..., M) weights before softmax
    mean: torch.Tensor  # (..., M, A)
    std: torch.Tensor  # (..., M, A)


def mixture_log_prob(mixture: Mixture, action: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Returns log sum_m w_m N(action; mean_m, std_m), (...,), over the dimensions of actions (..., A) that count.

    Args:
        counts: 1 or 0, (..., A): dimensions that do not count are integrated out.
    """
    scaled = (action.unsqueeze(-2) - mixture.mean) / mixture.std
    density = -0.5 * scaled.square() - mixture.std.log() - 0.5 * math.log(2.0 * math.pi)
    each = (density * counts.unsqueeze(-2)).sum(-1)  # (..., M)
    return torch.logsumexp(torch.log_softmax(mixture.logit, -1) + each, -1)


def heaviest_mean(mixture: Mixture) -> torch.Tensor:
    """Returns the mean of the mode of the largest weight, (..., A)."""
    index = mixture.logit.argmax(-1)[..., None, None].expand(*mixture.mean.shape[:-2], 1, mixture.mean.shape[-1])
    return mixture.mean.gather(-2, index).squeeze(-2)


def masked_mean(values: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Returns the mean over the last dimension of what counts, (...,), for values and counts (..., A)."""
    return (values * counts).sum(-1) / counts.sum(-1).clamp(min=1.0)


class MixtureHead(nn.Module):
    """Maps features (..., W) to a mixture over actions."""

    def __init__(self, width: int, action_size: int) -> None:
        super().__init__()
        self.action_size = action_size
        self.layer = nn.Linear(width, MODES * (2 * action_size + 1))

    def forward(self, seen: torch.Tensor) -> Mixture:
        """Returns the mixture."""
        wide = MODES * self.action_size
        logit, mean, scale = self.layer(seen).split([MODES, wide, wide], -1)
        shape = (*seen.shape[:-1], MODES, self.action_size)
        return Mixture(logit, torch.tanh(mean).reshape(shape), STD_FLOOR + F.softplus(scale).reshape(shape))

    def loss(self, seen: torch.Tensor, action: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Returns -log p(action), one a row, (...,)."""
        return -mixture_log_prob(self(seen), action, counts)

    def best(self, seen: torch.Tensor) -> torch.Tensor:
        """Returns the action to take, (..., A)."""
        return heaviest_mean(self(seen))


class MeanHead(nn.Module):
    """Maps features (..., W) to one action, fitted by squared error."""

    def __init__(self, width: int, action_size: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, action_size)

    def loss(self, seen: torch.Tensor, action: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Returns the mean squared distance over the dimensions that count, one a row, (...,); 0 where none does."""
        return masked_mean((self.best(seen) - action).square(), counts)

    def best(self, seen: torch.Tensor) -> torch.Tensor:
        """Returns the action to take, (..., A)."""
        return torch.tanh(self.layer(seen))


def make_head(kind: str, width: int, action_size: int) -> MeanHead | MixtureHead:
    """Returns the head named "mse" or "gmm"."""
    return {"mse": MeanHead, "gmm": MixtureHead}[kind](width, action_size)
