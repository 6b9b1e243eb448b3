"""Windows: pieces of T steps of one demo each, for learners that look further than one step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from policies.sequence_cloning import Windows
from robot_lfd.errors import LfdError
from robot_lfd.train.rows import Rows


class WindowSampler:
    """Draws windows from expert rows. None crosses the end of a demo, nor a piece that a policy drove.

    A window begins at every row, so the last T - 1 of a piece are cut short: `valid` is 0 there and the last step
    stands in. Rows that count several times (corrections) begin as many windows.
    """

    def __init__(self, rows: Rows, length: int) -> None:
        self.rows, self.length = rows, length
        _, first, place = np.unique(rows.step, return_index=True, return_inverse=True)
        self.unique = first  # (U,) a row for each recorded step, in order
        self._starts = place  # (N,) where in that order each row stands
        stretch = rows.stretch[first]
        self._ends = np.searchsorted(stretch, stretch, side="right")  # (U,) where each step's piece ends

    def draw(self, rng: np.random.Generator, count: int) -> Windows:
        """Returns `count` windows."""
        start = self._starts[rng.integers(len(self._starts), size=count)]
        return self.at(start)

    def spans(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns for each row where in `unique` it stands, and where its piece has its last step, both (N,)."""
        return self._starts, self._ends[self._starts] - 1

    def at(self, start: np.ndarray) -> Windows:
        """Returns the windows that begin at the given recorded steps, counted without repeats, (B,)."""
        wanted = start[:, None] + np.arange(self.length)  # (B, T)
        last = self._ends[start][:, None] - 1
        index = self.unique[np.minimum(wanted, last)]
        valid = torch.from_numpy((wanted <= last).astype(np.float32))
        return Windows(torch.from_numpy(self.rows.obs[index]), torch.from_numpy(self.rows.action[index]), valid)


def decisions(rows: Rows, length: int, decided: int | None = None) -> Rows:
    """Returns the rows of a learner whose rows span `length` steps: from every step on, what followed them.

    An action is then (decided A,), the first of those steps' actions, and the observation after it the one after the
    last step. At the end of a task the last action is repeated; where a piece is merely cut off, what would reach past
    its end is left out.

    Args:
        decided: how many of the actions are decided on at once; default: all. With one of them, rows are those of
            n-step returns: in between, whoever acted did as recorded (no correction; Hessel et al. 2018, Rainbow).

    Raises:
        LfdError: no piece is long enough.
    """
    if length == 1:
        return rows
    sampler = WindowSampler(rows, length)
    start, last = sampler.spans()
    whole = np.minimum(start + length - 1, last)
    final, ended = sampler.unique[whole], rows.terminated[sampler.unique[last]]
    kept = (start + length - 1 <= last) | ended
    if not kept.any():
        raise LfdError(f"no demo has {length} steps in a row, as --chunk or --n-step {length} needs; choose less")
    action = sampler.at(start[kept]).action[:, :decided].numpy()
    action = action.reshape(len(action), *(() if action.ndim == 2 else (-1,)))
    final = final[kept]
    return replace(
        rows, obs=rows.obs[kept], action=action, reward=rows.reward[final], next_obs=rows.next_obs[final],
        terminated=rows.terminated[final], step=rows.step[kept], stretch=rows.stretch[kept],
    )  # fmt: skip
