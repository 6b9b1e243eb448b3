"""Encoders: a picture of one camera to a vector. `small` is made for a CPU, the others are there to compare with."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn


class SmallEncoder(nn.Module):
    """Three convolutions that stride at once: 84x84 becomes 11x11 after a third of the work of a usual first layer.

    A forward and backward pass takes an eleventh of the CPU time of DrQ-v2's (benchmarks/results/encoders.json).
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(channels, 16, 5, stride=3), nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2), nn.ReLU(),
            nn.Conv2d(32, 32, 3), nn.ReLU(),
        )  # fmt: skip
        self.project = nn.Sequential(nn.LazyLinear(width), nn.LayerNorm(width), nn.Tanh())

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Returns (B, width) for pictures (B, C, H, W) in [-0.5, 0.5]."""
        return self.project(self.convolutions(pictures).flatten(1))


class DrqV2Encoder(nn.Module):
    """The encoder of DrQ-v2. Source: Yarats et al., "Mastering Visual Continuous Control", ICLR 2022, Sec. 3.1."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        sizes = (channels, 32, 32, 32, 32)
        layers: list[nn.Module] = []
        for i, o in itertools.pairwise(sizes):
            layers += [nn.Conv2d(i, o, 3, stride=1 if layers else 2), nn.ReLU()]
        self.convolutions = nn.Sequential(*layers)
        self.project = nn.Sequential(nn.LazyLinear(width), nn.LayerNorm(width), nn.Tanh())

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Returns (B, width) for pictures (B, C, H, W) in [-0.5, 0.5]."""
        return self.project(self.convolutions(pictures).flatten(1))


class ImpalaEncoder(nn.Module):
    """The residual encoder of IMPALA. Source: Espeholt et al., "IMPALA", ICML 2018, Fig. 3, right."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        sizes = (channels, 16, 32, 32)
        self.stages = nn.ModuleList(_ImpalaStage(i, o) for i, o in itertools.pairwise(sizes))
        self.project = nn.Sequential(nn.LazyLinear(width), nn.LayerNorm(width), nn.Tanh())

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Returns (B, width) for pictures (B, C, H, W) in [-0.5, 0.5]."""
        x = pictures
        for stage in self.stages:
            x = stage(x)
        return self.project(F.relu(x).flatten(1))


class _ImpalaStage(nn.Module):
    """A convolution, a halving, and two residual blocks."""

    def __init__(self, channels: int, wider: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, wider, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.ReLU(), nn.Conv2d(wider, wider, 3, padding=1), nn.ReLU(),
                          nn.Conv2d(wider, wider, 3, padding=1))
            for _ in range(2)
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(self.first(x), 3, stride=2, padding=1)
        for block in self.blocks:
            x = x + block(x)
        return x


ENCODERS: dict[str, Callable[[int, int], nn.Module]] = {
    "small": SmallEncoder,
    "drqv2": DrqV2Encoder,
    "impala": ImpalaEncoder,
}


def make_encoder(name: str, channels: int, size_px: int, width: int) -> nn.Module:
    """Returns a new encoder of `ENCODERS` for pictures (B, channels, size_px, size_px), in the channels-last layout."""
    encoder = ENCODERS[name](channels, width)
    with torch.no_grad():
        encoder(torch.zeros(1, channels, size_px, size_px))  # gives the lazy layer its size
    return encoder.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
