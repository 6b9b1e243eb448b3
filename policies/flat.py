"""A module's parameters as one vector, so that an optimiser or an average moves them all in one operation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import nn

from policies.kernels import adam
from policies.sharing import Share

BETA_1, BETA_2, EPS = 0.9, 0.999, 1e-8  # of Adam: torch's defaults


class Flat:
    """The parameters of `module`, from now on side by side in `vector` (P,): to change one is to change both."""

    def __init__(self, module: nn.Module) -> None:
        self.parameters = list(module.parameters())
        self.vector = torch.cat([p.detach().reshape(-1) for p in self.parameters])
        for parameter, piece in zip(self.parameters, self.pieces(self.vector), strict=True):
            parameter.data = piece
        self.vector.requires_grad_(self.parameters[0].requires_grad)

    def pieces(self, vector: torch.Tensor) -> list[torch.Tensor]:
        """Returns the parts of a vector (P,) as views, each in its parameter's shape."""
        parts = vector.split([p.numel() for p in self.parameters])
        return [part.view(p.shape) for part, p in zip(parts, self.parameters, strict=True)]

    def move_towards(self, source: Flat, share: float) -> None:
        """Moves every parameter by `share` of the way to the same one of `source`."""
        self.vector.detach().lerp_(source.vector.detach(), share)

    def take_gradient(self) -> torch.Tensor:
        """Returns the gradient (P,), whether it came to `vector`, to the parameters or to both, and forgets it."""
        vector, parameters = self.vector.grad, [p.grad for p in self.parameters]
        self.zero_grad()
        if all(g is None for g in parameters):
            return torch.zeros_like(self.vector) if vector is None else vector
        found = [torch.zeros_like(p) if g is None else g for p, g in zip(self.parameters, parameters, strict=True)]
        total = torch.cat([g.detach().reshape(-1) for g in found])
        return total if vector is None else total.add_(vector)

    def zero_grad(self) -> None:
        """Forgets the gradient."""
        self.vector.grad = None
        for parameter in self.parameters:
            parameter.grad = None


class Adam:
    """Adam with torch's defaults, in one loop over all parameters; its state looks like torch's to a checkpoint.

    A parameter without a gradient counts as one with a gradient of zero.
    """

    def __init__(self, flat: Flat, learning_rate: float, share: Share = Share()) -> None:
        self.flat, self.learning_rate, self.steps, self.share = flat, learning_rate, 0, share
        self._mean, self._square = (torch.zeros_like(flat.vector.detach()) for _ in range(2))
        moved = flat.vector.detach(), self._mean, self._square
        self._arrays = [t.numpy() for t in moved] if flat.vector.is_cpu else None

    def zero_grad(self) -> None:
        """Forgets the gradients."""
        self.flat.zero_grad()

    def step(self) -> None:
        """Moves the parameters against their gradients."""
        self.steps += 1
        rate = self.learning_rate / (1.0 - BETA_1**self.steps)
        correction = 1.0 / math.sqrt(1.0 - BETA_2**self.steps)
        gradient = self.share.mean(self.flat.take_gradient().detach())
        if self._arrays is None:  # no compiled loop on this device
            self._mean.lerp_(gradient, 1.0 - BETA_1)
            self._square.mul_(BETA_2).addcmul_(gradient, gradient, value=1.0 - BETA_2)
            deviation = self._square.sqrt().mul_(correction).add_(EPS)
            self.flat.vector.detach().addcdiv_(self._mean, deviation, value=-rate)
        else:
            value, mean, square = self._arrays
            numbers = rate, correction, BETA_2, 1.0 - BETA_1, 1.0 - BETA_2, EPS
            adam(value, gradient.numpy(), mean, square, *map(np.float32, numbers))

    def state_dict(self) -> dict[str, Any]:
        """Returns the state as torch's Adam gives it; nothing before the first step."""
        if self.steps == 0:
            return {"state": {}, "param_groups": []}
        moments = zip(self.flat.pieces(self._mean), self.flat.pieces(self._square), strict=True)
        step = torch.tensor(float(self.steps))
        rows = {i: {"step": step, "exp_avg": m, "exp_avg_sq": v} for i, (m, v) in enumerate(moments)}
        return {"state": rows, "param_groups": []}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues from what `state_dict`, ours or torch's, returned."""
        rows = state_dict["state"]
        self.steps = max((int(row["step"]) for row in rows.values()), default=0)
        for vector, name in ((self._mean, "exp_avg"), (self._square, "exp_avg_sq")):
            for i, piece in enumerate(self.flat.pieces(vector.zero_())):
                if i in rows:
                    piece.copy_(rows[i][name])
