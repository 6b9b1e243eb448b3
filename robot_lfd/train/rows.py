"""Rows: demos as flat arrays, a replay buffer beside them, and batches of half the one and half the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from policies.batch import Batch
from policies.networks import STD_FLOOR, Normaliser
from robot_lfd.demos.cache import FlatDemos
from robot_lfd.frames import stacked


def features(obs: dict[str, np.ndarray], keys: Sequence[str]) -> np.ndarray:
    """Returns the named observations side by side, (..., D) float32; leading dimensions stay as they are."""
    columns = [np.atleast_1d(obs[k]) for k in keys]
    return np.concatenate(columns, axis=-1).astype(np.float32)


LEAST_COMMAND = 0.02  # of the range [-1, 1]
STEP_COLUMNS = ("obs", "action", "reward", "next_obs", "terminated")


@dataclass(frozen=True)
class Rows:
    """N transitions as flat arrays, and what F episodes began with.

    Attributes:
        step: which recorded step a row is; one number is left out between episodes. A row may be there several times.
        stretch: which unbroken piece of a demo it belongs to. Pauses may be missing within a piece.
    """

    obs: np.ndarray  # (N, D) float32
    action: np.ndarray  # (N, A) float32; (N,) int64 where actions are discrete
    reward: np.ndarray  # (N,) float32
    next_obs: np.ndarray  # (N, D) float32
    terminated: np.ndarray  # (N,) bool
    first_obs: np.ndarray  # (F, D) float32
    step: np.ndarray  # (N,) int64
    stretch: np.ndarray  # (N,) int64

    def __len__(self) -> int:
        return len(self.action)


def demo_rows(demos: FlatDemos, keys: Sequence[str], *, success_blind: bool = False, frames: int = 1) -> Rows:
    """Returns the transitions of all demos, one after the other.

    A demo's last step counts as terminated where the demo says so; `success_blind` hides that. With `frames`, what is
    seen is the last so many steps.
    """
    steps = np.arange(len(demos))
    seen = demos.obs_rows(steps)
    columns = features({k: demos.obs[k].reshape(len(demos.obs[k]), -1) for k in keys}, keys)
    ended = demos.is_terminal(steps) & (not success_blind)
    discrete = demos.action.ndim == 1
    action = np.asarray(demos.action, np.int64 if discrete else np.float32)
    begins = np.concatenate([[0], demos.episode_ends[:-1]]) + np.arange(len(demos.ids))
    columns = stacked(columns, np.repeat(begins, np.diff([*begins, len(columns)])), frames)
    return Rows(
        columns[seen], action, np.asarray(demos.reward), columns[seen + 1], ended, columns[begins], seen,
        stretches(seen),
    )  # fmt: skip


def stretches(step: np.ndarray) -> np.ndarray:
    """Returns which unbroken run of ascending numbers each of `step` (N,) belongs to, counted from 0."""
    return np.cumsum(np.diff(step, prepend=step[:1] - 1) != 1)


def moving(rows: Rows, still: float = 0.02, frames: int = 1) -> np.ndarray:
    """Returns which rows (N,) show something happen; the others show a person who waits and a world at rest.

    A pause is a step after which no feature has moved by more than `still` of its standard deviation, and which is no
    end. People hesitate for up to nine tenths of a demo; a policy that clones their pauses never gets going.
    Where nothing ever happens, all rows count. Of several `frames` the latest counts.
    """
    newest = slice(-(rows.obs.shape[1] // frames), None)
    kept = something_moves(rows.obs[:, newest], rows.next_obs[:, newest], still) | rows.terminated
    return kept if kept.any() else ~kept


def asked_for(rows: Rows, action_names: Sequence[str]) -> np.ndarray:
    """Returns at which rows (N,) something was asked of the arm: a motion, or of the gripper what was not asked before.

    Between taps on a key an arm coasts while nothing is asked. A choice of several actions in a row that clones this
    taps as slowly as the person did (LOG.md).

    Args:
        action_names: what each number of an action is, as `ArmEnv.action_names`; a gripper's 0 holds.

    Source: Kim et al., "OpenVLA", CoRL 2024, appendix: steps without a command are left out of demos.
    """
    grip = np.array([name == "gripper" for name in action_names])
    held = np.concatenate([rows.action[:1, grip], rows.action[:-1, grip]])
    begins = np.diff(rows.stretch, prepend=-1) != 0
    held[begins] = rows.action[begins][:, grip]
    now = rows.action[:, grip]
    changes = ((now != held) & (now != 0.0)).any(1)
    return (np.abs(rows.action[:, ~grip]) > LEAST_COMMAND).any(1) | changes


def something_moves(before: np.ndarray, after: np.ndarray, still: float = 0.02) -> np.ndarray:
    """Returns in which rows (N,) a feature moves by more than `still` of its standard deviation; both (N, D)."""
    return (np.abs(after - before) / np.maximum(before.std(0), STD_FLOOR)).max(1) > still


def statistics_of(rows: np.ndarray) -> Normaliser:
    """Returns the normaliser of rows (N, D)."""
    return Normaliser(torch.from_numpy(rows.mean(0)), torch.from_numpy(rows.std(0)))


def normaliser_of(rows: Rows, *, scaled: bool = True) -> Normaliser:
    """Returns the normaliser of demos' observations; where actions are discrete, `evened_statistics_of` them.

    Args:
        scaled: whether it changes anything: else it is one that shows observations as they are.
    """
    if not scaled:
        return Normaliser(torch.zeros(rows.obs.shape[1]), torch.ones(rows.obs.shape[1]), floor=0.0)
    return evened_statistics_of(rows.obs) if rows.action.ndim == 1 else statistics_of(rows.obs)


def evened_statistics_of(rows: np.ndarray) -> Normaliser:
    """Returns the normaliser of rows (N, D), half-way between each column's spread and the one of all together.

    One or three trajectories keep to a narrow way: divided by its own spread, a column that hardly varies there becomes
    huge a step beside it, where the policy will come. Half-way is the geometric mean (LOG.md, LunarLander).
    """
    spread = np.maximum(rows.std(0), STD_FLOOR)
    evened = np.sqrt(spread * np.sqrt(np.square(spread).mean()))
    return Normaliser(torch.from_numpy(rows.mean(0)), torch.from_numpy(evened))


def taken(rows: Rows, which: np.ndarray) -> Rows:
    """Returns the rows that a mask or a list of indices names."""
    return replace(rows, **{k: getattr(rows, k)[which] for k in (*STEP_COLUMNS, "step", "stretch")})


class Replay:
    """A ring of the last `capacity` transitions of the policy's own practice, shaped like the demos' `like`.

    Args:
        keeps_own: whether the rows of episodes that solved the task count as an expert's.

    Attributes:
        count: rows ever added. solved: of each episode that counts so and is still here as a whole, which rows it
            gave, in that count, in order. own: the rows (M,) of those episodes, as places in `arrays`.
    """

    def __init__(self, capacity: int, like: Rows, keeps_own: bool = False) -> None:
        self.capacity, self.count, self.keeps_own = capacity, 0, keeps_own
        self.solved, self.own = list[np.ndarray](), np.zeros(0, np.int64)
        empty = {k: np.zeros((capacity, *getattr(like, k).shape[1:]), getattr(like, k).dtype) for k in STEP_COLUMNS}
        self.arrays = replace(like, **empty)

    def __len__(self) -> int:
        return min(self.count, self.capacity)

    def add(self, obs: np.ndarray, action: np.ndarray, reward: float, next_obs: np.ndarray, terminated: bool) -> None:
        """Adds one transition in the place of the oldest."""
        i, a = self.count % self.capacity, self.arrays
        a.obs[i], a.action[i], a.reward[i], a.next_obs[i], a.terminated[i] = obs, action, reward, next_obs, terminated
        self.count += 1
        if self.solved and self.solved[0][0] < self.count - self.capacity:
            self.set_solved(self.solved[1:])

    def note_solved(self, rows: Sequence[int]) -> None:
        """Notes which rows, in `count`, an episode gave that solved the task: if so told, they count as an expert's."""
        if self.keeps_own and rows and rows[0] >= self.count - self.capacity:
            self.set_solved(sorted([*self.solved, np.array(rows, np.int64)], key=lambda of: of[0]))

    def set_solved(self, solved: Sequence[np.ndarray]) -> None:
        """Makes `solved` the episodes whose rows count as an expert's."""
        self.solved = list(solved)
        self.own = np.concatenate(self.solved) % self.capacity if self.solved else np.zeros(0, np.int64)

    def written(self, places: np.ndarray) -> np.ndarray:
        """Returns which rows, in `count`, stand at places (N,) of `arrays` now."""
        return self.count - 1 - (self.count - 1 - places) % self.capacity


