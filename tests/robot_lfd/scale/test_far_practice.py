"""Rollout workers: what they see is learned from in a fixed order, and is never older than the bound."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from robot_lfd.cli import call
from robot_lfd.envs.registry import make_env
from robot_lfd.metrics import read_metrics
from robot_lfd.policy_spec import Spans
from robot_lfd.scale.cluster import Cluster
from robot_lfd.train.agents import make_agent
from robot_lfd.train.config import TrainConfig
from robot_lfd.train.far_practice import FarPractice, Piece, Rollouts, acting, piece_steps
from robot_lfd.train.practice import Practice
from robot_lfd.train.reading import read
from robot_lfd.train.rows import STEP_COLUMNS, Replay, taken

pytestmark = pytest.mark.xdist_group("ray")
FAST = ("--algo", "iq", "--hidden", "16", "--batch-rows", "16", "--pretrain-steps", "20", "--steps", "260")


def test_no_row_is_older_than_the_bound_whatever_the_number_of_workers():
    for workers, bound, updates in ((1, 200, 1), (2, 200, 1), (5, 200, 3), (3, 8, 2)):
        steps = piece_steps(workers, bound, updates)
        assert steps >= 1 and ((workers + 1) * steps - 1) * updates < bound
        assert (workers + 1) * (steps + 1) * updates > bound  # and it is not smaller than it need be


def test_workers_where_nothing_practises_and_too_low_a_bound_are_plain_lines(reach: Path, tmp_path: Path, capfd):
    words = ["train", "--demos", str(reach), "--out", str(tmp_path / "r"), *FAST, "--rollout-workers", "3"]
    for more, expected in (
        (["--staleness-bound", "3"], "--staleness-bound is 3, expected at least 4"),
        (["--seeds", "2"], "leave one out"),
        (["--mode", "offline"], "nothing practises here"),
        (["--copies", "2"], "two ways to practise"),
        (["--rollout-workers", "-1"], "--rollout-workers is -1"),
        (["--obs", "pixels"], "--rollout-workers is for --obs state"),
    ):
        assert call([*words, *more]) == 1
        error = capfd.readouterr().err
        assert expected in error and error.count("\n") == 1


@pytest.mark.parametrize(("chunk", "candidates"), [(1, 0), (3, 0), (3, 4)])
def test_a_worker_practises_as_the_learner_itself_would(reach: Path, chunk: int, candidates: int):
    """Piece by piece, with the weights that it was sent, across the ends of episodes; no Ray is needed for that."""
    config = TrainConfig(demos=(reach,), out=Path("unused"), hidden=(16,), staleness_bound=200, chunk=chunk)
    config = replace(config, candidates=candidates)
    config, _, expert, spec = read(config)
    from robot_lfd.train.windows import decisions

    rows, kwargs = decisions(expert.rows, spec.decided), {**spec.env_kwargs, "max_episode_steps": 30}
    far = Rollouts(config, spec, (spec.env_id, kwargs), rows, 5, noise=9)
    agent = make_agent(config, spec, rows)
    weights = {k: v.numpy().copy() * 1.1 for k, v in acting(agent).state_dict().items()}
    pieces = [far.collect(weights, 40, sent_at=k) for k in (0, 40)]
    near = Rollouts(config, spec, (spec.env_id, kwargs), rows, 5, noise=9)
    whole = near.collect(weights, 80, sent_at=0)
    for name in STEP_COLUMNS:
        assert np.array_equal(np.concatenate([p.rows[name] for p in pieces]), whole.rows[name])
    assert sum(p.added.sum() for p in pieces) == len(whole.rows["reward"]) and len(whole.added) == 80
    assert [i for i, _ in whole.ends] == [i + 40 * k for k, p in enumerate(pieces) for i, _ in p.ends] == [29, 59]
    here = Practice(
        make_env(spec.env_id, **kwargs), near._agent, spec.features, Replay(500, rows), 0, False, Spans(spec.decided)
    )
    here.episode = 5
    near._agent.generator.manual_seed(9)
    for _ in range(80):
        here.step()
    for name in STEP_COLUMNS:
        assert np.array_equal(getattr(here.replay.arrays, name)[: here.replay.count], whole.rows[name])


class Given(FarPractice):
    """Is handed these pieces in turn, worker by worker, in the place of Ray's."""

    def __init__(self, pieces: list[Piece], replay: Replay) -> None:
        config = TrainConfig(demos=(), out=Path("unused"), rollout_workers=2)
        rest: Any = None
        super().__init__(Mock(), config, rest, rest, rest, rest, replay)
        self._workers, self._script = [0, 1], iter(pieces)
        self._ask(0), self._ask(1)

    def _ask(self, worker: int) -> None:
        self._pieces.append((worker, next(self._script, None)))

    def _received(self, worker: int, promise: Any) -> Piece:
        return promise


