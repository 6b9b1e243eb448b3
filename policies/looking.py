"""Looking: how pictures become vectors in training: where, in which precision, and moved at random before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from policies.augment import colour_jitter, random_shift
from policies.pixel_actor import Eyes, as_float
from policies.sharing import Share


@dataclass(frozen=True)
class Compute:
    """Where pixel networks are trained. On a GPU: half precision in the encoders, compiled. On a CPU neither pays."""

    device: torch.device = torch.device("cpu")  # noqa: RUF009 - immutable
    half: bool = False  # bfloat16 in the encoders; weights, losses and everything else stay float32
    compile: bool = False
    share: Share = Share()  # noqa: RUF009 - immutable


class Looking:
    """Eyes in training. `shift_px` and `jitter` are the augmentation's, see `policies.augment`."""

    def __init__(self, eyes: Eyes, shift_px: int, jitter: float, generator: torch.Generator, compute: Compute) -> None:
        self.eyes, self.shift_px, self.jitter = eyes, shift_px, jitter
        self.generator, self.compute = generator, compute
        look: Callable[[torch.Tensor], torch.Tensor] = eyes.look
        self._look = torch.compile(look) if compute.compile else look

    def vectors(self, pictures: torch.Tensor) -> torch.Tensor:
        """Returns (B, V) float32 for pictures (B, K, S, H, W, 3) uint8; what a frozen encoder said stays as it is."""
        if pictures.is_floating_point():
            return pictures
        share = self.compute.share
        moved = random_shift(pictures, self.shift_px, self.generator, share)
        seen = colour_jitter(as_float(moved), self.jitter, self.generator, share) if self.jitter else moved
        with torch.autocast(self.compute.device.type, torch.bfloat16, enabled=self.compute.half):
            return self._look(seen).float()

    def seen(self, pictures: torch.Tensor, proprio: torch.Tensor) -> torch.Tensor:
        """Returns what is seen and felt, (B, V + P)."""
        return self.eyes.beside(self.vectors(pictures), proprio)
