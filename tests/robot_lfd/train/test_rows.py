"""Rows, replay and batches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from robot_lfd.train.rows import (
    Choices,
    Replay,
    Rows,
    asked_for,
    draw,
    evened_statistics_of,
    moving,
    normaliser_of,
    statistics_of,
    stretches,
    taken,
)


def make_rows(moves: list[float], ended: int | None = None) -> Rows:
    obs = np.concatenate([[0.0], np.cumsum(moves)]).astype(np.float32)[:, None]
    terminated = np.zeros(len(moves), bool)
    if ended is not None:
        terminated[ended] = True
    action = np.arange(len(moves), dtype=np.float32)[:, None]
    reward, step = np.zeros(len(moves), np.float32), np.arange(len(moves))
    return Rows(obs[:-1], action, reward, obs[1:], terminated, obs[:1], step, stretches(step))


def test_pauses_are_left_out_and_ends_never_are():
    rows = make_rows([1.0, 0.0, 0.0, 1.0, 0.0], ended=4)
    assert taken(rows, moving(rows)).action[:, 0].tolist() == [0.0, 3.0, 4.0]


def test_a_command_is_a_motion_or_a_gripper_that_is_to_do_something_else_than_before():
    done = [(0.0, -1.0), (0.0, -1.0), (0.5, -1.0), (0.0, -1.0), (0.0, 1.0), (0.0, 1.0), (0.0, 0.0), (0.01, 0.0)]
    rows = replace(make_rows([1.0] * 10), action=np.array([*done, (0.0, 1.0), (0.0, 1.0)], np.float32))
    rows = replace(rows, stretch=np.array([0] * 8 + [1] * 2))  # another demo begins with its gripper closed
    assert np.flatnonzero(asked_for(rows, ("dx", "gripper"))).tolist() == [2, 4]
    assert np.flatnonzero(asked_for(rows, ("dx", "dy"))).tolist() == [0, 1, 2, 3, 4, 5, 8, 9], "no gripper there"


def test_a_demo_of_nothing_but_pauses_is_kept_whole():
    rows = make_rows([0.0, 0.0, 0.0])
    assert len(taken(rows, moving(rows))) == 3


def test_a_batch_is_half_demo_and_half_practice():
    replay = Replay(10, make_rows([1.0]))
    for i in range(3):
        replay.add(np.array([9.0]), np.array([100.0 + i]), 0.0, np.array([9.0]), False)
    batch = draw(np.random.default_rng(0), make_rows([1.0] * 5), replay, 8)
    assert batch.is_expert.tolist() == [True] * 8 + [False] * 8
    assert (batch.action[:8] < 5).all() and (batch.action[8:] >= 100).all()


def test_what_the_policy_solved_stands_beside_the_demos_and_is_forgotten_with_its_rows():
    replay, demos = Replay(10, make_rows([1.0]), keeps_own=True), make_rows([1.0] * 5)

    def add(count: int) -> None:
        for _ in range(count):
            replay.add(np.array([9.0]), np.array([100.0 + replay.count]), 0.0, np.array([9.0]), False)

    add(8)
    replay.note_solved([6, 7])
    replay.note_solved([2, 3])  # of another copy of the environment, which began earlier
    batch = draw(np.random.default_rng(0), demos, replay, 18)
    own = batch.action[:18][batch.action[:18] >= 100]
    assert len(own) == 8 and set(own.tolist()) <= {102.0, 103.0, 106.0, 107.0}  # 4 of 9 rows are the policy's
    assert batch.is_expert.tolist() == [True] * 18 + [False] * 18 and (batch.action[18:] >= 100).all()
    add(5)  # overwrites rows 0 to 2
    assert replay.own.tolist() == [6, 7]
    replay.note_solved([2, 9, 10])  # its first row is gone
    assert replay.own.tolist() == [6, 7]
    replay.note_solved([9, 10, 11, 12])
    assert sorted(replay.arrays.action[replay.own, 0]) == [106, 107, 109, 110, 111, 112]
    crowd = draw(np.random.default_rng(0), taken(demos, np.arange(2)), replay, 10)
    assert int((crowd.action[:10] >= 100).sum()) == 5, "never more than half"


def test_offline_both_halves_come_from_the_demos():
    batch = draw(np.random.default_rng(0), make_rows([1.0] * 5), None, 4)
    assert (batch.action < 5).all() and int(batch.is_expert.sum()) == 4


def test_the_replay_ring_forgets_the_oldest():
    replay = Replay(3, make_rows([1.0]))
    for i in range(5):
        replay.add(np.array([0.0]), np.array([float(i)]), 0.0, np.array([0.0]), False)
    assert len(replay) == 3 and sorted(replay.arrays.action[:, 0]) == [2.0, 3.0, 4.0]


def test_first_observations_come_along_only_when_asked_for():
    rows = make_rows([1.0] * 5)
    assert len(draw(np.random.default_rng(0), rows, None, 4).first_obs) == 0
    assert draw(np.random.default_rng(0), rows, None, 4, firsts=3).first_obs.flatten().tolist() == [0.0] * 3


def test_columns_of_discrete_demos_are_scaled_half_way_to_their_common_spread():
    obs = np.array([[0.0, 0.0, 0.0], [0.2, 2.0, 0.0]], np.float32)  # spreads .1, 1 and none, counted as .02
    common = np.sqrt((0.1**2 + 1.0 + 0.02**2) / 3)
    expected = np.sqrt(np.array([0.1, 1.0, 0.02]) * common)
    np.testing.assert_allclose(evened_statistics_of(obs).std.numpy(), expected, rtol=1e-5)


def test_only_discrete_demos_are_scaled_so():
    rows = make_rows([0.1, 0.2, 0.1])
    wide = replace(rows, obs=np.concatenate([rows.obs, 10 * rows.obs], 1))
    assert torch.equal(normaliser_of(wide).std, statistics_of(wide.obs).std)
    discrete = replace(wide, action=np.array([0, 1, 0]))
    assert torch.equal(normaliser_of(discrete).std, evened_statistics_of(wide.obs).std)


def test_what_a_row_counts_as_is_asked_once_and_again_where_another_row_takes_its_place():
    demos, replay, asked = make_rows([1.0] * 5), Replay(3, make_rows([1.0])), list[float]()

    def nearest(obs: np.ndarray, action: np.ndarray) -> np.ndarray:
        assert len(obs) == 32, "always as many rows, so that sums round alike"
        asked.extend(action[:, 0])
        return action[:, 0].astype(np.int64) + 1000

    choices = Choices(nearest, demos, replay)
    for i in range(3):
        replay.add(np.array([9.0]), np.array([100.0 + i]), 0.0, np.array([9.0]), False)
    rng = np.random.default_rng(0)
    batch = draw(rng, demos, replay, 40, choices=choices)
    assert batch.action.dtype == torch.int64
    assert set(batch.action[:40].tolist()) == {1000, 1001, 1002, 1003, 1004}
    assert set(batch.action[40:].tolist()) == {1100, 1101, 1102}
    assert set(asked) == {0.0, 1.0, 2.0, 3.0, 4.0, 100.0, 101.0, 102.0}
    asked.clear()
    same, unnamed = (draw(np.random.default_rng(1), demos, replay, 40, choices=c) for c in (choices, None))
    assert asked == [] and (same.action == unnamed.action[:, 0] + 1000).all()
    replay.add(np.array([9.0]), np.array([103.0]), 0.0, np.array([9.0]), False)  # in the place of 100
    batch = draw(rng, demos, replay, 40, choices=choices)
    assert set(batch.action[40:].tolist()) == {1101, 1102, 1103} and set(asked) == {103.0}


def test_without_practice_both_halves_are_named():
    demos = make_rows([1.0] * 5)
    choices = Choices(lambda obs, action: action[:, 0].astype(np.int64), demos, None)
    batch, unnamed = (draw(np.random.default_rng(1), demos, None, 8, choices=c) for c in (choices, None))
    assert (batch.action == unnamed.action[:, 0]).all()
