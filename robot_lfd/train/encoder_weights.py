"""Encoder weights that the user brings, and what frozen encoders say of each observation, computed once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from policies.agent import under
from policies.pixel_actor import Eyes
from robot_lfd.checkpoint import find_checkpoint, read_tensors
from robot_lfd.errors import LfdError
from robot_lfd.train.images import Sights

LOOKED_AT_ONCE = 256


def give_encoders(path: Path, *eyes: Eyes) -> None:
    """Puts the encoders of a run, or of a safetensors file, into `eyes`.

    A file names them as a run does (`actor.encoders.0...`), without `actor.`, or holds one encoder for all cameras.

    Raises:
        LfdError: nothing is there, or it does not fit the encoders that the settings ask for.
    """
    tensors = read_tensors(path if path.is_file() else find_checkpoint(path) / "model.safetensors")
    tensors = under(tensors, "actor") or tensors
    found = under(tensors, "encoders")
    for one in eyes:
        own = found or {f"{i}.{k}": v for i in range(len(one.encoders)) for k, v in tensors.items()}
        try:
            one.encoders.load_state_dict(own)
        except RuntimeError as error:
            sight = one.sight
            wanted = f"{sight.cameras} x {sight.encoder}, {sight.size_px} px, {sight.stack} frame(s)"
            first = next(iter(str(error).splitlines()[1:]), str(error)).strip()
            raise LfdError(f"--encoder-weights '{path}' does not fit the encoders here ({wanted}): {first}") from error


class FrozenEyes:
    """What encoders that do not learn say, (V,) an observation: looked at when first drawn, remembered from then on."""

    def __init__(self, eyes: Eyes, device: torch.device) -> None:
        self.eyes, self.device = eyes, device
        self._known: dict[int, np.ndarray] = {}

    @torch.no_grad()
    def __call__(self, sights: Sights, seen: np.ndarray) -> torch.Tensor:
        """Returns (B, V) float32 for observations (B,) of `sights`."""
        known = self._known.setdefault(id(sights.proprio), _nothing(len(sights.first), self.eyes.vector_size))
        for part in _parts(np.unique(seen[np.isnan(known[seen, 0])])):
            pictures = sights.stacked(part, self.eyes.sight.stack).to(self.device)
            known[part] = self.eyes.look(pictures).cpu().numpy()
        return torch.from_numpy(known[seen]).to(self.device)


def _nothing(rows: int, width: int) -> np.ndarray:
    return np.full((rows, width), np.nan, np.float32)


def _parts(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[i : i + LOOKED_AT_ONCE] for i in range(0, len(rows), LOOKED_AT_ONCE)]
