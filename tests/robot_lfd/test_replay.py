"""Replay: an episode re-simulates bit for bit, and the smallest tampering is found at its step."""

import json

import cv2
import numpy as np
import pytest

from robot_lfd import cli
from robot_lfd.demos.episode import Episode
from robot_lfd.demos.resimulate import first_difference
from robot_lfd.demos.spec import make_spec
from robot_lfd.demos.store import DemoStore
from robot_lfd.demos.tape import Tape
from robot_lfd.envs.registry import NO_LIMIT, make_env
from robot_lfd.errors import LfdError
from robot_lfd.replay import replay_episode
from robot_lfd.rollout import rollout
from tests.robot_lfd.point_arm import ID, Chase, make_point_arm


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
    return make_point_arm(max_episode_steps=NO_LIMIT)


def test_a_recorded_episode_re_simulates_bit_for_bit_in_another_environment_object():
    episode = record(make_point_arm(), Chase(), seed=3)
    again, frames = replay_episode(fresh_point_arm(), episode)
    assert first_difference(episode, again) is None and frames is None
    assert (again.success, again.terminated) == (True, True)


@pytest.mark.parametrize("task", ["Reach", "Push", "Lift", "PickPlace", "Stack"])
def test_a_pybullet_episode_re_simulates_bit_for_bit(task):
    env_id = f"pybullet/{task}-v0"
    episode = record(make_env(env_id), Wander(4, seed=1), seed=11, steps=40)
    env = make_env(env_id, max_episode_steps=NO_LIMIT)
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


@pytest.mark.parametrize(("factor", "equal"), [(1 + 2e-7, True), (1 + 1e-5, False)])
def test_rewards_may_differ_in_their_last_bits_alone(factor: float, equal: bool):
    episode = record(make_point_arm(), Chase(0.5), seed=3)
    reward = episode.reward.copy()
    reward[4] *= reward.dtype.type(factor)
    difference = first_difference(episode.replace(reward=reward), replay_episode(fresh_point_arm(), episode)[0])
    assert (difference is None) == equal
    assert equal or (difference is not None and (difference.array, difference.step) == ("reward", 4))


@pytest.fixture
def dataset(tmp_path):
    """Three episodes: one sound, one whose recorded observation was tampered with, one sound."""
    env = make_point_arm()
    store = DemoStore.create(tmp_path / "demos", make_spec(ID, env, {}))
    for seed in (1, 2, 3):
        episode = record(env, Chase(0.5), seed)
        store.append(tampered(episode, "eef_pos", 5) if seed == 2 else episode)
    return store


def test_check_names_the_episode_step_and_size_and_exits_with_1(dataset, capsys):
    assert cli.call(["replay", str(dataset.path), "--check", "--json"]) == 1
    out = capsys.readouterr().out
    found = json.loads(out.splitlines()[-1])
    bad = dataset.ids()[1]
    assert (found["ok"], found["differing"], found["episodes"]) == (False, 1, 3)
    assert [r["demo"] for r in found["rows"] if not r["equal"]] == [bad]
    assert (found["rows"][1]["array"], found["rows"][1]["step"]) == ("obs/eef_pos", 5)
    assert "2 of 3 episodes re-simulate exactly" in out


def test_check_of_chosen_sound_episodes_exits_with_0(dataset, capsys):
    first, _, last = dataset.ids()
    assert cli.call(["replay", str(dataset.path), "--check", "--demo", first, last]) == 0
    assert "2 of 2 episodes re-simulate exactly" in capsys.readouterr().out


def test_a_video_shows_every_step_of_every_episode(dataset, tmp_path, capsys):
    argv = ["replay", str(dataset.path), "--video", str(tmp_path / "a.mp4"), "--size-px", "64", "--camera", "top"]
    assert cli.call(argv) == 0
    steps = sum(len(dataset[i]) for i in dataset.ids())
    capture = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == steps + 3 + 3 * 12  # T + 1 pictures each, the last one held


def test_an_episode_trimmed_at_its_start_is_skipped_and_said_so(dataset, capsys):
    first = dataset.ids()[0]
    dataset.label(first, trim=(2, 5))
    assert cli.call(["replay", str(dataset.path), "--check", "--demo", first]) == 0
    assert "skipped" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda store: ["replay", str(store.path), "--demo", "nope"], "no episode 'nope'"),
        (lambda store: ["replay", str(store.path.parent / "gone")], "no such dataset"),
        (lambda store: ["replay", str(store.path), "--video", "a.avi"], "expected .mp4 or .gif"),
        (lambda store: ["replay", str(store.path), "--video", "a.mp4", "--camera", "moon"], "unknown camera 'moon'"),
    ],
)
def test_what_cannot_be_replayed_is_one_plain_line(dataset, capsys, make, words):
    assert cli.call(make(dataset)) == 1
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1


def test_an_empty_dataset_is_one_plain_line(tmp_path, capsys):
    DemoStore.create(tmp_path / "empty", make_spec(ID, make_point_arm(), {}))
    assert cli.call(["replay", str(tmp_path / "empty")]) == 1
    assert "holds no episodes" in capsys.readouterr().err
