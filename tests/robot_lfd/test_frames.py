"""Frames: what is seen of the past is the same row by row and all at once, and never of another episode."""

from __future__ import annotations

import numpy as np
import pytest

from robot_lfd.frames import Frames, stacked


@pytest.mark.parametrize("count", [1, 2, 4])
def test_rows_added_one_by_one_see_what_whole_episodes_see_at_once(count: int):
    columns, lengths = np.random.default_rng(0).normal(size=(9, 2)), (3, 1, 5)
    begins = np.repeat(np.cumsum([0, *lengths[:-1]]), lengths)
    seen, frames = stacked(columns, begins, count), Frames(count)
    for row in range(9):
        if begins[row] == row:
            frames.begin()
        else:
            assert np.array_equal(frames.ahead(columns[row]), seen[row])
        assert np.array_equal(frames.add(columns[row]), seen[row])


def test_the_latest_row_is_the_last_and_the_first_of_an_episode_stands_in_for_what_was_before():
    seen = stacked(np.arange(5.0)[:, None], np.array([0, 0, 0, 3, 3]), 3)
    assert seen.tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 2], [3, 3, 3], [3, 3, 4]]
