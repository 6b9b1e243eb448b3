"""Replay: an episode re-simulates bit for bit, and the smallest tampering is found at its step."""

import numpy as np
import pytest

from robot_lfd.demos.episode import Episode
from robot_lfd.demos.tape import Tape
from robot_lfd.envs.registry import make_env
from robot_lfd.errors import LfdError
from robot_lfd.replay import BEYOND_ANY_EPISODE, first_difference, replay_episode
from robot_lfd.rollout import rollout
from tests.robot_lfd.point_arm import Chase, make_point_arm


class Wander:
    """Draws smooth random actions from a seed."""

    def __init__(self, size: int, seed: int) -> None:
        self._rng, self._action = np.random.default_rng(seed), np.zeros(size)

    def reset(self) -> None:
        pass

    def act(self, obs: dict[str, np.ndarray]) -> np.ndarray:
        self._action = np.clip(0.8 * self._action + 0.6 * self._rng.normal(size=len(self._action)), -1, 1)
        return self._action.astype(np.float32)


def record(env, policy, seed: int, steps: int = 10_000) -> Episode:
    tape = Tape(env)
    for count, _ in enumerate(rollout(tape, policy, seed=seed), 1):
        if count == steps:
            break
    return tape.episode(meta={"device": "policy"})


def fresh_point_arm():
    return make_point_arm(max_episode_steps=BEYOND_ANY_EPISODE)


def test_a_recorded_episode_re_simulates_bit_for_bit_in_another_environment_object():
    episode = record(make_point_arm(), Chase(), seed=3)
    again, frames = replay_episode(fresh_point_arm(), episode)
    assert first_difference(episode, again) is None and frames is None
    assert (again.success, again.terminated) == (True, True)


@pytest.mark.parametrize("task", ["Reach", "Push", "Lift"])
def test_a_pybullet_episode_re_simulates_bit_for_bit(task):
    env_id = f"pybullet/{task}-v0"
    episode = record(make_env(env_id), Wander(4, seed=1), seed=11, steps=40)
    env = make_env(env_id, max_episode_steps=BEYOND_ANY_EPISODE)
    replay_episode(env, record(make_env(env_id), Wander(4, seed=2), seed=12, steps=15))  # what came before is forgotten
    again, frames = replay_episode(env, episode, size_px=32)
    assert first_difference(episode, again) is None
    assert frames is not None and frames.shape == (41, 32, 32, 3) and frames.std() > 0


def test_an_episode_that_goes_on_beyond_success_and_the_time_limit_is_replayed_to_its_end():
    env = make_point_arm(terminate_on_success=False, max_episode_steps=200)
    episode = record(env, Chase(), seed=3)
    assert len(episode) == 200
    again, _ = replay_episode(fresh_point_arm(), episode)
    assert first_difference(episode, again) is None and len(again) == 200


def tampered(episode: Episode, name: str, step: int) -> Episode:
    """Moves one number by the smallest amount there is."""
    if name == "action":
        action = episode.action.copy()
        action[step, 0] = np.nextafter(action[step, 0], np.float32(0.5))
        return episode.replace(action=action)
    if name == "sim_state":
        state = episode.sim_state.copy()
        state[step, 0] = np.nextafter(state[step, 0], 9)
        return episode.replace(sim_state=state)
    obs = {k: v.copy() for k, v in episode.obs.items()}
    obs[name][step, 0] = np.nextafter(obs[name][step, 0], np.float32(9))
    return episode.replace(obs=obs)


@pytest.mark.parametrize(
    ("name", "step", "array", "found"),
    [("sim_state", 4, "sim_state", 4), ("eef_pos", 5, "obs/eef_pos", 5), ("action", 3, "sim_state", 4)],
)
def test_the_smallest_tampering_is_found_where_it_happened(name, step, array, found):
    episode = tampered(record(make_point_arm(), Chase(0.5), seed=3), name, step)
    difference = first_difference(episode, replay_episode(fresh_point_arm(), episode)[0])
    assert difference is not None and (difference.array, difference.step) == (array, found)
    assert 0 < difference.size < 1e-6 and f"from step {found}" in str(difference)


def test_an_observation_that_the_installed_version_lacks_counts_as_a_difference():
    episode = record(make_point_arm(), Chase(), seed=3)
    gone = episode.replace(obs={**episode.obs, "gone": np.zeros((len(episode) + 1, 2), np.float32)})
    difference = first_difference(gone, replay_episode(fresh_point_arm(), gone)[0])
    assert difference is not None and (difference.array, difference.step) == ("obs/gone", 0)


def test_an_episode_cut_at_its_end_replays_and_one_cut_at_its_start_does_not():
    episode = record(make_point_arm(), Chase(0.5), seed=3)
    head = episode.trim(0, 6)
    assert first_difference(head, replay_episode(fresh_point_arm(), head)[0]) is None
    with pytest.raises(LfdError, match="trimmed at its start"):
        replay_episode(fresh_point_arm(), episode.trim(2, 6))
