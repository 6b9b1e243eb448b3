"""THE loop: recording, online training, evaluation and deployment all run `rollout`, in real time or not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol, TypeVar

import gymnasium as gym
import numpy as np

T = TypeVar("T")


class Transition(NamedTuple):
    """One control step: `obs` is what the policy saw, `next_obs` what followed."""

    obs: dict[str, np.ndarray]
    action: np.ndarray  # (A,) float32
    reward: float
    next_obs: dict[str, np.ndarray]
    terminated: bool
    truncated: bool
    info: dict[str, Any]


class Policy(Protocol):
    """Whatever chooses actions: a human, a trained agent, a script, an agent until the human takes over."""

    def reset(self) -> None:
        """Called once after each env reset, before the first `act`."""
        ...

    def act(self, obs: dict[str, np.ndarray]) -> np.ndarray:
        """Returns the action, float32 (A,), inside the action space."""
        ...


def rollout(
    env: gym.Env, policy: Policy, *, seed: int | None = None, options: dict[str, Any] | None = None
) -> Iterator[Transition]:
    """Yields the transitions of one episode, from reset until it is terminated or truncated."""
    obs, _ = env.reset(seed=seed, options=options)
    policy.reset()
    yield from drive(env, policy, obs)


def drive(env: gym.Env, policy: Policy, obs: dict[str, np.ndarray]) -> Iterator[Transition]:
    """Yields the transitions of a running episode from `obs` on: a recording goes on here after a pause or an undo."""
    while True:
        action = policy.act(obs)
        next_obs, reward, terminated, truncated, info = env.step(action)
        yield Transition(obs, action, float(reward), next_obs, bool(terminated), bool(truncated), info)
        if terminated or truncated:
            return
        obs = next_obs


class Pace:
    """Keeps deadlines at start + i / hz, so that delays do not add up; remembers when each tick really began.

    `scheduled` and `actual` are seconds since the first tick, one entry a tick. `late_count` counts the ticks that
    began more than half a period after their deadline.
    """

    def __init__(
        self,
        control_hz: float,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.control_hz = control_hz
        self.scheduled: list[float] = []
        self.actual: list[float] = []
        self.late_count = 0
        self._clock, self._sleep = clock, sleep
        self._start: float | None = None
        self._shift_s = 0.0

    def wait(self) -> None:
        """Sleeps until the next tick's deadline and notes the time."""
        now = self._clock()
        if self._start is None:
            self._start = now
        deadline = self._start + self._shift_s + len(self.scheduled) / self.control_hz
        if deadline > now:
            self._sleep(deadline - now)
            now = self._clock()
        self.late_count += now - deadline > 0.5 / self.control_hz
        self.scheduled.append(deadline - self._start)
        self.actual.append(now - self._start)

    def resync(self) -> None:
        """Makes the next deadline now, after a pause that was meant (a pause key, an undo, a reset)."""
        if self._start is not None:
            due = self._start + self._shift_s + len(self.scheduled) / self.control_hz
            self._shift_s += max(0.0, self._clock() - due)

    @property
    def achieved_hz(self) -> float:
        """Ticks per second between the first and the last tick; NaN before the second tick."""
        if len(self.actual) < 2 or self.actual[-1] <= self.actual[0]:
            return float("nan")
        return (len(self.actual) - 1) / (self.actual[-1] - self.actual[0])


def paced(steps: Iterable[T], pace: Pace | None) -> Iterator[T]:
    """Yields the items of `steps`, each begun at its deadline; without a pace, as fast as they come."""
    iterator = iter(steps)
    while True:
        if pace is not None:
            pace.wait()
        try:
            step = next(iterator)
        except StopIteration:
            return
        yield step
