"""What acts and judges once training is over: networks by kind, with the weights that a checkpoint keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch

from policies.agent import under
from policies.networks import CriticEnsemble, DiscreteCriticEnsemble, TanhGaussianActor, soft_value

Tensors = dict[str, torch.Tensor]


class Learned(Protocol):
    """A learned policy on tensors. `has_critic`: whether it is `Critical` too."""

    has_critic: bool

    def begin(self) -> None:
        """Begins an episode: forgets what the last one left."""
        ...

    def replan(self) -> None:
        """Drops what was decided on and is still to come: somebody else has acted. What was seen stays."""
        ...

    def act(self, obs: torch.Tensor) -> torch.Tensor:
        """Returns the best actions, (B, A) float32 or (B,) int64, for obs (B, D)."""
        ...


class Critical(Protocol):
    """What a learned policy with critics can say beside its actions."""

    def q(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Returns Q(s, a), (B,), the mean over the critics."""
        ...

    def value(self, obs: torch.Tensor, samples: int) -> torch.Tensor:
        """Returns V(s), (B,); where it is an expectation over actions, over `samples` of them."""
        ...


class Plan:
    """Decisions on several actions at once, handed out action by action.

    Args:
        window: how many actions one decision has. execute: how many of them are done before the next decision.
    """

    def __init__(self, window: int, execute: int) -> None:
        self.window, self.execute = window, execute
        self.begin()

    def begin(self) -> None:
        """Forgets what was decided."""
        self._left: list[torch.Tensor] = []

    def next(self, decide: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Returns the next action (B, A); where none is left, of a new decision (B, window A)."""
        if not self._left:
            self._left = list(decide().chunk(self.window, -1)[: self.execute])
        return self._left.pop(0)


class GaussianLearned:
    """A tanh-Gaussian actor that acts by its mean, and its critics where it has some.

    Args:
        window: how many actions are decided on at once; all of them are done before the actor looks again.
    """

    def __init__(
        self, actor: TanhGaussianActor, critic: CriticEnsemble, model: Tensors, temperature: float, window: int = 1
    ) -> None:
        self.actor, self.critic, self._plan = actor, critic, Plan(window, window)
        self.temperature = float(model["temperature"]) if "temperature" in model else temperature
        self.has_critic = bool(under(model, "critic"))
        actor.load_state_dict(under(model, "actor"))
        if self.has_critic:
            critic.load_state_dict(under(model, "critic"))

    def begin(self) -> None:
        """Forgets what was planned."""
        self._plan.begin()

    replan = begin

    def act(self, obs: torch.Tensor) -> torch.Tensor:
        """Returns tanh(mean), (B, A); with a window, the next of the actions (1, A) that were decided on."""
        return self._plan.next(lambda: self.actor.best(obs))

    def q(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Returns Q(s, a), (B,), the mean over the critics."""
        return self.critic(obs, action).mean(0)

    def value(self, obs: torch.Tensor, samples: int) -> torch.Tensor:
        """Returns E[Q(s, a) - temperature log pi(a|s)] over `samples` actions, (B,).

        Every row at every call has the same noise: V of a state does not depend on which rows stand beside it.
        """
        rows = obs.repeat_interleave(samples, 0)
        noise = torch.randn(samples, len(self.actor.log_std_max), generator=torch.Generator().manual_seed(0))
        action, log_prob, _ = self.actor.sample(rows, noise.repeat(len(obs), 1))
        return (self.q(rows, action) - self.temperature * log_prob).reshape(-1, samples).mean(1)


class DiscreteLearned:
    """A table of values for K actions that acts by the highest; a clone's are no values, only preferences."""

    def __init__(self, critic: DiscreteCriticEnsemble, model: Tensors, temperature: float) -> None:
        self.critic, self.temperature = critic, temperature
        self.has_critic = bool(under(model, "critic"))
        critic.load_state_dict(under(model, "critic") or under(model, "actor"))

    def begin(self) -> None:
        """Does nothing: this policy has no memory."""

    replan = begin

    def act(self, obs: torch.Tensor) -> torch.Tensor:
        """Returns the action of the highest value, (B,) int64."""
        return self.critic.best(obs)

    def q(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Returns Q(s, a), (B,), the mean over the critics, for action (B,) int64."""
        return self.critic(obs).mean(0).gather(1, action.reshape(-1, 1)).squeeze(1)

    def value(self, obs: torch.Tensor, samples: int) -> torch.Tensor:
        """Returns temperature log sum_a exp(Q / temperature), the mean over the critics, (B,)."""
        return soft_value(self.critic(obs), self.temperature).mean(0)
