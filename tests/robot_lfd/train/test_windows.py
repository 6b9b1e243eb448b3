"""Windows of demos: whole where they can be, cut short at a demo's end, never across it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from robot_lfd.errors import LfdError
from robot_lfd.train.rows import Rows, stretches, taken
from robot_lfd.train.windows import WindowSampler, decisions


def rows_of(lengths: list[int]) -> Rows:
    """Returns episodes whose action and observation are the number of the step."""
    first = np.cumsum([0, *(n + 1 for n in lengths[:-1])])
    step = np.concatenate([f + np.arange(n) for f, n in zip(first, lengths, strict=True)])
    value = step.astype(np.float32)[:, None]
    count = len(step)
    return Rows(
        value, value, np.zeros(count, np.float32), value + 1, np.zeros(count, bool), value[:1], step, stretches(step)
    )


def test_a_window_never_crosses_the_end_of_a_demo():
    sampler = WindowSampler(rows_of([5, 3]), 4)
    found = sampler.at(np.arange(8))
    assert found.action[1, :, 0].tolist() == [1, 2, 3, 4] and found.valid[1].tolist() == [1, 1, 1, 1]
    assert found.action[3, :, 0].tolist() == [3, 4, 4, 4] and found.valid[3].tolist() == [1, 1, 0, 0]
    assert found.action[5, :, 0].tolist() == [6, 7, 8, 8] and found.valid[7].tolist() == [1, 0, 0, 0]


def test_steps_that_a_policy_drove_break_a_piece_and_pauses_do_not():
    rows = rows_of([6])
    shown = taken(rows, np.array([0, 1, 3, 4, 5]))  # step 2 was the policy's own
    shown = Rows(**{**vars(shown), "stretch": stretches(shown.step)})
    assert WindowSampler(shown, 3).at(np.array([0])).valid.tolist() == [[1, 1, 0]]
    paused = taken(rows, np.array([0, 1, 3, 4, 5]))  # in step 2 nothing moved
    assert WindowSampler(paused, 3).at(np.array([0])).action[0, :, 0].tolist() == [0, 1, 3]


def test_rows_that_count_several_times_begin_more_windows_but_stand_in_each_once():
    rows = taken(rows_of([4]), np.array([0, 1, 1, 1, 1, 1, 1, 1, 2, 3]))
    drawn = WindowSampler(rows, 2).draw(np.random.default_rng(0), 2000)
    first = drawn.action[:, 0, 0].numpy()
    assert 0.65 < (first == 1).mean() < 0.75
    assert np.unique(drawn.action[first == 1][:, 1, 0].numpy()).tolist() == [2]


def test_a_decision_spans_what_followed_a_step_and_repeats_the_last_action_where_the_task_ended():
    rows = rows_of([5, 3])
    ended = rows.terminated.copy()
    ended[4] = True  # the first demo solved its task, the second was cut off
    found = decisions(replace(rows, terminated=ended), 3)
    assert found.action.tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 4], [4, 4, 4], [6, 7, 8]]
    assert found.obs[:, 0].tolist() == [0, 1, 2, 3, 4, 6] and found.next_obs[:, 0].tolist() == [3, 4, 5, 5, 5, 9]
    assert found.terminated.tolist() == [False, False, True, True, True, False]


def test_a_row_of_several_steps_spans_them_and_holds_the_first_action_alone():
    rows = rows_of([5, 3])
    ended = rows.terminated.copy()
    ended[4] = True
    found = decisions(replace(rows, terminated=ended), 3, 1)
    assert found.action.tolist() == [[0], [1], [2], [3], [4], [6]]
    assert found.next_obs[:, 0].tolist() == [3, 4, 5, 5, 5, 9]
    discrete = decisions(replace(rows, terminated=ended, action=rows.step), 3, 1)
    assert discrete.action.tolist() == [0, 1, 2, 3, 4, 6] and discrete.action.dtype == np.int64


def test_decisions_longer_than_every_demo_are_refused_plainly():
    with pytest.raises(LfdError, match="no demo has 7 steps in a row"):
        decisions(rows_of([5, 3]), 7)
