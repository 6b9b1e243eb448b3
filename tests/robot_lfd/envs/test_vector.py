"""Copies that step at once do what each would do alone, step for step, over the ends of episodes."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from robot_lfd.envs.registry import make_env
from robot_lfd.envs.vector import make_vector_env
from robot_lfd.errors import LfdError

CASES = [
    ("pybullet/Reach-v0", "threads", 8),
    pytest.param("pybullet/Reach-v0", "processes", 8, marks=pytest.mark.slow),
    pytest.param("robosuite/Lift-v0", "auto", 8, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("env_id", "workers", "limit"), CASES)
def test_every_copy_equals_the_single_environment_step_for_step(env_id: str, workers: str, limit: int):
    many = make_vector_env(env_id, 2, workers=workers, max_episode_steps=limit)
    alone = [make_env(env_id, max_episode_steps=limit) for _ in range(2)]
    rng, ended = np.random.default_rng(0), [False, False]
    together, _ = many.reset(seed=[5, 6])
    for i, env in enumerate(alone):
        _equal(together, i, env.reset(seed=5 + i)[0])
    for _ in range(2 * limit + 4):
        actions = rng.uniform(-1, 1, many.action_space.shape).astype(np.float32)
        together, rewards, terminated, truncated, _ = many.step(actions)
        for i, env in enumerate(alone):
            if ended[i]:
                five = (env.reset()[0], 0.0, False, False)
            else:
                five = env.step(actions[i])[:4]
            _equal(together, i, five[0])
            assert (rewards[i], terminated[i], truncated[i]) == five[1:]
            ended[i] = bool(five[2] or five[3])
    many.close()


def _equal(together: dict[str, np.ndarray], copy: int, alone: dict[str, np.ndarray]) -> None:
    for name, value in alone.items():
        assert np.array_equal(together[name][copy], value), name


def test_a_copy_that_ended_and_was_not_reset_is_named():
    many = make_vector_env("pybullet/Reach-v0", 2, workers="threads", autoreset=False, max_episode_steps=2)
    many.reset(seed=0)
    still = np.zeros(many.action_space.shape, np.float32)
    many.step_async(still)
    with pytest.raises(gym.error.AlreadyPendingCallError, match="expected step_wait first"):
        many.reset(seed=0)
    many.step_wait()
    many.reset(seed=[3, None], options={"reset_mask": np.array([True, False])})
    many.step(still)
    with pytest.raises(gym.error.ResetNeeded, match=r"copies \[1\] have ended"):
        many.step(still)
    many.reset(seed=[None, 4], options={"reset_mask": np.array([False, True])})
    assert many.step(still)[3].tolist() == [True, False]
    many.close()


def test_what_a_copy_raises_is_raised_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch):
    many = make_vector_env("pybullet/Reach-v0", 3, workers="threads")
    many.reset(seed=0)
    still = np.zeros(many.action_space.shape, np.float32)

    def refuses(action: np.ndarray) -> None:
        raise LfdError("the arm is stuck")

    for broken in (0, 2):  # in a thread of its own, and in the one that asks
        with monkeypatch.context() as patch, pytest.raises(LfdError, match="the arm is stuck"):
            patch.setattr(many.envs[broken], "step", refuses)
            many.step(still)
    alone = make_env("pybullet/Reach-v0")
    alone.reset(seed=1)
    for _ in range(3):
        expected = alone.step(still[0])[0]
    _equal(many.step(still)[0], 1, expected)
    many.close()


def test_a_wrong_number_or_kind_of_workers_is_said_plainly():
    with pytest.raises(LfdError, match="n is 0"):
        make_vector_env("pybullet/Reach-v0", 0)
    with pytest.raises(LfdError, match="auto, threads, processes"):
        make_vector_env("pybullet/Reach-v0", 2, workers="fibres")