ASKED_AT_ONCE = 32


class Choices:
    """Which of a policy's candidates the action of each row counts as, found when a row is first drawn.

    The network that knows is as much work as the learner of the choice, and rows are drawn again and again. It is asked
    about equally many rows every time: then its products round alike, and an interrupted run goes on bit for bit.

    Args:
        nearest: returns it, (B,) int64, for obs (B, D) and actions (B, A).
    """

    def __init__(
        self, nearest: Callable[[np.ndarray, np.ndarray], np.ndarray], demos: Rows, replay: Replay | None
    ) -> None:
        self._nearest, self._replay = nearest, replay
        self._demos = demos, np.zeros(len(demos), np.int64), np.full(len(demos), -1)
        capacity = 0 if replay is None else replay.capacity
        self._which, self._known = np.zeros(capacity, np.int64), np.full(capacity, -1)

    def of_demos(self, places: np.ndarray) -> np.ndarray:
        """Returns it for rows (N,) of the demos."""
        return self._found(*self._demos, places, places)

    def of_practice(self, places: np.ndarray) -> np.ndarray:
        """Returns it for the rows that stand at places (N,) of the replay buffer now."""
        assert self._replay is not None
        arrays, written = self._replay.arrays, self._replay.written(places)
        return self._found(arrays, self._which, self._known, places, written)

    def _found(
        self, rows: Rows, which: np.ndarray, known: np.ndarray, places: np.ndarray, written: np.ndarray
    ) -> np.ndarray:
        """Returns `which` at `places`, after asking about those where not `written` is what is `known`."""
        new = known[places] != written
        asked = places[new]
        known[asked] = written[new]
        for begin in range(0, len(asked), ASKED_AT_ONCE):
            some = np.resize(asked[begin : begin + ASKED_AT_ONCE], ASKED_AT_ONCE)  # the last ones several times over
            which[some] = self._nearest(rows.obs[some], rows.action[some])
        return which[places]


