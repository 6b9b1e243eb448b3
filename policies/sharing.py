"""Sharing: several processes that train as one, each with its rows of every batch (data parallel, torch.distributed).

Row i of a batch is seen by process i mod N. All draw the same random numbers for the whole batch and use those of their
own rows; gradients are averaged before each optimiser's step. So all hold the same weights, and these are what one
process makes of the whole batches, to rounding. torch's own wrapper (DistributedDataParallel) does the averaging in the
backward pass of one module with one loss; here are several optimisers, losses that meet in the encoders' outputs, and
gradients worked out by hand (`fused`), hence the same all-reduce, called where a step begins.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist

Rows = TypeVar("Rows", torch.Tensor, np.ndarray)


@dataclass(frozen=True)
class Share:
    """Which process of how many this is. Where there is only one, everything here leaves its argument as it is.

    Means are right for batches that all processes share out evenly, and for losses that are means over rows.
    """

    rank: int = 0
    count: int = 1

    def of(self, rows: Rows, axis: int = 0) -> Rows:
        """Returns this process's rows of all, (N B, ...) to (B, ...)."""
        return rows if self.count == 1 else rows[(slice(None),) * axis + (slice(self.rank, None, self.count),)]

    def mean(self, vector: torch.Tensor) -> torch.Tensor:
        """Returns the mean over all processes of a vector of each; may work in its place."""
        if self.count == 1:
            return vector
        dist.all_reduce(vector)
        return vector.div_(self.count)

    def means(self, scalars: dict[str, float], device: torch.device) -> dict[str, float]:
        """Returns the mean over all processes of numbers that each has under the same names."""
        if self.count == 1:
            return scalars
        found = self.mean(torch.tensor(list(scalars.values()), dtype=torch.float32, device=device))
        return dict(zip(scalars, found.tolist(), strict=True))

    def average_before_steps(self, optimiser: torch.optim.Optimizer) -> None:
        """Lets an optimiser of torch average its gradients over all processes before each of its steps."""
        if self.count > 1:
            optimiser.register_step_pre_hook(lambda used, *rest: self._average(used.param_groups))

    def _average(self, groups: Iterable[dict[str, Any]]) -> None:
        found = [p.grad for group in groups for p in group["params"] if p.grad is not None]
        total = self.mean(torch.cat([g.reshape(-1) for g in found]))
        for gradient, part in zip(found, total.split([g.numel() for g in found]), strict=True):
            gradient.copy_(part.view(gradient.shape))

    def first(self, array: np.ndarray, device: torch.device) -> np.ndarray:
        """Returns the array that the first process has, in all of them: same shape and type everywhere."""
        if self.count == 1:
            return array
        told = torch.from_numpy(array.copy()).to(device)
        dist.broadcast(told, 0)
        return told.cpu().numpy()

    def meet(self) -> None:
        """Waits until every process is here."""
        if self.count > 1:
            dist.barrier()
