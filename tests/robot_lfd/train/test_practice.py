"""Practice: what the policy's own episodes leave in the replay buffer, decision by decision."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch

from robot_lfd.train.practice import Practice
from robot_lfd.train.rows import Replay, Rows
from tests.robot_lfd.point_arm import PointArm

LIKE = {"reward": np.zeros(1, np.float32), "terminated": np.zeros(1, bool)}
KEYS = ("target_rel",)


class Homing:
    """Decides on `chunk` actions: a tenth of the way each, along one axis the more the later; counts its decisions."""

    def __init__(self, chunk: int) -> None:
        self.chunk, self.decisions = chunk, 0

    def act(self, obs: torch.Tensor, *, explore: bool) -> torch.Tensor:
        self.decisions += 1
        once = torch.cat([obs * 3.0, torch.zeros(1, 1)], 1).clamp(-1, 1)
        return torch.cat([once * (1.0 - 0.1 * i) for i in range(self.chunk)], 1)


def practice(chunk: int, limit: int) -> Practice:
    none = np.zeros((1, 3), np.float32)
    number = np.zeros(1, np.int64)
    like = Rows(
        none, np.zeros((1, 4 * chunk), np.float32), next_obs=none, first_obs=none, step=number, stretch=number, **LIKE
    )
    env = gym.wrappers.TimeLimit(PointArm(), limit)
    return Practice(env, Homing(chunk), KEYS, Replay(500, like), 0, False, chunk)  # type: ignore[arg-type]


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


@pytest.mark.parametrize("chunk", [1, 3])
def test_practice_goes_on_where_it_stopped_in_the_middle_of_a_decision(chunk: int):
    whole, first, second = (practice(chunk, limit=12) for _ in range(3))
    episodes_of(whole, 25)
    episodes_of(first, 17)  # the second of the actions decided on is the next
    second.load_state_dict(first.state_dict())
    episodes_of(second, 8)
    assert whole.replay.count == second.replay.count and list(whole.results) == list(second.results)
    for name in ("obs", "action", "next_obs"):
        assert np.array_equal(getattr(whole.replay.arrays, name), getattr(second.replay.arrays, name))
