"""Tape: a Gymnasium wrapper that remembers the running episode, so that any loop can become an Episode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from robot_lfd.demos.episode import Episode
from robot_lfd.envs.contract import arm_of
from robot_lfd.errors import LfdError


class Tape(gym.Wrapper, gym.utils.RecordConstructorArgs):
    """Remembers observations, actions, rewards and simulator states from the last reset on.

    Args:
        env: an environment from `make_env`.
        on_reset: called with (model, first sim_state, seed) after each reset: a journal listens here.
        on_step: called with each action as it was given to the environment.
    """

    def __init__(
        self,
        env: gym.Env,
        on_reset: Callable[[str, np.ndarray, int | None], None] | None = None,
        on_step: Callable[[np.ndarray], None] | None = None,
    ) -> None:
        gym.utils.RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)
        self._arm = arm_of(env)
        self._on_reset, self._on_step = on_reset, on_step
        self._forget()

    def _forget(self) -> None:
        self._obs: list[dict[str, np.ndarray]] = []
        self._states: list[np.ndarray] = []
        self._actions: list[np.ndarray] = []
        self._rewards: list[float] = []
        self._seed: int | None = None
        self._model = ""
        self.success = self.terminated = self.truncated = False

    def __len__(self) -> int:
        """Steps taken since the reset."""
        return len(self._actions)

    def __bool__(self) -> bool:
        return True

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        """Starts a new tape with the new episode."""
        obs, info = self.env.reset(seed=seed, options=options)
        self._forget()
        self._seed, self._model = seed, self._arm.model()
        self._obs.append(_copy(obs))
        self._states.append(self._arm.sim_state())
        if self._on_reset:
            self._on_reset(self._model, self._states[0], seed)
        return obs, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        """Steps the environment and remembers what happened."""
        if self._on_step:
            self._on_step(np.asarray(action))
        obs, reward, terminated, truncated, info = self.env.step(action)
        self._actions.append(np.array(action))
        self._obs.append(_copy(obs))
        self._rewards.append(float(reward))
        self._states.append(self._arm.sim_state())
        self.success = bool(info.get("is_success", False))
        self.terminated, self.truncated = bool(terminated), bool(truncated)
        return obs, float(reward), bool(terminated), bool(truncated), info

    def actions(self) -> list[np.ndarray]:
        """Returns the actions so far: with `start`, all it takes to build the episode again."""
        return list(self._actions)

    def start(self) -> dict[str, Any]:
        """Returns the keywords of `reset` that start this very episode again."""
        if not self._states:
            raise LfdError("nothing is recorded yet: reset the environment first")
        return {"seed": self._seed, "options": {"model": self._model, "sim_state": self._states[0]}}

    def rewind(self, steps: int) -> dict[str, np.ndarray]:
        """Goes back by `steps`, re-simulating the rest from the start (exact, unlike restoring a middle state).

        Returns:
            the observation after what is left.
        """
        return self.play(self._actions[: max(0, len(self) - steps)], **self.start())

    def play(
        self,
        actions: Sequence[Any],
        *,
        seed: int | None,
        options: dict[str, Any],
        look: Callable[[], None] = lambda: None,
    ) -> dict[str, np.ndarray]:
        """Starts where `reset` is told to and takes the actions: what was recorded so happens again, bit for bit.

        Args:
            look: called after the reset and after each step.

        Returns:
            the observation after the last one.
        """
        obs, _ = self.reset(seed=seed, options=options)
        look()
        for action in actions:
            obs, *_ = self.step(action)
            look()
        return obs

    def episode(
        self,
        *,
        time: np.ndarray | None = None,
        intervention: np.ndarray | None = None,
        success: bool | None = None,
        meta: dict[str, Any] | None = None,
    ) -> Episode:
        """Returns what is on the tape as an Episode.

        Args:
            time: (T, 2) scheduled and actual seconds; without it, the simulation's own step times.
            success: a person's verdict, where it differs from the environment's.
        """
        T = len(self)
        ticks = np.arange(T) / self._arm.control_hz
        discrete = isinstance(self.action_space, gym.spaces.Discrete)
        action = np.array(self._actions, np.int64 if discrete else np.float32)
        return Episode(
            obs={k: np.stack([o[k] for o in self._obs]) for k in self._obs[0]} if self._obs else {},
            action=action,
            reward=np.array(self._rewards, np.float32),
            sim_state=np.array(self._states, np.float64),
            time=np.stack([ticks, ticks], 1) if time is None else np.asarray(time, np.float64),
            intervention=np.zeros(T, bool) if intervention is None else np.asarray(intervention, bool),
            success=self.success if success is None else success,
            terminated=self.terminated,
            truncated=self.truncated,
            model=self._model,
            meta={"seed": self._seed, **(meta or {})},
        )


def _copy(obs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {k: np.array(v) for k, v in obs.items()}
