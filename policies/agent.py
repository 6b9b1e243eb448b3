"""Agent: what the training loop needs of an algorithm."""

from __future__ import annotations

from typing import Any, Protocol

import torch

from policies.batch import Batch


class Agent(Protocol):
    """A learner: `act` chooses, `update` is one gradient step."""

    def act(self, obs: torch.Tensor, *, explore: bool) -> torch.Tensor:
        """Returns actions (B, A) in [-1, 1] for observations (B, D): sampled to explore, else the best known."""
        ...

    def update(self, batch: Batch) -> dict[str, float]:
        """Does one gradient step; returns scalars to log."""
        ...

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Returns all tensors by name, optimisers included, from which training continues exactly."""
        ...

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Continues from what `state_dict` returned."""
        ...

    def deployed(self) -> dict[str, torch.Tensor]:
        """Returns the tensors that a policy needs: `actor.*` and, where there is one, `critic.*`."""
        ...


class Optimiser(Protocol):
    """torch's optimisers, and `policies.flat.Adam`."""

    def zero_grad(self) -> Any:
        """Forgets the gradients."""
        ...

    def step(self) -> Any:
        """Moves the parameters against their gradients."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Returns the state of each parameter by its number, under "state"."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Continues from what `state_dict` returned."""
        ...


LATE_SHARE = 0.2  # of a weight that falls at once; LOG.md, 2026-12-01


def falling(weight: float, updates: int, steps: int, fall_at: int = 0) -> float:
    """Returns a weight that falls in a straight line to a tenth over `steps` updates and stays there; 0: it stays.

    Args:
        fall_at: from this update on it is `LATE_SHARE` of that; 0: never.
    """
    late = LATE_SHARE if fall_at and updates >= fall_at else 1.0
    return weight * late * (1.0 - 0.9 * min(1.0, updates / steps) if steps else 1.0)


def descend(optimiser: Optimiser, loss: torch.Tensor) -> None:
    """Does one step down the slope of `loss`."""
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def optimiser_tensors(optimiser: Optimiser) -> dict[str, torch.Tensor]:
    """Returns the optimiser's moments as flat tensors, named <parameter number>.<name>."""
    return {f"{i}.{k}": v for i, row in optimiser.state_dict()["state"].items() for k, v in row.items()}


def load_optimiser_tensors(optimiser: Optimiser, tensors: dict[str, torch.Tensor]) -> None:
    """Puts back what `optimiser_tensors` returned."""
    rows: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        number, key = name.split(".", 1)
        rows.setdefault(int(number), {})[key] = tensor
    optimiser.load_state_dict({"state": rows, "param_groups": optimiser.state_dict()["param_groups"]})
    for parameter, moments in getattr(optimiser, "state", {}).items():  # the fused step needs one memory layout for all
        for name, moment in moments.items():
            if moment.shape == parameter.shape:
                moments[name] = torch.empty_like(parameter).copy_(moment)


def under(state: dict[str, torch.Tensor], part: str) -> dict[str, torch.Tensor]:
    """Returns the tensors whose names begin with `part` and a dot, without that beginning."""
    return {k[len(part) + 1 :]: v for k, v in state.items() if k.startswith(part + ".")}
