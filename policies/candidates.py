"""Candidates: K actions a state that people would do there, among which a policy chooses; and a learner of that choice.

One answer to where people did now this and now that. Averages of both, on which a regression or a Gaussian comes to a
standstill, are no candidates; nor are actions that nobody does, so an untrained critic cannot lead there. Over K
candidates the soft value is a sum, and neither an actor nor samples are needed (`soft_q`).

Source: Dadashi et al., "Continuous Control with Action Quantization from Demonstrations" (AQuaDem), ICML 2022, Eq. 3:
candidates by a soft minimum, then a learner of discrete actions. Candidates begin at the centres of k-means, as in
Shafiullah et al., "Behavior Transformers", NeurIPS 2022, Sec. 3.1; one candidate may be a chunk of several actions.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.cluster.vq import kmeans2
from torch import nn

from policies.agent import descend, under
from policies.batch import Batch
from policies.behaviour_cloning import Clone, SoftmaxCloning
from policies.learned import DiscreteLearned, Plan
from policies.networks import DiscreteCriticEnsemble, Normaliser, trunk
from policies.soft_q import SoftQAgent

Tensors = dict[str, torch.Tensor]
SPREAD_FLOOR = 0.02
SOFTNESS = 0.02  # of the soft minimum, in squared standard deviations of the demos' actions
HIDDEN = (256, 256)
FIT_ROWS = 256


def soft_minimum_loss(distance: torch.Tensor, softness: float = SOFTNESS) -> torch.Tensor:
    """Returns E[-softness log sum_k exp(-distance_k / softness)] for distances (B, K): AQuaDem, Eq. 3."""
    return -(softness * torch.logsumexp(-distance / softness, -1)).mean()


class Candidates(nn.Module):
    """Maps observations (B, D) to K candidates (B, K, W), W numbers in [-1, 1]: an action, or several in a row.

    Args:
        spread: (W,) standard deviation of the demos' actions: the unit of distances.
    """

    scale: torch.Tensor

    def __init__(self, normaliser: Normaliser, spread: torch.Tensor, count: int, seed: int) -> None:
        super().__init__()
        self.normaliser, self.count = normaliser, count
        self.register_buffer("scale", spread.clamp(min=SPREAD_FLOOR), persistent=False)  # stats.json keeps the spread
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.trunk = trunk([normaliser.width, *HIDDEN])
            self.head = nn.Linear(HIDDEN[-1], count * len(spread))

    def begin_at(self, centres: torch.Tensor) -> None:
        """Makes the candidates nearly the same everywhere: `centres` (K, W), in units of the spread."""
        with torch.no_grad():
            self.head.weight.mul_(0.1)
            self.head.bias.copy_(centres.flatten())

    def scaled(self, obs: torch.Tensor) -> torch.Tensor:
        """Returns the candidates in units of the spread, not yet bounded, (B, K, W)."""
        return self.head(self.trunk(self.normaliser(obs))).unflatten(-1, (self.count, -1))

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        """Returns the candidates, (B, K, W)."""
        return (self.scaled(obs) * self.scale).clamp(-1.0, 1.0)

    def distance(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Returns the mean squared distance of each candidate to action (B, W), (B, K), in squared spreads."""
        return (self.scaled(obs) - (action / self.scale).unsqueeze(-2)).square().mean(-1)

    def nearest(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Returns which candidate is nearest to action (B, W), (B,) int64."""
        return self.distance(obs, action).argmin(-1)

    def chosen(self, obs: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
        """Returns the candidates (B, W) that `which` (B,) names."""
        index = which.reshape(-1, 1, 1).expand(-1, 1, len(self.scale))
        return self(obs).gather(1, index).squeeze(1)


def fit_candidates(
    candidates: Candidates, obs: np.ndarray, action: np.ndarray, steps: int, seed: int, told: Callable[[], object]
) -> None:
    """Fits candidates to demos' rows (N, D) and (N, W); `told` hears of each of the gradient steps."""
    rng = np.random.default_rng(seed)
    seen, done = torch.from_numpy(obs), torch.from_numpy(action)
    candidates.requires_grad_(True)
    candidates.begin_at(_centres(done / candidates.scale, candidates.count, rng))
    fit = Clone(candidates, learning_rate=1e-3)
    for _ in range(steps):
        rows = torch.from_numpy(rng.integers(len(obs), size=FIT_ROWS))
        loss = soft_minimum_loss(fit.actor.distance(seen[rows], done[rows]))
        descend(fit.optimiser, loss)
        fit.follow()
        told()
    candidates.load_state_dict(fit.ema_actor.state_dict())
    candidates.requires_grad_(False)


def _centres(scaled: torch.Tensor, count: int, rng: np.random.Generator) -> torch.Tensor:
    """Returns the centres of `count` clusters of rows (N, W); where there are fewer rows than that, some twice."""
    rows = scaled.numpy().astype(np.float64)
    if len(np.unique(rows, axis=0)) <= count:
        return torch.from_numpy(rows[rng.integers(len(rows), size=count)]).float()
    centres, _ = kmeans2(rows, count, minit="++", iter=30, rng=rng)
    return torch.from_numpy(centres).float()


class CandidateAgent:
    """A learner of discrete actions that chooses among candidates; outside it, actions are rows of numbers.

    Rows that are learned from, the demos' and the policy's own, count as the candidate `nearest` to what was done;
    whoever draws batches asks for it once a row, and a batch's action (B,) says which one that is.

    Args:
        chooser: learns which of the K candidates to take.
    """

    def __init__(self, candidates: Candidates, chooser: SoftQAgent | SoftmaxCloning, seed: int) -> None:
        self.candidates, self.chooser, self._seed = candidates.requires_grad_(False), chooser, seed

    def fit(self, obs: np.ndarray, action: np.ndarray, steps: int, told: Callable[[], object]) -> None:
        """Finds the candidates, before the first update."""
        fit_candidates(self.candidates, obs, action, steps, self._seed, told)

    @property
    def actor(self) -> nn.Module:
        """What `act` needs to explore, as one module."""
        network = self.chooser.critic if isinstance(self.chooser, SoftQAgent) else self.chooser.ema_actor
        return nn.ModuleDict({"candidates": self.candidates, "chooser": network})

    @property
    def generator(self) -> torch.Generator:
        """What samples are drawn with."""
        assert isinstance(self.chooser, SoftQAgent)
        return self.chooser.generator

    @generator.setter
    def generator(self, generator: torch.Generator) -> None:
        assert isinstance(self.chooser, SoftQAgent)
        self.chooser.generator = generator

    @torch.no_grad()
    def act(self, obs: torch.Tensor, *, explore: bool) -> torch.Tensor:
        """Returns the chosen candidates (B, W) for obs (B, D)."""
        return self.candidates.chosen(obs, self.chooser.act(obs, explore=explore))

    @torch.no_grad()
    def nearest(self, obs: np.ndarray, action: np.ndarray) -> np.ndarray:
        """Returns which candidate is nearest to action (B, W) at obs (B, D), (B,) int64."""
        return self.candidates.nearest(torch.from_numpy(obs), torch.from_numpy(action)).numpy()

    def update(self, batch: Batch) -> dict[str, float]:
        """Does one gradient step of the choice."""
        return self.chooser.update(batch)

    def clone_step(self, batch: Batch) -> dict[str, float]:
        """Does one step of cloning the choice."""
        assert isinstance(self.chooser, SoftQAgent)
        return self.chooser.clone_step(batch)

    def state_dict(self) -> Tensors:
        """Returns the state of candidates and chooser."""
        chooser = {f"chooser.{k}": v for k, v in self.chooser.state_dict().items()}
        return {**_under_name(self.candidates), **chooser}

    def load_state_dict(self, state: Tensors) -> None:
        """Continues from what `state_dict` returned."""
        self.candidates.load_state_dict(under(state, "candidates"))
        self.chooser.load_state_dict(under(state, "chooser"))

    def deployed(self) -> Tensors:
        """Returns what a policy needs: the candidates, and what chooses among them."""
        return {**_under_name(self.candidates), **self.chooser.deployed()}


def _under_name(candidates: Candidates) -> Tensors:
    return {f"candidates.{k}": v for k, v in candidates.state_dict().items()}


class CandidateRows(nn.Module):
    """Candidates and a table of their values as one function without memory: observations (B, D) to actions (B, W)."""

    def __init__(self, candidates: Candidates, table: DiscreteCriticEnsemble) -> None:
        super().__init__()
        self.candidates, self.table, self.normaliser = candidates, table, candidates.normaliser

    def best(self, obs: torch.Tensor) -> torch.Tensor:
        """Returns the candidate of the highest value, all its actions one after the other."""
        return self.candidates.chosen(obs, self.table.best(obs))


class CandidateLearned:
    """A choice among candidates as `learned.Learned`: acts by the highest value; a clone's are but preferences.

    Args:
        window: how many actions a candidate is; all of them are done before the next choice.
    """

    def __init__(
        self, candidates: Candidates, table: DiscreteCriticEnsemble, model: Tensors, temperature: float, window: int
    ) -> None:
        self.actor, self._plan = CandidateRows(candidates, table), Plan(window, window)
        self._choice = DiscreteLearned(table, model, temperature)
        self.has_critic = self._choice.has_critic
        candidates.load_state_dict(under(model, "candidates"))

    def begin(self) -> None:
        """Forgets what was planned."""
        self._plan.begin()

    replan = begin

    def act(self, obs: torch.Tensor) -> torch.Tensor:
        """Returns the next of the actions (1, A) that were chosen."""
        return self._plan.next(lambda: self.actor.best(obs))

    def q(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Returns Q(s, a), (B,), the mean over the critics, of the candidates nearest to action (B, W)."""
        return self._choice.q(obs, self.actor.candidates.nearest(obs, action))

    def value(self, obs: torch.Tensor, samples: int) -> torch.Tensor:
        """Returns temperature log sum_k exp(Q / temperature), the mean over the critics, (B,)."""
        return self._choice.value(obs, samples)
