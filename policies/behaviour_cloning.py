"""Behaviour cloning: the action a person took, as a regression from what was seen. The baseline of every claim."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from policies.agent import descend, load_optimiser_tensors, optimiser_tensors, under
from policies.batch import Batch
from policies.networks import DiscreteCriticEnsemble, Normaliser, TanhGaussianActor, move_towards

Tensors = dict[str, torch.Tensor]
EMA_SHARE = 0.001


def bc_loss(predicted: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
    """Returns the mean squared distance of two sets of actions, both (B, A)."""
    return (predicted - action).square().mean()


class Clone:
    """An actor with its optimiser: what every kind of cloning saves, continues from and leaves behind.

    What acts and is left behind is the average of the weights over about the last 1 / EMA_SHARE steps: what single
    steps leave of noise in them costs precision (LOG.md).
    """

    def __init__(self, actor: nn.Module, learning_rate: float) -> None:
        self.actor: Any = actor
        self.ema_actor: Any = copy.deepcopy(actor).requires_grad_(False)
        self.updates = 0
        self.optimiser = torch.optim.Adam(actor.parameters(), lr=learning_rate, fused=True)

    def follow(self) -> None:
        """Ends a gradient step: the average takes it in; the first ones count alike."""
        self.updates += 1
        move_towards(self.ema_actor, self.actor, max(EMA_SHARE, 1.0 / self.updates))

    def state_dict(self) -> Tensors:
        """Returns the state of the actor, its average and the optimiser."""
        state = {f"actor.{k}": v for k, v in self.actor.state_dict().items()}
        state |= {f"ema_actor.{k}": v for k, v in self.ema_actor.state_dict().items()}
        state |= {f"optimiser.{k}": v for k, v in optimiser_tensors(self.optimiser).items()}
        return {**state, "updates": torch.tensor(self.updates)}

    def load_state_dict(self, state: Tensors) -> None:
        """Continues from what `state_dict` returned."""
        self.actor.load_state_dict(under(state, "actor"))
        self.ema_actor.load_state_dict(under(state, "ema_actor"))
        load_optimiser_tensors(self.optimiser, under(state, "optimiser"))
        self.updates = int(state["updates"])

    def deployed(self) -> Tensors:
        """Returns the averaged actor."""
        return {f"actor.{k}": v for k, v in self.ema_actor.state_dict().items()}


class RowClone(Clone, ABC):
    """Fits an actor to single rows of demos by one regression a step; a clone does not explore."""

    @torch.no_grad()
    def act(self, obs: torch.Tensor, *, explore: bool) -> torch.Tensor:
        """Returns actions, (B, A) or (B,) int64, for obs (B, D)."""
        return self.ema_actor.best(obs)

    def update(self, batch: Batch) -> dict[str, float]:
        """Does one gradient step on the expert rows."""
        loss = self.loss(batch.obs[batch.is_expert], batch.action[batch.is_expert])
        descend(self.optimiser, loss)
        self.follow()
        return {"bc_loss": float(loss.detach())}

    @abstractmethod
    def loss(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Returns how far the actor is from the demos' actions."""


class BehaviourCloning(RowClone):
    """Fits tanh(mean) of the actor to the demos' actions by mean squared error."""

    def __init__(
        self, normaliser: Normaliser, spread: torch.Tensor, *, hidden: Sequence[int], seed: int,
        learning_rate: float = 1e-3,
    ) -> None:  # fmt: skip
        super().__init__(TanhGaussianActor(normaliser, spread, hidden, seed), learning_rate)

    def loss(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Returns the mean squared distance."""
        return bc_loss(self.actor.best(obs), action)


class SoftmaxCloning(RowClone):
    """Fits the preferences for K discrete actions to the demos' by cross-entropy."""

    def __init__(
        self, normaliser: Normaliser, actions: int, *, hidden: Sequence[int], seed: int, learning_rate: float = 1e-3
    ) -> None:
        super().__init__(DiscreteCriticEnsemble(normaliser, actions, hidden, 1, seed), learning_rate)

    def loss(self, obs: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Returns the cross-entropy."""
        return F.cross_entropy(self.actor(obs)[0], action)
