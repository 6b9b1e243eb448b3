"""Windows: pieces of T steps of one demo each, for learners that look further than one step."""

from __future__ import annotations

import numpy as np
import torch

from policies.sequence_cloning import Windows
from robot_lfd.train.rows import Rows


class WindowSampler:
    """Draws windows from expert rows. None crosses the end of a demo, nor a piece that a policy drove.

    A window begins at every row, so the last T - 1 of a piece are cut short: `valid` is 0 there and the last step
    stands in. Rows that count several times (corrections) begin as many windows.
    """

    def __init__(self, rows: Rows, length: int) -> None:
        self.rows, self.length = rows, length
        _, first, place = np.unique(rows.step, return_index=True, return_inverse=True)
        self._unique = first  # (U,) a row for each recorded step, in order
        self._starts = place  # (N,) where in that order each row stands
        stretch = rows.stretch[first]
        self._ends = np.searchsorted(stretch, stretch, side="right")  # (U,) where each step's piece ends

    def draw(self, rng: np.random.Generator, count: int) -> Windows:
        """Returns `count` windows."""
        start = self._starts[rng.integers(len(self._starts), size=count)]
        return self.at(start)

    def at(self, start: np.ndarray) -> Windows:
        """Returns the windows that begin at the given recorded steps, counted without repeats, (B,)."""
        wanted = start[:, None] + np.arange(self.length)  # (B, T)
        last = self._ends[start][:, None] - 1
        index = self._unique[np.minimum(wanted, last)]
        valid = torch.from_numpy((wanted <= last).astype(np.float32))
        return Windows(torch.from_numpy(self.rows.obs[index]), torch.from_numpy(self.rows.action[index]), valid)
