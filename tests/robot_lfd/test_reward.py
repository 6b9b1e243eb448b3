"""`lfd reward`: the numbers by hand, and the command as a user types it."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_lfd import load_policy
from robot_lfd.cli import call, sample
from robot_lfd.demos.store import DemoStore
from robot_lfd.reward import Judgement, agreement, auc, judge, pearson


def judged(
    success: bool, reward: list[float], recovered: list[float], value: list[float], afterwards: float = 0.0
) -> Judgement:
    return Judgement("x", success, np.array(reward), np.array(recovered), np.array(value), afterwards)


def test_auc_is_the_share_of_pairs_in_the_right_order():
    score, positive = np.array([3.0, 1.0, 2.0, 1.0]), np.array([True, True, False, False])
    # pairs (3,2) (3,1) right, (1,2) wrong, (1,1) half
    assert auc(score, positive) == pytest.approx(2.5 / 4)
    assert auc(score, np.ones(4, bool)) is None


def test_correlation_needs_something_that_varies():
    assert pearson(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])) == pytest.approx(1.0)
    assert pearson(np.array([1.0, 2.0]), np.array([1.0, 1.0])) is None
    assert pearson(np.array([1.0]), np.array([1.0])) is None


def test_length_alone_can_make_sums_agree_but_not_means():
    # the reward is 1 a step everywhere but for a trace; r disagrees with that trace
    short = judged(False, [1.0, 1.1], [1.1, 1.0], [0.0, 0.0])
    middle = judged(True, [1.0, 1.2, 1.2], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0])
    long = judged(True, [1.3] * 9, [0.9] * 9, [2.0] * 9)
    found = agreement([short, middle, long])
    assert found["pearson_sums"] == pytest.approx(1.0, abs=0.01)
    means = found["pearson_means"]
    assert means is not None and means < -0.9
    assert found["auc_value"] == 1.0


def test_a_failure_that_stays_near_the_end_is_told_from_a_success_by_its_last_v_alone():
    lingers, solves = judged(False, [0.0] * 4, [0.0] * 4, [3.0] * 4), judged(True, [0.0] * 2, [0.0] * 2, [1.0, 4.0])
    found = agreement([lingers, solves])
    assert found["auc_value"] == 0.0 and found["auc_last_value"] == 1.0


def test_sums_to_the_time_limit_tell_a_fall_from_a_full_episode():
    # while it stands r is a little below nought, so the sum alone calls the early fall the best of the three
    fell = judged(False, [1.0] * 2, [-0.1] * 2, [0.0] * 2, afterwards=-2.0 * 8)
    fell_late = judged(False, [1.0] * 6, [-0.1] * 6, [0.0] * 6, afterwards=-2.0 * 4)
    stood = judged(False, [1.0] * 10, [-0.1] * 10, [0.0] * 10)
    found = agreement([fell, fell_late, stood])
    assert found["pearson_sums"] == pytest.approx(-1.0)
    assert found["pearson_sums_to_limit"] == pytest.approx(1.0)
    assert found["pearson_length"] == pytest.approx(1.0)


def test_what_follows_the_end_counts_until_the_time_limit():
    policy: Any = load_policy(sample("lift-iq"))
    store = DemoStore.open(sample("lift-demos"))
    episode = store[store.ids()[0]]
    found = judge(policy, "x", episode, limit=len(episode) + 10)
    # the place where only experts stay: the bound of a step's reward, 2, over the steps of a decision, for ever
    bound, gamma = 2.0, policy.spec.decision_gamma
    assert found.afterwards == pytest.approx(10 * (1.0 - gamma) * bound / (1.0 - gamma))
    assert judge(policy, "x", episode, limit=None).afterwards == 0.0
    assert judge(policy, "x", replace(episode, terminated=False), limit=len(episode) + 10).afterwards == 0.0


def test_the_sample_policy_judges_the_sample_demos(tmp_path: Path, capfd: pytest.CaptureFixture):
    out = tmp_path / "r.csv"
    demos = "sample:lift-demos"
    assert call(["reward", "sample:lift-iq", "--demos", demos, "--out", str(out), "--json"]) == 0
    answer = json.loads(capfd.readouterr().out.splitlines()[-1])
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(e["length"] for e in answer["episodes"])
    first = [float(r["recovered_reward"]) for r in rows if r["episode"] == answer["episodes"][0]["id"]]
    assert sum(first) == pytest.approx(answer["episodes"][0]["recovered_sum"], rel=1e-4)


def test_a_policy_without_a_q_function_is_told_apart(tmp_path: Path, capfd: pytest.CaptureFixture):
    demos = "sample:lift-demos"
    run = str(tmp_path / "bc")
    assert call(["train", "--demos", demos, "--algo", "bc", "--steps", "5", "--out", run]) == 0
    capfd.readouterr()
    assert call(["reward", run, "--demos", demos]) == 1
    assert "(bc) has no critic, so no Q, V or reward; train one with --algo iq" in capfd.readouterr().err
