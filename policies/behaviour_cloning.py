"""Behaviour cloning: the action a person took, as a regression from what was seen. The baseline of every claim."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from policies.agent import load_optimiser_tensors, optimiser_tensors, under
from policies.batch import Batch
from policies.networks import DiscreteCriticEnsemble, Normaliser, TanhGaussianActor


def bc_loss(predicted: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
    """Returns the mean squared distance of two sets of actions, both (B, A)."""
    return (predicted - action).square().mean()


class BehaviourCloning:
    """Fits tanh(mean) of the actor to the demos' actions by mean squared error."""

    def __init__(
        self,
        normaliser: Normaliser,
        spread: torch.Tensor,
        *,
        hidden: Sequence[int],
        seed: int,
        learning_rate: float = 1e-3,
    ) -> None:  # fmt: skip
        self.actor = TanhGaussianActor(normaliser, spread, hidden, seed)
        self.optimiser = torch.optim.Adam(self.actor.parameters(), lr=learning_rate, fused=True)

    @torch.no_grad()
    def act(self, obs: torch.Tensor, *, explore: bool) -> torch.Tensor:
        """Returns actions (B, A) for obs (B, D); a clone does not explore."""
        return self.actor.best(obs)

    def update(self, batch: Batch) -> dict[str, float]:
        """Does one gradient step on the expert rows."""
        loss = bc_loss(self.actor.best(batch.obs[batch.is_expert]), batch.action[batch.is_expert])
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return {"bc_loss": float(loss.detach())}

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Returns the actor's and the optimiser's state."""
        state = {f"actor.{k}": v for k, v in self.actor.state_dict().items()}
        return state | {f"optimiser.{k}": v for k, v in optimiser_tensors(self.optimiser).items()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Continues from what `state_dict` returned."""
        self.actor.load_state_dict(under(state, "actor"))
        load_optimiser_tensors(self.optimiser, under(state, "optimiser"))

    def deployed(self) -> dict[str, torch.Tensor]:
        """Returns the actor."""
        return {f"actor.{k}": v for k, v in self.actor.state_dict().items()}


class SoftmaxCloning:
    """Fits the preferences for K discrete actions to the demos' by cross-entropy."""

    def __init__(
        self, normaliser: Normaliser, actions: int, *, hidden: Sequence[int], seed: int, learning_rate: float = 1e-3
    ) -> None:
        self.actor = DiscreteCriticEnsemble(normaliser, actions, hidden, 1, seed)
        self.optimiser = torch.optim.Adam(self.actor.parameters(), lr=learning_rate, fused=True)

    @torch.no_grad()
    def act(self, obs: torch.Tensor, *, explore: bool) -> torch.Tensor:
        """Returns actions (B,) int64 for obs (B, D); a clone does not explore."""
        return self.actor.best(obs)

    def update(self, batch: Batch) -> dict[str, float]:
        """Does one gradient step on the expert rows."""
        loss = F.cross_entropy(self.actor(batch.obs[batch.is_expert])[0], batch.action[batch.is_expert])
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return {"bc_loss": float(loss.detach())}

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Returns the network's and the optimiser's state."""
        state = {f"actor.{k}": v for k, v in self.actor.state_dict().items()}
        return state | {f"optimiser.{k}": v for k, v in optimiser_tensors(self.optimiser).items()}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Continues from what `state_dict` returned."""
        self.actor.load_state_dict(under(state, "actor"))
        load_optimiser_tensors(self.optimiser, under(state, "optimiser"))

    def deployed(self) -> dict[str, torch.Tensor]:
        """Returns the network."""
        return {f"actor.{k}": v for k, v in self.actor.state_dict().items()}
