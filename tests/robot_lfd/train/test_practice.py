"""Practice: what the policy's own episodes leave in the replay buffer, decision by decision."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch

from robot_lfd.envs.registry import make_env
from robot_lfd.envs.vector import make_vector_env
from robot_lfd.policy_spec import Spans
from robot_lfd.train.practice import Practice
from robot_lfd.train.practice_many import ManyPractice
from robot_lfd.train.rows import Replay, Rows, features
from tests.robot_lfd.point_arm import PointArm

LIKE = {"reward": np.zeros(1, np.float32), "terminated": np.zeros(1, bool)}
KEYS = ("target_rel",)


class Homing:
    """Decides on `chunk` actions: a tenth of the way each, along one axis the more the later; counts its decisions."""

    def __init__(self, chunk: int) -> None:
        self.chunk, self.decisions = chunk, 0

    def act(self, obs: torch.Tensor, *, explore: bool) -> torch.Tensor:
        self.decisions += 1
        once = torch.cat([obs[:, -3:] * 3.0, torch.zeros(1, 1)], 1).clamp(-1, 1)
        return torch.cat([once * (1.0 - 0.1 * i) for i in range(self.chunk)], 1)


def practice(chunk: int, limit: int, frames: int = 1, n_step: int = 1, keeps_own: bool = False) -> Practice:
    none = np.zeros((1, 3 * frames), np.float32)
    number = np.zeros(1, np.int64)
    like = Rows(
        none, np.zeros((1, 4 * chunk), np.float32), next_obs=none, first_obs=none, step=number, stretch=number, **LIKE
    )
    env = gym.wrappers.TimeLimit(PointArm(), limit)
    seen = Replay(500, like, keeps_own), 0, False, Spans(chunk, frames, n_step)
    return Practice(env, Homing(chunk), KEYS, *seen)  # type: ignore[arg-type]


def episodes_of(run: Practice, steps: int) -> list[tuple[bool, float, int]]:
    for _ in range(steps):
        run.step()
    return list(run.results)


def test_a_row_begins_at_every_step_and_those_that_success_cut_short_repeat_the_last_action():
    run = practice(chunk=4, limit=100)
    while not run.results:
        run.step()
    solved, _, length = run.results[0]
    rows = run.replay.arrays
    assert solved and len(run.replay) == length
    assert rows.terminated[:length].tolist() == [False] * (length - 4) + [True] * 4
    single = rows.action[:length].reshape(length, 4, 4)
    assert np.array_equal(single[1:-3, 0], single[:-4, 1]), "the next row begins with the second action of this one"
    assert np.array_equal(single[length - 2, 1:], np.repeat(single[length - 1, :1], 3, 0))
    assert np.array_equal(rows.obs[4], rows.next_obs[0]), "what follows a row is what its fourth successor saw"
    assert run.agent.decisions == -(-length // 4)  # type: ignore[attr-defined]


def test_a_time_limit_leaves_only_rows_that_are_whole():
    run = practice(chunk=4, limit=6)
    episodes_of(run, 6)
    assert len(run.replay) == 3 and not run.replay.arrays.terminated[:3].any()


def test_what_is_seen_holds_the_last_steps_and_begins_anew_with_each_episode():
    run, once = practice(chunk=1, limit=6, frames=3), practice(chunk=1, limit=6)
    episodes_of(run, 14), episodes_of(once, 14)
    rows, single = run.replay.arrays, once.replay.arrays
    for t in range(14):
        begin = 6 * (t // 6)
        back = [single.obs[max(t - k, begin)] for k in (2, 1, 0)]
        assert np.array_equal(rows.obs[t], np.concatenate(back)), t
        assert np.array_equal(rows.next_obs[t], np.concatenate([*back[1:], single.next_obs[t]])), t


def test_a_row_of_several_steps_holds_the_first_ones_action_and_what_followed_the_last():
    run, once = practice(chunk=1, limit=100, n_step=3), practice(chunk=1, limit=100)
    while not run.results:
        run.step(), once.step()
    length = run.results[0][2]
    rows, single = run.replay.arrays, once.replay.arrays
    assert len(run.replay) == length and rows.terminated[:length].tolist() == [False] * (length - 3) + [True] * 3
    assert np.array_equal(rows.obs[:length], single.obs[:length])
    assert np.array_equal(rows.action[:length], single.action[:length])
    last = np.minimum(np.arange(length) + 2, length - 1)
    assert np.array_equal(rows.next_obs[:length], single.next_obs[last])


@pytest.mark.parametrize(("chunk", "frames", "n_step"), [(1, 1, 1), (3, 1, 1), (1, 4, 1), (1, 1, 3)])
def test_practice_goes_on_where_it_stopped_in_the_middle_of_a_decision(chunk: int, frames: int, n_step: int):
    whole, first, second = (practice(chunk, 12, frames, n_step) for _ in range(3))
    episodes_of(whole, 25)
    episodes_of(first, 17)  # the second of the actions decided on is the next
    second.load_state_dict(first.state_dict())
    episodes_of(second, 8)
    assert whole.replay.count == second.replay.count and list(whole.results) == list(second.results)
    for name in ("obs", "action", "next_obs"):
        assert np.array_equal(getattr(whole.replay.arrays, name), getattr(second.replay.arrays, name))


def test_what_solved_the_task_counts_as_an_experts_also_after_a_checkpoint_in_mid_episode():
    whole, first, second = (practice(1, 100, keeps_own=True) for _ in range(3))
    limited, without = practice(1, 6, keeps_own=True), practice(1, 100)
    for run in (whole, limited, without):
        episodes_of(run, 200)
    lengths = [length for _, _, length in whole.results]
    ends = np.cumsum(lengths).tolist()
    assert len(ends) > 2 and [len(rows) for rows in whole.replay.solved] == lengths
    assert np.array_equal(whole.replay.own, np.arange(ends[-1]))
    assert not limited.replay.solved and not without.replay.solved, "a time limit is no success; nor is it asked for"
    episodes_of(first, ends[0] + 3)
    second.load_state_dict(first.state_dict())
    episodes_of(second, 200 - ends[0] - 3)
    assert np.array_equal(second.replay.own, whole.replay.own) and len(second.replay.solved) == len(ends)


class Reaching:
    """Decides on `chunk` actions for several copies at once: towards the target, with noise from a generator."""

    def __init__(self, chunk: int) -> None:
        self.chunk, self.rng = chunk, torch.Generator().manual_seed(0)

    def act(self, obs: torch.Tensor, *, explore: bool) -> torch.Tensor:
        once = torch.cat([obs[:, -3:] * 3.0, torch.zeros(len(obs), 1)], 1)
        noise = 0.2 * torch.randn((len(obs), self.chunk, 4), generator=self.rng)
        return (once[:, None] + noise).clamp(-1, 1).reshape(len(obs), -1)


def many(chunk: int, copies: int, limit: int, frames: int = 1, n_step: int = 1) -> ManyPractice:
    width, number = np.zeros((1, 3 * frames), np.float32), np.zeros(1, np.int64)
    action = np.zeros((1, 4 * chunk), np.float32)
    like = Rows(width, action, next_obs=width, first_obs=width, step=number, stretch=number, **LIKE)
    envs = make_vector_env("pybullet/Reach-v0", copies, workers="threads", autoreset=False, max_episode_steps=limit)
    seen = Replay(500, like, keeps_own=True), 0, False, Spans(chunk, frames, n_step)
    return ManyPractice(envs, Reaching(chunk), KEYS, *seen)  # type: ignore[arg-type]


def test_many_copies_leave_the_rows_that_each_alone_would_one_after_the_other():
    run = many(chunk=1, copies=2, limit=5)
    for _ in range(22):
        run.step()
    rows, policy = run.replay.arrays, Reaching(1)
    envs = [make_env("pybullet/Reach-v0", max_episode_steps=5) for _ in range(2)]
    seeds = [10_000_000, 10_000_001]
    seen = [features(env.reset(seed=seed)[0], KEYS) for env, seed in zip(envs, seeds, strict=True)]
    for count in range(0, 22, 2):
        actions = policy.act(torch.from_numpy(np.stack(seen)), explore=True).numpy()
        for i, env in enumerate(envs):
            obs, reward, terminated, truncated, _ = env.step(actions[i])
            row = (seen[i], actions[i], np.float32(reward), features(obs, KEYS), terminated)
            for name, value in zip(("obs", "action", "reward", "next_obs", "terminated"), row, strict=True):
                assert np.array_equal(getattr(rows, name)[count + i], value), (count, i, name)
            seen[i] = features(obs, KEYS)
            if terminated or truncated:
                seeds[i] = max(seeds) + 1
                seen[i] = features(env.reset(seed=seeds[i])[0], KEYS)
    assert len(run.replay) == 22 and [length for *_, length in run.results] == [5] * 4
    run.env.close()


def test_what_a_copy_solves_counts_as_an_experts_with_the_rows_of_its_own_episode_also_after_a_checkpoint():
    whole, first, second = (many(chunk=2, copies=3, limit=100) for _ in range(3))
    for _ in range(240):
        whole.step()
    replay = whole.replay
    assert len(replay.solved) == sum(solved for solved, *_ in whole.results) > 2
    for rows in replay.solved:
        assert np.array_equal(replay.arrays.obs[rows[2:]], replay.arrays.next_obs[rows[:-2]]), "one copy's, in order"
        assert replay.arrays.terminated[rows].tolist() == [False] * (len(rows) - 2) + [True] * 2
    for _ in range(100):
        first.step()
    second.agent.rng.set_state(first.agent.rng.get_state())  # type: ignore[attr-defined]
    second.load_state_dict(first.state_dict())
    for _ in range(140):
        second.step()
    assert np.array_equal(second.replay.own, replay.own)
    for run in (whole, first, second):
        run.env.close()


def test_copies_see_the_last_steps_of_their_own_episodes():
    run, once = (many(1, copies=2, limit=5, frames=frames) for frames in (3, 1))
    for _ in range(22):
        run.step(), once.step()
    rows, single = run.replay.arrays, once.replay.arrays
    for i in range(22):
        step, copy = divmod(i, 2)
        back = [single.obs[2 * max(step - k, 5 * (step // 5)) + copy] for k in (2, 1, 0)]
        assert np.array_equal(rows.obs[i], np.concatenate(back)), i
        assert np.array_equal(rows.next_obs[i], np.concatenate([*back[1:], single.next_obs[i]])), i
    run.env.close(), once.env.close()


@pytest.mark.parametrize(
    ("chunk", "steps", "frames", "n_step"), [(1, 17, 1, 1), (1, 15, 3, 1), (3, 14, 1, 1), (3, 8, 2, 1), (1, 17, 1, 2)]
)
def test_practice_in_many_copies_goes_on_where_it_stopped_with_the_round_that_was_under_way(
    chunk: int, steps: int, frames: int, n_step: int
):
    whole, first, second = (many(chunk, 3, 5, frames, n_step) for _ in range(3))
    for _ in range(30):
        whole.step()
    for _ in range(steps):
        first.step()
    second.agent.rng.set_state(first.agent.rng.get_state())  # type: ignore[attr-defined]
    second.load_state_dict(first.state_dict())
    for _ in range(30 - steps):
        second.step()
    assert whole.replay.count == second.replay.count > 0 and list(whole.results) == list(second.results)
    for name in ("obs", "action", "reward", "next_obs", "terminated"):
        assert np.array_equal(getattr(whole.replay.arrays, name), getattr(second.replay.arrays, name)), name
    for run in (whole, first, second):
        run.env.close()
