"""Networks: a tanh-Gaussian actor and an ensemble of LayerNorm critics evaluated in one go."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

LOG_STD_MIN, LOG_STD_MAX = -3.0, 0.5
LEAST_SPREAD = 0.002
NORMALISED_LIMIT = 8.0
STD_FLOOR = 0.02
SATURATED = 0.999  # actions beyond it have no finite mean before tanh worth reaching for


class Normaliser(nn.Module):
    """Shifts and scales observations (..., D) by statistics of the demos, and clips what lies far outside them.

    `std` has a floor, so that a feature that hardly moves in the demos does not explode when it moves later.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: torch.Tensor, std: torch.Tensor, floor: float = STD_FLOOR) -> None:
        super().__init__()
        self.register_buffer("mean", mean.clone(), persistent=False)  # a checkpoint keeps them in stats.json
        self.register_buffer("std", std.clamp(min=floor), persistent=False)

    @property
    def width(self) -> int:
        """How many numbers come out for one observation."""
        return len(self.mean)

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        """Returns the normalised observation, of the same shape."""
        return ((obs - self.mean) / self.std).clamp(-NORMALISED_LIMIT, NORMALISED_LIMIT)


class Magnifier(Normaliser):
    """Normalises, and shows some columns once more under a magnifying glass: asinh(x / scale), x as it was observed.

    Near nought it is x / scale, far off its logarithm: two millimetres beside a peg are seen as well as the way there.

    Args:
        columns: of distances, whose nought is where things meet. scale: metres.
    """

    def __init__(self, of: Normaliser, columns: Sequence[int], scale: float) -> None:
        super().__init__(of.mean, of.std, floor=0.0)
        self.columns, self.scale = list(columns), scale

    @property
    def width(self) -> int:
        """How many numbers come out for one observation."""
        return len(self.mean) + len(self.columns)

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        """Returns (..., D + columns) for obs (..., D)."""
        x = obs[..., self.columns] / self.scale
        asinh = x.sign() * (x.abs() + (x.square() + 1.0).sqrt()).log()  # torch.onnx does not know torch.asinh
        return torch.cat([super().forward(obs), asinh], -1)


class Columns(Normaliser):
    """Normalises the columns of rows (..., D) from `first` on, as many as it has statistics of; leaves the rest out.

    Args:
        opaque: no gradient goes through to the rows.
    """

    def __init__(self, of: Normaliser, first: int, *, opaque: bool = False) -> None:
        super().__init__(of.mean, of.std, floor=0.0)
        self.first, self.opaque = first, opaque

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        """Returns (..., W) for obs (..., D)."""
        obs = obs.detach() if self.opaque else obs
        return super().forward(obs[..., self.first : self.first + len(self.mean)])


def latest(of: Normaliser, stacked: int) -> Normaliser:
    """Returns the normaliser of the latest of `stacked` steps, whose features stand side by side in rows (..., D)."""
    if stacked == 1:
        return of
    first = len(of.mean) - len(of.mean) // stacked
    return Columns(Normaliser(of.mean[first:], of.std[first:], floor=0.0), first)


