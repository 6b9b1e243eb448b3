"""Intervals over seeds, against numbers worked by hand."""

from __future__ import annotations

import pytest

from robot_lfd.evaluate import wilson_interval
from robot_lfd.intervals import effective_episodes, mean_interval, pooled_interval


def test_seeds_that_agree_count_as_so_many_episodes_of_one():
    assert effective_episodes([(45, 50), (45, 50), (45, 50)]) == 150
    assert pooled_interval([(45, 50), (45, 50), (45, 50)]) == pytest.approx(wilson_interval(135, 150))


def test_one_run_alone_has_wilsons_interval():
    assert pooled_interval([(81, 263)]) == pytest.approx(wilson_interval(81, 263))


def test_seeds_that_disagree_widen_the_interval_by_the_design_effect():
    # p = .5; between = (50 * .4^2 + 50 * .4^2) / 1 = 16; 16 / .25 = 64; 100 / 64 = 1.5625 episodes
    assert effective_episodes([(5, 50), (45, 50)]) == pytest.approx(1.5625)
    low, high = pooled_interval([(5, 50), (45, 50)])
    assert low < 0.1 and high > 0.9


def test_seeds_that_all_succeed_or_all_fail_still_have_an_interval():
    assert pooled_interval([(20, 20), (20, 20)]) == pytest.approx(wilson_interval(40, 40))
    assert pooled_interval([(0, 20), (0, 20)])[0] == 0.0


def test_one_seed_solving_everything_and_one_nothing_are_worth_one_episode():
    assert effective_episodes([(10, 10), (0, 10)]) == 1.0


def test_the_interval_of_a_mean_is_students():
    # 1, 2, 3: mean 2, standard deviation 1, t(2) = 4.303, 4.303 / sqrt(3) = 2.4843
    assert mean_interval([1.0, 2.0, 3.0]) == pytest.approx((2 - 2.4843, 2 + 2.4843), abs=1e-3)
    assert mean_interval([0.7]) == (0.7, 0.7)


def test_the_interval_of_a_mean_of_many_runs_is_nearly_normal():
    low, high = mean_interval([0.0, 1.0] * 50)
    assert high - low == pytest.approx(2 * 1.96 * 0.5025 / 10, abs=1e-3)