def draw(
    rng: np.random.Generator, expert: Rows, replay: Replay | None, rows: int, firsts: int = 0,
    choices: Choices | None = None,
) -> Batch:  # fmt: skip
    """Returns a Batch of `rows` expert rows and as many replay rows, and `firsts` of the demos' first observations.

    Where the replay buffer has `own` rows that count as an expert's, they are so many of the first half as they are
    among all of those, and half of it at most.

    Without a replay buffer (offline), the second half are expert rows too, marked as the policy's path: the expert's
    path is then the sample of rho, as the paper's offline setting has it.

    With `choices` of these rows, an action is which candidate it counts as.
    """
    first = rng.integers(len(expert), size=rows)
    source = expert if replay is None else replay.arrays
    second = rng.integers(len(expert) if replay is None else len(replay), size=rows)
    if replay is not None and len(replay.own):
        own = replay.own[rng.integers(len(replay.own), size=own_count(len(expert), len(replay.own), rows))]
        first, second = first[len(own) :], np.concatenate([own, second])

    def both(name: str) -> torch.Tensor:
        return torch.from_numpy(np.concatenate([getattr(expert, name)[first], getattr(source, name)[second]]))

    begun = expert.first_obs[rng.integers(len(expert.first_obs), size=firsts)]
    columns = {k: both(k) for k in STEP_COLUMNS if k != "action" or choices is None}
    if choices is not None:
        of_second = choices.of_demos if replay is None else choices.of_practice
        columns["action"] = torch.from_numpy(np.concatenate([choices.of_demos(first), of_second(second)]))
    return Batch(**columns, is_expert=torch.arange(2 * rows) < rows, first_obs=torch.from_numpy(begun))


def own_count(demo_rows: int, own_rows: int, rows: int) -> int:
    """Returns how many of `rows` expert rows are the policy's own."""
    return min(rows // 2, rows * own_rows // (own_rows + demo_rows))