class _Bounded(torch.autograd.Function):
    """Clamps, and lets a gradient through beyond a bound where a step along it leads back inside."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, least: torch.Tensor, most: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x < least, x > most)
        return x.clamp(least, most)

    @staticmethod
    def backward(ctx: Any, slope: torch.Tensor) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return leading_inside(slope, *ctx.saved_tensors), None, None


def leading_inside(slope: torch.Tensor, below: torch.Tensor, above: torch.Tensor) -> torch.Tensor:
    """Returns the slope without what would lead a descent further below or above its bounds; all of one shape."""
    return torch.where((below & (slope > 0)) | (above & (slope < 0)), 0.0, slope)


def trunk(sizes: Sequence[int]) -> nn.Sequential:
    """Returns linear layers from `sizes` to `sizes`, each followed by a ReLU."""
    return nn.Sequential(*(m for i, o in itertools.pairwise(sizes) for m in (nn.Linear(i, o), nn.ReLU())))


class TanhGaussianActor(nn.Module):
    """Maps observations (B, D) to a Gaussian over R^A that tanh squashes into [-1, 1]^A.

    Args:
        spread: (A,) standard deviation of the demos' actions. The noise of a dimension stays below it, so that what
            nobody moved, such as the wrist, is not moved by exploring either: ten demos do not show how to turn back.
        most_noise: another bound of the noise, where less than the spread is wanted, as a gait's own is wide; 0: none.
        noise_learns: the noise begins at the spread, and gradients lead it from there. Else it begins above, where the
            bound lets no gradient through, and stays at the spread in most states: better with a fixed, low
            temperature, at which noise that learns soon vanishes, and practice with it (LOG.md).
    """

    log_std_min: torch.Tensor
    log_std_max: torch.Tensor

    def __init__(
        self, normaliser: Normaliser, spread: torch.Tensor, hidden: Sequence[int], seed: int, *,
        noise_learns: bool = False, most_noise: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.normaliser, self.noise_learns, action_size = normaliser, noise_learns, len(spread)
        most = min(LOG_STD_MAX, math.log(most_noise or math.inf))
        log_spread = (spread + LEAST_SPREAD).log().clamp(max=most)
        self.register_buffer("log_std_max", log_spread, persistent=False)  # a checkpoint keeps the spread in stats.json
        self.register_buffer("log_std_min", (log_spread - 2.0).clamp(max=LOG_STD_MIN), persistent=False)
        sizes = [normaliser.width, *hidden]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.trunk = trunk(sizes)
            self.head = nn.Linear(sizes[-1], 2 * action_size)
        if noise_learns:
            with torch.no_grad():
                self.head.bias[action_size:] = self.log_std_max

    def forward(self, obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the mean before tanh (B, A) and the log of the standard deviation (B, A)."""
        mean, raw = self.head(self.trunk(self.normaliser(obs))).chunk(2, -1)
        if self.noise_learns:
            return mean, _Bounded.apply(raw, self.log_std_min, self.log_std_max)  # pyright: ignore
        return mean, raw.clamp(self.log_std_min, self.log_std_max)

    def best(self, obs: torch.Tensor) -> torch.Tensor:
        """Returns the deterministic action tanh(mean), (B, A)."""
        return torch.tanh(self(obs)[0])

    def sample(self, obs: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Returns the action for standard normal `noise` (B, A), its log density (B,), and tanh(mean) (B, A).

        The density is per unit of the demos' spread, so that dimensions without noise do not swamp the entropy.
        """
        mean, log_std = self(obs)
        before = mean + log_std.exp() * noise
        log_prob = tanh_gaussian_log_prob(before, noise, log_std) + self.log_std_max.sum()
        return torch.tanh(before), log_prob, torch.tanh(mean)

    def log_prob(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Returns the log density (B,) of given actions (B, A), in the unit of `sample`; +-1 counts as just inside."""
        mean, log_std = self(obs)
        before = torch.atanh(action.clamp(-SATURATED, SATURATED))
        return tanh_gaussian_log_prob(before, (before - mean) / log_std.exp(), log_std) + self.log_std_max.sum()


def tanh_gaussian_log_prob(before: torch.Tensor, noise: torch.Tensor, log_std: torch.Tensor) -> torch.Tensor:
    """Returns log p(tanh(before)), (B,), where before = mean + std * noise.

    Source: Haarnoja et al. 2018 (SAC), appendix C; log(1 - tanh(x)^2) = 2 (log 2 - x - softplus(-2 x)) is stable.
    """
    gaussian = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
    squash = 2.0 * (math.log(2.0) - before - F.softplus(-2.0 * before))
    return (gaussian - squash).sum(-1)


class Ensemble(nn.Module):
    """N multi-layer perceptrons with LayerNorm, whose weights lie together: one optimiser, one checkpoint entry."""

    def __init__(self, sizes: Sequence[int], count: int, seed: int, layer_norm: bool = True) -> None:
        super().__init__()
        self.layer_norm, self._widths = layer_norm, [(o,) for o in sizes[1:-1]]
        generator = torch.Generator().manual_seed(seed)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        self.gains, self.shifts = nn.ParameterList(), nn.ParameterList()
        for i, o in itertools.pairwise(sizes):
            bound = 1.0 / math.sqrt(i)
            self.weights.append(nn.Parameter((torch.rand(count, i, o, generator=generator) * 2 - 1) * bound))
            self.biases.append(nn.Parameter((torch.rand(count, 1, o, generator=generator) * 2 - 1) * bound))
        for o in sizes[1:-1]:
            self.gains.append(nn.Parameter(torch.ones(count, 1, o)))
            self.shifts.append(nn.Parameter(torch.zeros(count, 1, o)))

    def outputs(self, rows: torch.Tensor) -> torch.Tensor:
        """Returns the last layer's output (N, B, out) for inputs (B, in)."""
        return torch.stack([self._one(rows, *parts) for parts in self._by_member()])

    def _by_member(self) -> Iterator[tuple[list[torch.Tensor], ...]]:
        """Yields weights, biases, gains and shifts of each perceptron, as views."""
        columns = [[p.unbind(0) for p in part] for part in (self.weights, self.biases, self.gains, self.shifts)]
        for n in range(len(self.weights[0])):
            yield tuple([part[n] for part in column] for column in columns)

    def _one(
        self, x: torch.Tensor, weights: list[torch.Tensor], biases: list[torch.Tensor], gains: list[torch.Tensor],
        shifts: list[torch.Tensor],
    ) -> torch.Tensor:  # fmt: skip
        """Returns (B, out). One after the other beats batched products on a CPU: their backward is slower (LOG.md)."""
        for i, (gain, shift) in enumerate(zip(gains, shifts, strict=True)):
            x = torch.addmm(biases[i], x, weights[i])
            if self.layer_norm:
                x = F.layer_norm(x, self._widths[i], gain[0], shift[0])
            x = F.relu(x, inplace=True)
        return torch.addmm(biases[-1], x, weights[-1])


class CriticEnsemble(Ensemble):
    """N critics, each a function of (obs, action)."""

    def __init__(
        self, normaliser: Normaliser, action_size: int, hidden: Sequence[int], count: int, seed: int,
        layer_norm: bool = True,
    ) -> None:  # fmt: skip
        super().__init__([normaliser.width + action_size, *hidden, 1], count, seed, layer_norm)
        self.normaliser = normaliser

    def forward(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Returns Q (N, B) for obs (B, D) and action (B, A)."""
        return self.judge(self.normaliser(obs), action)

    def judge(self, normal: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Returns Q (N, B) for observations (B, D) that are normalised already."""
        return self.outputs(torch.cat([normal, action], -1)).squeeze(-1)


class DiscreteCriticEnsemble(Ensemble):
    """N critics, each a function of obs that gives Q of all K actions; their softmax is the policy."""

    def __init__(
        self, normaliser: Normaliser, actions: int, hidden: Sequence[int], count: int, seed: int,
        layer_norm: bool = True,
    ) -> None:  # fmt: skip
        super().__init__([normaliser.width, *hidden, actions], count, seed, layer_norm)
        self.normaliser = normaliser

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        """Returns Q (N, B, K) for obs (B, D)."""
        return self.outputs(self.normaliser(obs))

    @torch.no_grad()
    def scale_outputs(self, factor: float) -> None:
        """Makes every Q `factor` times as large: the last layer's weights and biases shrink, or grow."""
        self.weights[-1].mul_(factor)
        self.biases[-1].mul_(factor)

    @torch.no_grad()
    def shift_outputs(self, offset: float) -> None:
        """Makes every Q larger by `offset`, which the softmax over actions does not notice."""
        self.biases[-1].add_(offset)

    def best(self, obs: torch.Tensor) -> torch.Tensor:
        """Returns the action of the highest Q, averaged over the critics, (B,) int64."""
        return self(obs).mean(0).argmax(-1)


def soft_value(q: torch.Tensor, temperature: float) -> torch.Tensor:
    """Returns V(s) = temperature log sum_a exp(Q(s, a) / temperature), (..., B) for Q (..., B, K)."""
    return temperature * torch.logsumexp(q / temperature, -1)


@torch.no_grad()
def move_towards(target: nn.Module, source: nn.Module, share: float) -> None:
    """Moves every parameter of `target` by `share` of the way to `source`."""
    torch._foreach_lerp_(list(target.parameters()), list(source.parameters()), share)  # pyright: ignore