def test_what_a_worker_solves_counts_as_an_experts_also_where_another_workers_steps_lie_between(reach: Path):
    config = TrainConfig(demos=(reach,), out=Path("unused"), hidden=(16,), candidates=0)
    rows = read(config).expert.rows
    replay, two = Replay(100, rows, keeps_own=True), taken(rows, np.arange(2))

    def piece(*ends: tuple[int, bool]) -> Piece:
        columns = {k: getattr(two, k) for k in STEP_COLUMNS}
        return Piece(columns, np.ones(2, np.int64), [(at, (solved, 1.0, 2)) for at, solved in ends], 0)

    practice = Given([piece(), piece((0, False)), piece((0, True)), piece((1, True)), piece((1, True))], replay)
    for _ in range(10):
        practice.step()
    assert [rows.tolist() for rows in replay.solved] == [[0, 1, 4], [3, 6, 7], [5, 8, 9]]


def train(reach: Path, out: Path, *more: str) -> None:
    words = ["train", "--demos", str(reach), "--out", str(out), *FAST]
    assert call([*words, "--rollout-workers", "2", "--staleness-bound", "60", *more]) == 0


def test_two_runs_with_rollout_workers_are_equal_and_their_staleness_is_logged(ray, reach: Path, tmp_path: Path, capfd):
    runs = [tmp_path / "a", tmp_path / "b"]
    for run in runs:
        train(reach, run)
    models = [(r / "checkpoints" / "00000260" / "model.safetensors").read_bytes() for r in runs]
    assert models[0] == models[1]
    last = read_metrics(runs[0])[-1]
    assert 20 < last["staleness_mean"] <= last["staleness_max"] < 60 and last["practice_length"] > 0
    train(reach, runs[0], "--resume", "--rollout-workers", "1", "--steps", "300")
    assert read_metrics(runs[0])[-1]["step"] == 300 and read_metrics(runs[0])[-1]["staleness_max"] < 60
    assert call(["train", "--demos", str(reach), "--out", str(runs[1]), *FAST, "--resume"]) == 1
    assert "was begun with --rollout-workers; go on so" in capfd.readouterr().err


def test_a_rollout_worker_that_is_killed_is_replaced(ray: Cluster, reach: Path, tmp_path: Path):
    config = TrainConfig(
        demos=(reach,), out=tmp_path, hidden=(16,), rollout_workers=2, staleness_bound=30, candidates=0
    )
    config, _, expert, spec = read(config)
    agent, replay = make_agent(config, spec, expert.rows), Replay(1000, expert.rows)
    practice = FarPractice(ray, config, spec, (spec.env_id, spec.env_kwargs), agent, expert.rows, replay)
    for _ in range(15):
        practice.step()
    pid = ray.ray.get(practice._workers[0].__ray_call__.remote(lambda self: os.getpid()))
    os.kill(pid, signal.SIGKILL)
    for _ in range(60):
        practice.step()
    assert replay.count == 75 and practice.scalars()["staleness_max"] < 30 and practice._deaths == 1
    practice.close()
