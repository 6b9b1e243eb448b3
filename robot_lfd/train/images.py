"""Images: what demos saw, as arrays that stay in the order of time; stacks of frames are formed when they are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from policies.pixel_actor import PixelBatch
from robot_lfd.demos.cache import FlatDemos
from robot_lfd.train.rows import features


@dataclass(frozen=True)
class Sights:
    """M observations in the order in which they were made, and N rows to learn from.

    Attributes:
        pictures: (M, H, W, 3) uint8 of each camera, each picture once. proprio: (M, P). state: (M, D); D may be 0.
        first: (M,) int64, the first observation of the same episode.
        row: (N,) int64, the observation that each step saw. action: (N, A), what is to be done there.
    """

    pictures: tuple[np.ndarray, ...]
    proprio: np.ndarray
    state: np.ndarray
    first: np.ndarray
    row: np.ndarray
    action: np.ndarray

    def stacked(self, seen: np.ndarray, stack: int) -> np.ndarray:
        """Returns (B, K, S, H, W, 3) uint8: the last S frames up to each observation; the first one repeats."""
        frames = np.maximum(seen[:, None] - np.arange(stack - 1, -1, -1), self.first[seen][:, None])  # (B, S)
        return np.stack([camera[frames] for camera in self.pictures], 1)


def demo_sights(demos: FlatDemos, cameras: Sequence[str], felt: Sequence[str], known: Sequence[str]) -> Sights:
    """Returns all steps of all demos. `felt` and `known` name the proprioception and the simulator's state."""
    steps = np.arange(len(demos))
    lengths = np.diff(demos.episode_ends, prepend=0) + 1
    first = np.repeat(np.cumsum(lengths) - lengths, lengths)
    rows = len(first)
    proprio, state = (_columns(demos, keys, rows) for keys in (felt, known))
    pictures = tuple(demos.obs[f"images/{c}"] for c in cameras)
    return Sights(pictures, proprio, state, first, demos.obs_rows(steps), np.asarray(demos.action, np.float32))


def _columns(demos: FlatDemos, keys: Sequence[str], rows: int) -> np.ndarray:
    if not keys:
        return np.zeros((rows, 0), np.float32)
    return features({k: demos.obs[k].reshape(rows, -1) for k in keys}, keys)


def draw(rng: np.random.Generator, sources: Sequence[tuple[Sights, int]], rows: int, stack: int) -> PixelBatch:
    """Returns `rows` rows, each row of all sources alike. A source is sights and how many of its rows are filled."""
    ends = np.cumsum([count for _, count in sources])
    drawn = np.sort(rng.integers(ends[-1], size=rows))
    parts = np.split(drawn, np.searchsorted(drawn, ends[:-1]))
    begins = [0, *ends[:-1].tolist()]
    batches = [_taken(s, p - b, stack) for (s, _), p, b in zip(sources, parts, begins, strict=True) if len(p)]
    return PixelBatch(*(torch.from_numpy(np.concatenate(arrays)) for arrays in zip(*batches, strict=True)))


def _taken(sights: Sights, which: np.ndarray, stack: int) -> tuple[np.ndarray, ...]:
    seen = sights.row[which]
    return sights.stacked(seen, stack), sights.proprio[seen], sights.action[which], sights.state[seen]
