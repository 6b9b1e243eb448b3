"""Practice: the policy's own episodes in the simulator, one transition at a time, into the replay buffer."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import gymnasium as gym
import numpy as np
import torch

from policies.agent import Agent
from robot_lfd.frames import Frames
from robot_lfd.policy_spec import Spans
from robot_lfd.rollout import Transition, rollout
from robot_lfd.train.rows import STEP_COLUMNS, Replay, features

FIRST_SEED = 10_000_000  # far from the seeds of demos (0...), evaluation (1000...) and deployment (2000...)
SEEDS_A_RUN = 100_000
Results = deque[tuple[bool, float, int]]  # success, return, length


class _Explorer:
    """The agent as a Policy that explores; first plays the actions of an interrupted episode again.

    Attributes:
        planned: actions that were decided on and are still to come. seen: what the last action was asked for, (D,).
    """

    def __init__(
        self, agent: Agent, keys: Sequence[str], spans: Spans, again: Sequence[np.ndarray],
        planned: Sequence[np.ndarray],
    ) -> None:  # fmt: skip
        self.agent, self.keys, self._spans, self._frames = agent, keys, spans, Frames(spans.seen)
        self.planned = deque([*again, *planned])

    def reset(self) -> None:
        self._frames.begin()

    def act(self, obs: dict[str, np.ndarray]) -> np.ndarray:
        self.seen = self._frames.add(features(obs, self.keys))
        if not self.planned:
            decided = self.agent.act(torch.from_numpy(self.seen)[None], explore=True)[0].numpy()
            self.planned.extend(self._spans.actions(decided))
        return self.planned.popleft()

    def ahead(self, next_obs: dict[str, np.ndarray]) -> np.ndarray:
        """Returns what will be seen with the next observation, (D,)."""
        return self._frames.ahead(features(next_obs, self.keys))


class Path:
    """One episode's steps on their way into `replay`.

    Attributes:
        recent: what was seen, and the action, of the steps of which the next row may be made. total: the sum of
            rewards. rows: which rows of `replay` the episode gave, in its count.
    """

    def __init__(self, replay: Replay, spans: Spans) -> None:
        self._replay, self._decided = replay, spans.decided
        self.recent = deque[tuple[np.ndarray, np.ndarray]](maxlen=spans.row)
        self.actions: list[np.ndarray] = []
        self.total, self.rows = 0.0, list[int]()

    def add(self, seen: np.ndarray, action: np.ndarray, reward: float) -> None:
        """Notes a step, and what was seen before it."""
        self.recent.append((seen, action))
        self.actions.append(action)
        self.total += reward

    def store(self, reward: float, next_obs: np.ndarray, ended: bool) -> None:
        """Adds the rows that are complete now: where the task ended, also those that it cut short."""
        recent = list(self.recent)
        if len(recent) < (self.recent.maxlen or 0) and not ended:
            return
        for begin in range(len(recent) if ended else 1):
            actions = [action for _, action in recent[begin : begin + self._decided]]
            actions += [actions[-1]] * (self._decided - len(actions))
            action = np.concatenate(actions) if self._decided > 1 else actions[0]
            self.rows.append(self._replay.count)
            self._replay.add(recent[begin][0], action, reward, next_obs, ended)


class Practice:
    """Runs episode after episode with seeds of its own and adds each step to `replay`.

    An interrupted run continues exactly: the episode in progress is re-simulated from its seed and actions.
    """

    def __init__(
        self, env: gym.Env, agent: Agent, keys: Sequence[str], replay: Replay, seed: int, blind: bool,
        spans: Spans = Spans(),
    ) -> None:  # fmt: skip
        self.env, self.agent, self.keys, self.replay, self.blind = env, agent, keys, replay, blind
        self._spans = spans
        self._path, self.episode = Path(replay, spans), 0
        self.results: Results = deque(maxlen=20)
        self._first_seed = FIRST_SEED + seed * SEEDS_A_RUN
        self._steps: Iterator[Transition] | None = None

    def step(self) -> None:
        """Does one control step and stores it."""
        if self._steps is None:
            self._steps = self._begin([])
        step = next(self._steps)
        ended = step.terminated and not self.blind
        self._path.add(self._explorer.seen, step.action, step.reward)
        self._path.store(step.reward, self._explorer.ahead(step.next_obs), ended)
        if step.terminated or step.truncated:
            solved = bool(step.info.get("is_success", False))
            self.results.append((solved, self._path.total, len(self._path.actions)))
            if solved:
                self.replay.note_solved(self._path.rows)
            self.episode += 1
            self._steps, self._path = None, Path(self.replay, self._spans)

    def _begin(self, again: Sequence[np.ndarray], planned: Sequence[np.ndarray] = ()) -> Iterator[Transition]:
        self._explorer = _Explorer(self.agent, self.keys, self._spans, again, planned)
        return rollout(self.env, self._explorer, seed=self._first_seed + self.episode)

    def close(self) -> None:
        """Closes the environment."""
        self.env.close()

    def scalars(self) -> dict[str, float]:
        """Returns success, return and length over the last 20 episodes; nothing before the first has ended."""
        return scalars_of(self.results)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Returns the replay buffer, the episode in progress and the latest results as tensors."""
        state = state_of(self.replay, self.results)
        state["episode"], state["rows"] = torch.tensor(self.episode), torch.tensor(self._path.rows, dtype=torch.int64)
        state["actions"] = kept(self._path.actions, self.replay)
        state["planned"] = kept(self._explorer.planned if self._steps else (), self.replay)
        return state

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Continues from what `state_dict` returned, in the middle of an episode if it was so."""
        restore(state, self.replay, self.results)
        self.episode = int(state["episode"])
        again = list(state["actions"].numpy())
        if again:
            self._steps = self._begin(again, list(state["planned"].numpy()))
            for action in again:
                step = next(self._steps)
                self._path.add(self._explorer.seen, action, step.reward)
            self._path.rows = state["rows"].tolist() if "rows" in state else []


def scalars_of(results: Results) -> dict[str, float]:
    """Returns means of the latest results; nothing where there are none."""
    if not results:
        return {}
    success, total, length = np.mean(np.array(results, np.float64), axis=0)
    return {"practice_success": success, "practice_return": total, "practice_length": length}


def state_of(replay: Replay, results: Results) -> dict[str, torch.Tensor]:
    """Returns what a checkpoint keeps of them."""
    rows, size = replay.arrays, len(replay)
    state = {k: torch.from_numpy(np.array(getattr(rows, k)[:size])) for k in STEP_COLUMNS}
    state["count"] = torch.tensor(replay.count)
    state["own_rows"] = torch.tensor([row for rows in replay.solved for row in rows], dtype=torch.int64)
    state["own_lengths"] = torch.tensor([len(rows) for rows in replay.solved], dtype=torch.int64)
    state["results"] = torch.tensor(list(results), dtype=torch.float64).reshape(-1, 3)
    return state


def restore(state: dict[str, torch.Tensor], replay: Replay, results: Results) -> None:
    """Fills them from what `state_of` returned."""
    for name in STEP_COLUMNS:
        getattr(replay.arrays, name)[: len(state[name])] = state[name].numpy()
    replay.count = int(state["count"])
    if len(state.get("own_lengths", ())):
        replay.set_solved(np.split(state["own_rows"].numpy(), state["own_lengths"].cumsum(0).numpy()[:-1]))
    results.extend((bool(s), float(r), int(n)) for s, r, n in state["results"].tolist())


def kept(actions: Iterable[np.ndarray], replay: Replay) -> torch.Tensor:
    """Returns actions as a checkpoint keeps them."""
    return torch.from_numpy(np.array(list(actions), replay.arrays.action.dtype))
