"""Frames: what a policy on state sees of the past, its features at the last few steps side by side.

The latest come last; at the beginning of an episode the first ones are repeated. Pictures are stacked where they are
drawn from, see `robot_lfd.train.images`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import numpy as np


class Frames:
    """The last `count` rows of features of an episode in progress."""

    def __init__(self, count: int) -> None:
        self.rows = deque[np.ndarray](maxlen=count)

    def begin(self) -> None:
        """Begins an episode: forgets the last one."""
        self.rows.clear()

    def add(self, row: np.ndarray) -> np.ndarray:
        """Returns what is seen now, (count D,), with the newest row (D,)."""
        self.rows.extend([row] * (1 if self.rows else self.count))
        return np.concatenate(self.rows)

    def ahead(self, row: np.ndarray) -> np.ndarray:
        """Returns what `add` would return, without adding."""
        return np.concatenate([*list(self.rows)[1:], row])

    @property
    def count(self) -> int:
        """How many rows are seen at once."""
        assert self.rows.maxlen is not None
        return self.rows.maxlen

    def restore(self, rows: Iterable[np.ndarray]) -> None:
        """Continues with the `rows` of another one."""
        self.rows.extend(rows)


def stacked(columns: np.ndarray, begins: np.ndarray, count: int) -> np.ndarray:
    """Returns what is seen at each of the rows of whole episodes, (M, count D).

    Args:
        columns: (M, D), one episode after the other. begins: (M,) index of the first row of each row's episode.
    """
    if count == 1:
        return columns
    back = np.arange(len(columns))[:, None] - np.arange(count)[::-1]
    return columns[np.maximum(back, begins[:, None])].reshape(len(columns), -1)


def stacked_episode(rows: np.ndarray, count: int) -> np.ndarray:
    """Returns what is seen at each of the rows (M, D) of one episode, (M, count D)."""
    return stacked(rows, np.zeros(len(rows), np.int64), count)
