"""PixelActor: pictures and the arm's own senses to an action; and the rows that it learns from."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from policies.encoders import make_encoder
from policies.networks import Normaliser


class PixelBatch(NamedTuple):
    """B rows of what was seen, what to do there, and what the simulator knew (known in training alone)."""

    pictures: torch.Tensor  # (B, K, S, H, W, 3) uint8: K cameras, S stacked frames, the latest last
    proprio: torch.Tensor  # (B, P) float32
    action: torch.Tensor  # (B, A) float32
    state: torch.Tensor  # (B, D) float32; D may be 0


@dataclass(frozen=True)
class Sight:
    """What a pixel policy looks with: the shape of its eyes."""

    cameras: int
    size_px: int
    stack: int = 1
    encoder: str = "small"
    width: int = 64  # of each camera's vector


class PixelActor(nn.Module):
    """Each camera has an encoder of its own; their vectors and the proprioception go through one trunk.

    Args:
        normaliser: of the proprioception (P,). state_size: D of the simulator state that `guess_state` predicts in
            training, to teach the encoders where things are; 0 leaves that head out.
    """

    def __init__(
        self, sight: Sight, normaliser: Normaliser, action_size: int, hidden: Sequence[int], seed: int,
        state_size: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.sight, self.normaliser = sight, normaliser
        seen = sight.cameras * sight.width + len(normaliser.mean)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.encoders = nn.ModuleList(
                make_encoder(sight.encoder, 3 * sight.stack, sight.size_px, sight.width) for _ in range(sight.cameras)
            )
            sizes = [seen, *hidden]
            layers = [m for i, o in itertools.pairwise(sizes) for m in (nn.Linear(i, o), nn.ReLU())]
            self.trunk = nn.Sequential(*layers)
            self.head = nn.Linear(sizes[-1], action_size)
            self.guess = nn.Linear(seen, state_size) if state_size else None

    def see(self, pictures: torch.Tensor, proprio: torch.Tensor) -> torch.Tensor:
        """Returns what is seen and felt, (B, K width + P), for float pictures (B, K, S, H, W, 3) in [-0.5, 0.5]."""
        rows, _, stack, height, width, _ = pictures.shape
        vectors = []
        for camera, encoder in enumerate(self.encoders):
            one = pictures[:, camera].permute(0, 1, 4, 2, 3).reshape(rows, 3 * stack, height, width)
            vectors.append(encoder(one.contiguous(memory_format=torch.channels_last)))
        return torch.cat([*vectors, self.normaliser(proprio)], -1)

    def decide(self, seen: torch.Tensor) -> torch.Tensor:
        """Returns tanh(mean), (B, A), for what `see` returned."""
        return torch.tanh(self.head(self.trunk(seen)))

    def best(self, pictures: torch.Tensor, proprio: torch.Tensor) -> torch.Tensor:
        """Returns the action (B, A) for pictures (B, K, S, H, W, 3) uint8 and proprioception (B, P)."""
        return self.decide(self.see(as_float(pictures), proprio))


def as_float(pictures: torch.Tensor) -> torch.Tensor:
    """Returns uint8 pictures as floats in [-0.5, 0.5]."""
    return pictures.float().div_(255.0).sub_(0.5)
