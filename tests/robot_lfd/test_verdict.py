import math

import numpy as np
import pytest

from robot_lfd.demos.episode import Episode
from robot_lfd.screen import verdict_lines
from robot_lfd.verdict import judge, medians, tick_rate

HZ = 20.0


def _episode(position, time=None, success=True):
    T = len(position) - 1
    ticks = np.arange(T) / HZ
    return Episode(
        obs={"eef_pos": np.asarray(position, np.float32)},
        action=np.zeros((T, 4), np.float32),
        reward=np.zeros(T, np.float32),
        sim_state=np.zeros((T + 1, 1)),
        time=np.stack([ticks, ticks], 1) if time is None else time,
        intervention=np.zeros(T, bool),
        success=success,
        terminated=False,
        truncated=False,
    )


def _line(T, metres):
    return np.linspace([0, 0, 0], [metres, 0, 0], T + 1)


def test_length_path_and_idle_time_are_measured():
    path = np.concatenate([_line(40, 0.4), np.repeat([[0.4, 0.0, 0.0]], 10, axis=0)])
    verdict = judge(_episode(path), HZ, True)
    assert verdict.seconds == 2.5 and verdict.path_m == pytest.approx(0.4, abs=1e-6)
    assert verdict.idle_share == pytest.approx(0.2) and verdict.replays is True


def test_a_shaky_path_is_less_smooth_than_a_soft_one():
    t = np.linspace(0, 1, 61)
    soft = np.stack([10 * t**3 - 15 * t**4 + 6 * t**5, 0 * t, 0 * t], 1)
    shaky = soft + np.random.default_rng(0).normal(0, 0.002, soft.shape)
    assert judge(_episode(soft), HZ, None).smoothness > judge(_episode(shaky), HZ, None).smoothness + 2.0


def test_the_rate_leaves_pauses_out_and_counts_late_ticks():
    scheduled = np.concatenate([np.arange(20) / HZ, 9.0 + np.arange(20) / HZ])
    actual = scheduled.copy()
    actual[5] += 0.03
    rate, late = tick_rate(np.stack([scheduled, actual], 1), HZ)
    assert rate == pytest.approx(HZ, rel=1e-6) and late == pytest.approx(1 / 40)


def test_simulated_time_has_no_rate():
    ticks = np.arange(10) / HZ
    rate, late = tick_rate(np.stack([ticks, ticks], 1), HZ)
    assert math.isnan(rate) and late == 0.0


def test_json_holds_every_verdict():
    verdict = judge(_episode(np.zeros((3, 3))), HZ, None).to_json()
    assert verdict["smoothness"] is None and verdict["rate_hz"] is None and verdict["idle_share"] == 1.0


def test_medians_skip_what_is_not_known():
    known = [{"seconds": 3.0, "rate_hz": None, "success": True}, {"seconds": 5.0, "success": False}]
    assert medians(known) == {"seconds": 4.0, "success": 0.5} and medians([]) == {}


@pytest.mark.parametrize(
    ("change", "name", "rating"),
    [
        ({"replays": False}, "replays exactly", "bad"),
        ({"success": False}, "solved", "bad"),
        ({"seconds": 20.0}, "length", "bad"),
        ({"idle_share": 0.7}, "standing still", "bad"),
        ({"rate_hz": 17.0}, "rate", "bad"),
        ({"rate_hz": 20.01}, "rate", "good"),
        ({"late_share": 0.1}, "rate", "bad"),
        ({"path_m": 2.0}, "path", "bad"),
        ({}, "length", "plain"),
    ],
)
def test_what_an_operator_should_think_twice_about_is_rated_bad(change, name, rating):
    import dataclasses

    usual = dataclasses.replace(judge(_episode(_line(60, 0.5)), HZ, True), rate_hz=20.0)
    median = medians([usual.to_json()])
    lines = verdict_lines(dataclasses.replace(usual, **change), median, HZ)
    assert {line.name: line.rating for line in lines}[name] == rating
