"""What training does differently where no person drove an arm, and where actions are discrete."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policies.soft_q import OFFLINE, SoftQAgent, SoftQConfig
from robot_lfd.checkpoint import find_checkpoint, read_json
from robot_lfd.cli import call
from robot_lfd.demos.convert.trajectories_npz import import_trajectories
from robot_lfd.train.agents import make_agent
from robot_lfd.train.config import TrainConfig
from robot_lfd.train.reading import read


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a dataset of one CartPole trajectory of 40 steps, the last 20 of which nothing moves."""
    out = tmp_path_factory.mktemp("demos") / "cart"
    steps = np.minimum(np.arange(41), 20)[:, None]
    np.savez(
        out.with_suffix(".npz"), obs=(steps * [0.01, 0.1, 0.01, 0.1]).astype(np.float32),
        actions=np.arange(40) % 2, lengths=[40], terminated=[True], env_id="CartPole-v1",
    )  # fmt: skip
    import_trajectories(out.with_suffix(".npz"), out)
    return out


def test_steps_in_which_nothing_moves_are_decisions_too(demos: Path, tmp_path: Path):
    assert len(read(TrainConfig(demos=(demos,), out=tmp_path)).expert.rows) == 40


def test_whoever_balances_rests_on_purpose(tmp_path: Path):
    still = np.minimum(np.arange(41), 20)[:, None] * [0.01, 0.01, 0.1]
    out = tmp_path / "pendulum"
    np.savez(
        out.with_suffix(".npz"), obs=still.astype(np.float32), actions=np.zeros((40, 1), np.float32), lengths=[40],
        terminated=[False], env_id="Pendulum-v1",
    )  # fmt: skip
    import_trajectories(out.with_suffix(".npz"), out)
    assert len(read(TrainConfig(demos=(out,), out=tmp_path)).expert.rows) == 40


@pytest.mark.parametrize(("terminal", "value"), [(None, -200.0), ("zero", 0.0), ("bootstrap", None)])
def test_an_end_that_no_demo_came_to_is_a_fall_and_the_worst_there_is(
    tmp_path: Path, terminal: Any, value: float | None
):
    out = tmp_path / "cart"
    np.savez(
        out.with_suffix(".npz"), obs=np.zeros((41, 4), np.float32), actions=np.arange(40) % 2, lengths=[40],
        terminated=[False], env_id="CartPole-v1",
    )  # fmt: skip
    import_trajectories(out.with_suffix(".npz"), out)
    found = read(TrainConfig(demos=(out,), out=tmp_path / "run", terminal=terminal)).spec.absorbing_value
    assert found == (value if value is None else pytest.approx(value))


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ({"mode": "offline"}, 0.0),
        ({"mode": "offline", "terminal": "bound"}, 200.0),
        ({"mode": "offline", "terminal": "bootstrap"}, None),
        ({"mode": "online"}, 200.0),
    ],
)
def test_what_the_end_is_worth(demos: Path, tmp_path: Path, changes: dict, value: float | None):
    found = read(TrainConfig(demos=(demos,), out=tmp_path, **changes)).spec.absorbing_value
    assert found == (value if value is None else pytest.approx(value))


def test_offline_iq_learn_has_its_own_recipe_and_the_full_gradient(demos: Path, tmp_path: Path):
    for mode, recipe in (("offline", OFFLINE), ("online", SoftQConfig())):
        config = TrainConfig(demos=(demos,), out=tmp_path, mode=mode)
        config, _, expert, spec = read(config)
        agent = make_agent(config, spec, expert.rows)
        assert isinstance(agent, SoftQAgent) and agent.config == recipe
        assert isinstance(agent.critic_loss, functools.partial)
        assert agent.critic_loss.keywords["config"].own_next_value == (mode == "offline")


def test_the_scale_of_observations_is_kept_with_the_policy(demos: Path, tmp_path: Path):
    words = ["--mode", "offline", "--steps", "3", "--pretrain-steps", "2", "--hidden", "8"]
    assert call(["train", "--demos", str(demos), "--out", str(tmp_path / "run"), *words]) == 0
    _, _, expert, spec = read(TrainConfig(demos=(demos,), out=tmp_path, mode="offline", hidden=(8,)))
    agent = make_agent(TrainConfig(demos=(demos,), out=tmp_path, mode="offline", hidden=(8,)), spec, expert.rows)
    assert isinstance(agent, SoftQAgent)
    stats = read_json(find_checkpoint(tmp_path / "run") / "stats.json")
    np.testing.assert_allclose(stats["std"], agent.critic.normaliser.std)
