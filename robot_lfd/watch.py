"""Watched: a learned policy under supervision: its inputs are checked, its answers come in time or not at all."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from robot_lfd.errors import LfdError
from robot_lfd.guards import Unsafe
from robot_lfd.rollout import Policy


class Watched:
    """A policy that is checked on: its inputs, its answers' time, its own errors. Raises Unsafe, never anything else.

    Args:
        deadline_s: an answer later than this counts as none; None waits for ever, in the caller's own thread.
        needs: observation keys without which the policy cannot be asked.

    Attributes:
        latencies_s: how long each answer took.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        deadline_s: float | None = None,
        needs: Sequence[str] = (),
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.policy, self.deadline_s, self.needs = policy, deadline_s, tuple(needs)
        self.latencies_s: list[float] = []
        self._clock = clock
        self._worker = _Worker() if deadline_s is not None else None

    def reset(self) -> None:
        """Resets the policy. Raises LfdError where it still broods over an earlier question."""
        if self._worker and not self._worker.idle(timeout_s=10.0):
            raise LfdError("the policy has not answered its last question for 10 s; it cannot be started again")
        self.policy.reset()

    def act(self, obs: dict[str, np.ndarray]) -> np.ndarray:
        """Returns the policy's answer. Raises Unsafe where there is none that can be used in time."""
        for key in self.needs:
            if key not in obs:
                raise Unsafe(f"observation '{key}' is missing")
        for key, value in obs.items():
            if not np.isfinite(value).all():
                raise Unsafe(f"observation '{key}' is not finite")
        began = self._clock()
        answer = self._answer(obs)
        self.latencies_s.append(self._clock() - began)
        return answer

    def _answer(self, obs: dict[str, np.ndarray]) -> np.ndarray:
        try:
            if self._worker is None or self.deadline_s is None:
                return self.policy.act(obs)
            return self._worker.ask(lambda: self.policy.act(obs), self.deadline_s)
        except TimeoutError as error:
            late_ms = 1000 * (self.deadline_s or 0.0)
            raise Unsafe(f"the policy took longer than its {late_ms:.0f} ms") from error
        except Exception as error:  # an arm in motion must be stopped whatever broke
            raise Unsafe(f"the policy failed: {type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Lets the waiting thread go."""
        if self._worker:
            self._worker.close()


class _Worker:
    """One thread that answers one question at a time; daemonic, so that a hung policy cannot keep the program."""

    def __init__(self) -> None:
        self._questions: queue.SimpleQueue = queue.SimpleQueue()
        self._free = threading.Event()
        self._free.set()
        threading.Thread(target=self._work, name="policy", daemon=True).start()

    def _work(self) -> None:
        while (question := self._questions.get()) is not None:
            function, answers = question
            try:
                answers.put((function(), None))
            except Exception as error:  # handed to the asker
                answers.put((None, error))
            self._free.set()

    def ask(self, function: Callable[[], np.ndarray], timeout_s: float) -> np.ndarray:
        """Returns what the function does. Raises TimeoutError, or what the function raised."""
        self._free.clear()
        answers: queue.SimpleQueue = queue.SimpleQueue()
        self._questions.put((function, answers))
        try:
            answer, error = answers.get(timeout=timeout_s)
        except queue.Empty:
            raise TimeoutError from None
        if error is not None:
            raise error
        return answer

    def idle(self, timeout_s: float) -> bool:
        """Waits until no question is open."""
        return self._free.wait(timeout_s)

    def close(self) -> None:
        """Ends the thread after its current question."""
        self._questions.put(None)
