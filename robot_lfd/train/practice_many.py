"""Practice in several copies of the environment, which step while the networks learn (`lfd train --copies N`)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium.vector import AsyncVectorEnv

from policies.agent import Agent
from robot_lfd.envs.vector import ThreadVectorEnv
from robot_lfd.frames import Frames
from robot_lfd.policy_spec import Spans
from robot_lfd.train.practice import FIRST_SEED, SEEDS_A_RUN, Path, Results, kept, restore, scalars_of, state_of
from robot_lfd.train.rows import Replay, features


class _Copy:
    """One copy's episode: its seed, what is seen now (D,), actions that were decided on and are still to come."""

    def __init__(self, path: Path, seed: int, frames: int) -> None:
        self.path, self.seed, self.frames = path, seed, Frames(frames)
        self.seen = np.zeros(0, np.float32)
        self.planned = deque[np.ndarray]()


class ManyPractice:
    """Runs an episode in each of N copies, with seeds of their own, and adds their steps to `replay`, copy by copy.

    A round is one control step of every copy. Its actions are decided on as soon as the round before it has come in, so
    the copies step while the next N gradient steps are done, and rows are N gradient steps old when they come.
    The order of all that is drawn and stored depends on nothing but the seed: a run can be repeated, and an interrupted
    one continues exactly; each copy plays its episode again up to where it stopped, and the round that was under way.

    Args:
        envs: N copies without autoreset.
    """

    def __init__(
        self, envs: ThreadVectorEnv | AsyncVectorEnv, agent: Agent, keys: Sequence[str], replay: Replay, seed: int,
        blind: bool, spans: Spans = Spans(),
    ) -> None:  # fmt: skip
        self.env, self.agent, self.keys, self.replay, self.blind = envs, agent, keys, replay, blind
        self._spans = spans
        self._first_seed = FIRST_SEED + seed * SEEDS_A_RUN
        self.episode = 0  # begun so far
        self.results: Results = deque(maxlen=20)
        self._copies = [self._begun() for _ in range(envs.num_envs)]
        self._sent: np.ndarray | None = None  # actions of the round that is under way
        self._until_round = 0  # calls of `step`

    def _begun(self) -> _Copy:
        self.episode += 1
        return _Copy(Path(self.replay, self._spans), self._first_seed + self.episode - 1, self._spans.seen)

    def _seeds(self) -> list[int | None]:
        return [copy.seed for copy in self._copies]

    def step(self) -> None:
        """Counts one step; every N of them, takes in a round and sends the next one."""
        if self._until_round == 0:
            if self._sent is None:
                self._look(self.env.reset(seed=self._seeds())[0], np.ones(len(self._copies), bool))
                self._send()
            self._receive()
            self._send()
            self._until_round = len(self._copies)
        self._until_round -= 1

    def _look(self, obs: dict[str, np.ndarray], which: np.ndarray) -> None:
        rows = features({k: obs[k].reshape(len(self._copies), -1) for k in self.keys}, self.keys)
        for i in np.flatnonzero(which):
            self._copies[i].seen = self._copies[i].frames.add(rows[i])

    def _send(self) -> None:
        asking = [copy for copy in self._copies if not copy.planned]
        if asking:
            rows = torch.from_numpy(np.stack([copy.seen for copy in asking]))
            for copy, decided in zip(asking, self.agent.act(rows, explore=True).numpy(), strict=True):
                copy.planned.extend(self._spans.actions(decided))
        self._begin_round(np.stack([copy.planned.popleft() for copy in self._copies]))

    def _begin_round(self, actions: np.ndarray) -> None:
        self._sent = actions
        self.env.step_async(actions)

    def _receive(self) -> None:
        assert self._sent is not None
        obs, rewards, terminated, truncated, info = self.env.step_wait()
        before = [copy.seen for copy in self._copies]
        self._look(obs, np.ones(len(before), bool))
        ended = terminated | truncated
        for i, copy in enumerate(self._copies):
            reward, solved = float(rewards[i]), bool(info["is_success"][i]) if "is_success" in info else False
            copy.path.add(before[i], self._sent[i], reward)
            copy.path.store(reward, copy.seen, bool(terminated[i]) and not self.blind)
            if ended[i]:
                self.results.append((solved, copy.path.total, len(copy.path.actions)))
                if solved:
                    self.replay.note_solved(copy.path.rows)
                self._copies[i] = self._begun()
        if ended.any():
            self._look(self.env.reset(seed=self._seeds(), options={"reset_mask": ended})[0], ended)

    def close(self) -> None:
        """Closes the environments."""
        self.env.close()

    def scalars(self) -> dict[str, float]:
        """Returns success, return and length over the last 20 episodes; nothing before the first has ended."""
        return scalars_of(self.results)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Returns the replay buffer, the episodes in progress, the round under way and the latest results."""
        state, copies = state_of(self.replay, self.results), self._copies
        state["counts"] = torch.tensor([self.episode, self._until_round])
        state["seeds"] = torch.tensor([copy.seed for copy in copies])
        state["totals"] = torch.tensor([copy.path.total for copy in copies], dtype=torch.float64)
        state["sent"] = kept([] if self._sent is None else self._sent, self.replay)
        for name, of in _LISTS.items():
            lists = [of(copy) for copy in copies]
            state[f"{name}_lengths"] = torch.tensor([len(found) for found in lists])
            flat = [row for found in lists for row in found]
            kind = _KINDS.get(name)
            state[name] = torch.from_numpy(np.array(flat, kind)) if kind else kept(flat, self.replay)
        return state

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Continues from what `state_dict` returned, with the round that was under way."""
        restore(state, self.replay, self.results)
        self.episode, self._until_round = state["counts"].tolist()
        if not len(state["sent"]):
            return  # nothing had begun
        known = [n for n in _LISTS if n in state]
        lists = {n: np.split(state[n].numpy(), np.cumsum(state[f"{n}_lengths"].numpy())[:-1]) for n in known}
        for i, copy in enumerate(self._copies):
            copy.seed, copy.path.total = int(state["seeds"][i]), float(state["totals"][i])
            copy.path.actions = list(lists["actions"][i])
            done = copy.path.actions[-self._spans.row :]
            copy.path.recent.extend(zip(lists["recent"][i], done, strict=True))
            copy.planned.extend(lists["planned"][i])
            copy.path.rows = lists["rows"][i].tolist() if "rows" in lists else []
            copy.frames.restore(lists["frames"][i])
            copy.seen = np.concatenate(copy.frames.rows)
        again: dict[str, Any] = {"again": {copy.seed: copy.path.actions for copy in self._copies}}
        self.env.reset(seed=self._seeds(), options=again)
        self._begin_round(state["sent"].numpy())


_LISTS = {
    "actions": lambda copy: copy.path.actions,
    "planned": lambda copy: copy.planned,
    "recent": lambda copy: [seen for seen, _ in copy.path.recent],
    "frames": lambda copy: copy.frames.rows,
    "rows": lambda copy: copy.path.rows,
}
_KINDS = {"recent": np.float32, "frames": np.float32, "rows": np.int64}  # the others are actions
