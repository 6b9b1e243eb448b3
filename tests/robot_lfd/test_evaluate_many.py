"""Copies that play at once give the rows of one that plays alone, seed by seed."""

from pathlib import Path

import numpy as np
import pytest

import robot_lfd
from robot_lfd.envs.registry import make_env
from robot_lfd.errors import LfdError
from robot_lfd.evaluate import evaluate
from robot_lfd.evaluate_many import evaluate_many

SAMPLE = Path(__file__).parents[2] / "assets/samples/lift-iq"


class Wander:
    """A policy whose actions are any function of what it sees."""

    env_id, policy_keys = "robosuite/Lift-v0", ("object_rel",)
    env_kwargs: dict = {"max_episode_steps": 20}  # noqa: RUF012

    def reset(self) -> None:
        pass

    def act(self, obs: dict[str, np.ndarray]) -> np.ndarray:
        return np.sin(50.0 * np.resize(obs["object_rel"], 7)).astype(np.float32)


@pytest.mark.slow
def test_threads_give_the_rows_of_the_serial_evaluation(monkeypatch, tmp_path):
    monkeypatch.setattr(robot_lfd, "load_policy", lambda path: Wander())
    alone = evaluate(make_env("robosuite/Lift-v0", max_episode_steps=20), Wander(), episodes=5, seed=3)
    seen = []
    many = evaluate_many(tmp_path, episodes=5, seed=3, copies=2, on_episode=seen.append)
    assert many.rows == alone.rows == tuple(seen)


@pytest.mark.slow
def test_processes_give_the_rows_of_the_serial_evaluation():
    policy = robot_lfd.load_policy(SAMPLE)
    env = make_env(policy.env_id, **policy.env_kwargs)
    assert evaluate_many(SAMPLE, episodes=3, seed=3, copies=2).rows == evaluate(env, policy, episodes=3, seed=3).rows


def test_no_copies_are_an_error():
    with pytest.raises(LfdError, match="0 copies"):
        evaluate_many(SAMPLE, episodes=3, seed=3, copies=0)
