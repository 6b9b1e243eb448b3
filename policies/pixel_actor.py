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

    pictures: torch.Tensor  # (B, K, S, H, W, 3) uint8: K cameras, S stacked frames, the latest last. Or (B, V)
    # float32, what frozen encoders said of them
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


class Eyes(nn.Module):
    """Each camera has an encoder of its own; what they say and the proprioception stand side by side.

    First weights come from torch's own generator.

    Args:
        normaliser: of the proprioception (P,).
    """

    def __init__(self, sight: Sight, normaliser: Normaliser) -> None:
        super().__init__()
        self.sight, self.normaliser = sight, normaliser
        self.encoders = nn.ModuleList(
            make_encoder(sight.encoder, 3 * sight.stack, sight.size_px, sight.width) for _ in range(sight.cameras)
        )

    @property
    def vector_size(self) -> int:
        """V, the width of what all cameras' encoders say."""
        return self.sight.cameras * self.sight.width

    def look(self, pictures: torch.Tensor) -> torch.Tensor:
        """Returns what the encoders say, (B, V), for pictures (B, K, S, H, W, 3) uint8, or float in [-0.5, 0.5].

        Bytes, which are less to move than floats, are put into the channels-last order before they become such.
        """
        vectors = []
        for camera, encoder in enumerate(self.encoders):
            frames = pictures[:, camera].unbind(1)  # S of (B, H, W, 3)
            one = frames[0] if len(frames) == 1 else torch.cat(frames, -1)  # (B, H, W, 3 S)
            one = one if one.is_floating_point() else as_float(one)
            vectors.append(encoder(one.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)))
        return torch.cat(vectors, -1)

    def beside(self, vectors: torch.Tensor, proprio: torch.Tensor) -> torch.Tensor:
        """Returns what is seen and felt, (B, V + P)."""
        return torch.cat([vectors, self.normaliser(proprio)], -1)

    def see(self, pictures: torch.Tensor, proprio: torch.Tensor) -> torch.Tensor:
        """Returns what is seen and felt, (B, V + P), for pictures as `look` takes them."""
        return self.beside(self.look(pictures), proprio)


class PixelActor(Eyes):
    """Eyes, and one trunk to an action.

    Args:
        state_size: D of the simulator state that `guess` predicts in training, to teach the encoders where things are;
            0 leaves that head out.
    """

    def __init__(
        self, sight: Sight, normaliser: Normaliser, action_size: int, hidden: Sequence[int], seed: int,
        state_size: int = 0,
    ) -> None:  # fmt: skip
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            super().__init__(sight, normaliser)
            seen = self.vector_size + len(normaliser.mean)
            sizes = [seen, *hidden]
            layers = [m for i, o in itertools.pairwise(sizes) for m in (nn.Linear(i, o), nn.ReLU())]
            self.trunk = nn.Sequential(*layers)
            self.head = nn.Linear(sizes[-1], action_size)
            self.guess = nn.Linear(seen, state_size) if state_size else None

    def decide(self, seen: torch.Tensor) -> torch.Tensor:
        """Returns tanh(mean), (B, A), for what `see` returned."""
        return torch.tanh(self.head(self.trunk(seen)))

    def best(self, pictures: torch.Tensor, proprio: torch.Tensor) -> torch.Tensor:
        """Returns the action (B, A) for pictures (B, K, S, H, W, 3) uint8 and proprioception (B, P)."""
        return self.decide(self.see(pictures, proprio))


def as_float(pictures: torch.Tensor) -> torch.Tensor:
    """Returns uint8 pictures as floats in [-0.5, 0.5]."""
    return pictures.float().div_(255.0).sub_(0.5)
