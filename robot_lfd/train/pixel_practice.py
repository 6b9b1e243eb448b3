"""Practice of a policy that sees: its own episodes in the simulator, kept as sights, one observation at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import gymnasium as gym
import numpy as np
import torch

from policies.looking import Compute
from policies.pixel_soft import PixelSoft
from robot_lfd.rollout import Transition, rollout
from robot_lfd.train.images import Sights
from robot_lfd.train.rows import features

FIRST_SEED = 20_000_000  # far from the seeds of demos, evaluation, deployment, and of practice on state
SEEDS_A_RUN = 100_000


class Choice(NamedTuple):
    """What a driver does: `done` is executed, `kept` is learned from; `taught`: it was not the policy's own."""

    done: np.ndarray
    kept: np.ndarray
    taught: bool = False


class Driver(Protocol):
    """Who acts in practice. `teaches`: a teacher drives a share of the steps."""

    teaches: bool

    def begin(self) -> None:
        """Begins an episode."""
        ...

    def choose(self, obs: dict[str, np.ndarray], sights: Sights, i: int, step: int) -> Choice:
        """Returns what to do at observation `i` of `sights`, which `obs` is, at control step `step` of the run."""
        ...


class Explorer:
    """The agent itself, exploring."""

    teaches = False

    def __init__(self, agent: PixelSoft) -> None:
        self.agent = agent

    def begin(self) -> None:
        """Does nothing: its frames are those of the sights."""

    def choose(self, obs: dict[str, np.ndarray], sights: Sights, i: int, step: int) -> Choice:
        """Returns a sample of the agent's actor."""
        now = np.array([i])
        pictures = sights.stacked(now, self.agent.eyes.sight.stack)
        action = self.agent.act(pictures, torch.from_numpy(np.array(sights.proprio[now])), explore=True)[0].numpy()
        return Choice(action, action)


class Together:
    """A driver in each of several processes: the first one's choice counts, so that all see the same episodes."""

    def __init__(self, driver: Driver, compute: Compute) -> None:
        self.driver, self.compute, self.teaches = driver, compute, driver.teaches

    def begin(self) -> None:
        """Begins an episode."""
        self.driver.begin()

    def choose(self, obs: dict[str, np.ndarray], sights: Sights, i: int, step: int) -> Choice:
        """Returns what the first process chose."""
        own, first = self.driver.choose(obs, sights, i, step), self.compute.share.first
        return Choice(first(own.done, self.compute.device), first(own.kept, self.compute.device), own.taught)


class PixelPractice:
    """Runs episode after episode and keeps what was seen and what is to be learned from it.

    An interrupted run continues exactly: the episode in progress is re-simulated from its seed and actions.

    Args:
        sights: room for all that will be seen. felt, known: names of proprioception and state in the observation.
        keeps_last: the observation that ends an episode is kept too, as transitions need it.
        blind: an episode's end at success counts as the time limit's.
    """

    def __init__(
        self, env: gym.Env, driver: Driver, sights: Sights, cameras: Sequence[str], felt: Sequence[str],
        known: Sequence[str], *, seed: int, keeps_last: bool, blind: bool = False,
    ) -> None:  # fmt: skip
        self.env, self.driver, self.sights, self.cameras, self.felt, self.known = (
            env, driver, sights, cameras, felt, known,
        )  # fmt: skip
        self.keeps_last, self.blind = keeps_last, blind
        self.count = self.seen = self.episode = 0  # steps kept, observations kept, episodes ended
        self.results: deque[tuple[bool, int, int]] = deque(maxlen=20)  # success, length, steps driven by another
        self._first_seed = FIRST_SEED + seed * SEEDS_A_RUN
        self._actions: list[np.ndarray] = []
        self._again: deque[np.ndarray] = deque()
        self._taught = 0
        self._steps: Iterator[Transition] | None = None

    @property
    def known_steps(self) -> int:
        """How many of the steps have what followed kept too: all but that of an episode in progress."""
        return self.count - bool(self._actions)

    def step(self) -> None:
        """Does one control step and keeps it."""
        if self._steps is None:
            self._steps = rollout(self.env, self, seed=self._first_seed + self.episode)
        step = next(self._steps)
        self._actions.append(step.action)
        self.sights.terminated[self.count - 1] = step.terminated and not self.blind
        if step.terminated or step.truncated:
            if self.keeps_last:
                self._keep(step.next_obs, len(self._actions))
            self.results.append((bool(step.info.get("is_success", False)), len(self._actions), self._taught))
            self.episode += 1
            self._steps, self._actions, self._taught = None, [], 0

    def reset(self) -> None:
        """Begins an episode."""
        self.driver.begin()

    def act(self, obs: dict[str, np.ndarray]) -> np.ndarray:
        """Keeps what is seen, and returns the action of the one who drives this step."""
        if self._again:
            return self._again.popleft()
        i, n = self.seen, self.count
        self._keep(obs, len(self._actions))
        choice = self.driver.choose(obs, self.sights, i, n)
        self.sights.row[n], self.sights.action[n] = i, choice.kept
        self.count += 1
        self._taught += choice.taught
        return choice.done

    def _keep(self, obs: dict[str, np.ndarray], since: int) -> None:
        """Writes an observation, `since` steps after the first one of its episode."""
        proprio, state = (features(obs, keys) if keys else np.zeros(0, np.float32) for keys in (self.felt, self.known))
        self.sights.put(self.seen, [obs[f"images/{c}"] for c in self.cameras], proprio, state, self.seen - since)
        self.seen += 1

    def close(self) -> None:
        """Closes the environment."""
        self.env.close()

    def scalars(self) -> dict[str, float]:
        """Returns success, length and a teacher's share over the last 20 episodes; nothing before one has ended."""
        if not self.results:
            return {}
        success, length, taught = np.mean(np.array(self.results, np.float64), axis=0)
        share = {"teacher_share": taught / length} if self.driver.teaches else {}
        return {"practice_success": success, "practice_length": length, **share}

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Returns counters, the episode in progress and the latest results; the sights are on the disk."""
        self.sights.flush()
        return {
            "counts": torch.tensor([self.count, self.seen, self.episode, self._taught]),
            "actions": torch.from_numpy(np.array(self._actions, np.float32)),
            "results": torch.tensor(list(self.results), dtype=torch.int64).reshape(-1, 3),
        }

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Continues from what `state_dict` returned, in the middle of an episode if it was so."""
        self.count, self.seen, self.episode, self._taught = state["counts"].tolist()
        self.results.extend((bool(s), n, t) for s, n, t in state["results"].tolist())
        self._again.extend(state["actions"].numpy())
        if self._again:
            self._steps = rollout(self.env, self, seed=self._first_seed + self.episode)
            self._actions = [next(self._steps).action for _ in range(len(self._again))]
