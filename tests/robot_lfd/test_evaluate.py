"""Evaluation: numbers that can be checked by hand, the same starts every time."""

import json

import numpy as np
import pytest

import robot_lfd
from robot_lfd import cli
from robot_lfd.errors import LfdError
from robot_lfd.evaluate import EpisodeRow, EvalResult, evaluate, wilson_interval
from robot_lfd.evaluations import read_evaluations, run_folder
from tests.robot_lfd.point_arm import ID, Chase, make_point_arm, register


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [  # Newcombe 1998, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_the_wilson_interval_equals_the_published_one(successes, n, low, high):
    assert wilson_interval(successes, n) == pytest.approx((low, high), abs=5e-5)


def test_the_interval_of_failures_mirrors_that_of_successes_and_holds_the_rate():
    for n in (1, 7, 50):
        for k in range(n + 1):
            low, high = wilson_interval(k, n)
            assert 0 <= low <= k / n <= high <= 1
            assert wilson_interval(n - k, n) == pytest.approx((1 - high, 1 - low), abs=1e-12)


@pytest.mark.parametrize(("successes", "n"), [(1, 0), (-1, 5), (6, 5)])
def test_an_impossible_count_has_no_interval(successes, n):
    with pytest.raises(LfdError, match="has no interval"):
        wilson_interval(successes, n)


def test_a_summary_is_what_the_rows_say():
    rows = (EpisodeRow(5, True, 2.0, 10), EpisodeRow(6, False, 1.0, 60), EpisodeRow(7, True, 6.0, 20))
    summary = EvalResult(rows).summary()
    assert summary.pop("interval") == pytest.approx(wilson_interval(2, 3))
    assert summary == pytest.approx(
        {
            "success_rate": 2 / 3,
            "return_mean": 3.0,
            "return_median": 2.0,
            "length_mean": 30.0,
            "length_median": 20.0,
            "episodes": 3,
        }
    )


def test_a_good_policy_solves_every_start_and_a_lame_one_none():
    env = make_point_arm()
    good = evaluate(env, Chase(1.0), episodes=6, seed=100)
    lame = evaluate(env, Chase(0.01), episodes=6, seed=100)
    assert (good.success_rate, lame.success_rate) == (1.0, 0.0)
    assert all(r.length < 60 for r in good.rows) and all(r.length == 60 for r in lame.rows)
    assert all(a.return_sum / a.length > b.return_sum / b.length for a, b in zip(good.rows, lame.rows, strict=True))


def test_the_same_seeds_give_the_same_episodes_and_other_seeds_others():
    env = make_point_arm()
    first, again = (evaluate(env, Chase(), episodes=3, seed=7).rows for _ in range(2))
    assert first == again and [r.seed for r in first] == [7, 8, 9]
    assert evaluate(env, Chase(), episodes=3, seed=8).rows[:2] == first[1:]


def test_each_episode_is_reported_when_it_is_over_and_resets_the_policy():
    seen, policy = [], Chase()
    result = evaluate(make_point_arm(), policy, episodes=4, seed=0, on_episode=seen.append)
    assert tuple(seen) == result.rows and policy.resets == 4


def test_only_the_first_episodes_are_filmed_one_picture_a_step():
    result = evaluate(make_point_arm(), Chase(), episodes=3, seed=0, collect_frames_of=2, camera="top", size_px=32)
    assert [f.shape for f in result.frames] == [(r.length, 32, 32, 3) for r in result.rows[:2]]
    assert result.frames[0].dtype == np.uint8 and not (result.frames[0][0] == result.frames[0][-1]).all()


def test_no_episodes_is_an_error():
    with pytest.raises(LfdError, match="at least 1"):
        evaluate(make_point_arm(), Chase(), episodes=0, seed=0)


def test_a_checkpoint_path_belongs_to_its_run(tmp_path):
    (tmp_path / "run/checkpoints/2500").mkdir(parents=True)
    assert run_folder(tmp_path / "run/checkpoints/2500") == run_folder(tmp_path / "run") == (tmp_path / "run").resolve()


class Learned(Chase):
    """Stands in for a loaded checkpoint."""

    env_id, control_hz, step, algo, policy_keys = ID, 20.0, 700, "bc", ("target_rel",)
    env_kwargs: dict = {}  # noqa: RUF012


def test_the_command_prints_the_interval_and_keeps_the_result_in_the_run(tmp_path, monkeypatch, capsys):
    register()
    run = tmp_path / "run"
    (run / "checkpoints/00000700").mkdir(parents=True)
    monkeypatch.setattr(robot_lfd, "load_policy", lambda path: Learned())
    argv = ["eval", str(run / "checkpoints/00000700"), "--episodes", "4", "--seed", "9", "--json"]
    assert cli.call([*argv, "--video", str(tmp_path / "a.gif"), "--video-episodes", "2"]) == 0
    out = capsys.readouterr().out
    found = json.loads(out.splitlines()[-1])
    assert (found["success_rate"], found["episodes"], found["seed"], found["step"]) == (1.0, 4, 9, 700)
    assert found["interval"] == pytest.approx(wilson_interval(4, 4)) and "95 %: 51.0 to 100.0" in out
    kept = json.loads((run / "evaluations/700-9.json").read_text())
    assert read_evaluations(run) == [kept]
    assert [r["seed"] for r in kept["rows"]] == [9, 10, 11, 12] and kept["success_rate"] == 1.0
    assert (tmp_path / "a.gif").stat().st_size > 1000
