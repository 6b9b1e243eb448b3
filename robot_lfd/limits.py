"""Limits: whatever a policy answers, the arm gets an action within speed, acceleration and workspace, or stops."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from robot_lfd.envs.contract import ArmEnv
from robot_lfd.errors import LfdError
from robot_lfd.rollout import Policy

RISE_S = 0.1  # from rest to full speed; a person's keys ramp in 0.15 s
COAST_S = 0.15  # how far ahead of the observed place the gripper still runs once it is told to stand
REACH_M = 0.4  # workspace about the first place of the gripper, where the environment names none
SPATIAL = ("dx", "dy", "dz")


class Unsafe(Exception):
    """The policy's answer cannot be used; the text is the reason that is recorded."""


@dataclass(frozen=True)
class Limits:
    """What no action may exceed; one entry per action dimension.

    Attributes:
        speed: (A,) in action units per second (m/s, rad/s).
        acceleration: (A,) in action units per second squared; infinite for the gripper.
        box: (2, 3) low and high corner of the gripper's workspace, metres; None: REACH_M about the first place.
    """

    speed: np.ndarray
    acceleration: np.ndarray
    box: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in ("speed", "acceleration"):
            if not (np.asarray(getattr(self, name)) > 0).all():
                raise LfdError(f"limit on {name} is {getattr(self, name)}, expected positive numbers")
        if self.box is not None and not (np.shape(self.box) == (2, 3) and (self.box[0] < self.box[1]).all()):
            raise LfdError(f"workspace box is {self.box}, expected a low and a high corner (2, 3)")


def default_limits(arm: ArmEnv) -> Limits:
    """Returns the limits of an arm: its own full speed, reached in RISE_S, and its workspace if it names one."""
    full = np.asarray(arm.action_scale, np.float64) * arm.control_hz
    rise = np.array([np.inf if n == "gripper" or u == "1" else 1.0 / RISE_S for n, u in _named(arm)])
    box = getattr(arm, "workspace", None)
    return Limits(full, full * rise, None if box is None else np.asarray(box, np.float64))


def _named(arm: ArmEnv) -> list[tuple[str, str]]:
    return list(zip(arm.action_names, arm.action_units, strict=True))


class Limited:
    """A policy whose actions stay within limits, and which stops, for good and with a reason, when it cannot go on.

    A stop brakes at the acceleration limit from the very next action on; `stop(reason, at_once=True)`, the emergency
    stop, asks for rest at once. The gripper keeps its grip while the arm stops.

    Attributes:
        stop_reason: why it stopped; None while it runs.
        held_back: how many actions of this episode each limit has changed: "range", "speed", "acceleration", "box".
    """

    def __init__(self, policy: Policy, arm: ArmEnv, limits: Limits | None = None) -> None:
        self.policy, self.limits = policy, limits or default_limits(arm)
        self.stop_reason: str | None = None
        self.held_back: Counter[str] = Counter()
        scale = np.asarray(arm.action_scale, np.float64)
        self._speed = np.minimum(self.limits.speed / (scale * arm.control_hz), 1.0)  # (A,) share of the action range
        self._rise = self.limits.acceleration / (scale * arm.control_hz**2)  # (A,) per control step
        self._grip = np.array([n == "gripper" for n in arm.action_names])
        self._axes = [(i, SPATIAL.index(n)) for i, (n, u) in enumerate(_named(arm)) if n in SPATIAL and u == "m"]
        self._scale, self._size = scale, len(scale)
        self._emergency = False
        self._last = np.zeros(self._size)
        self._box: np.ndarray | None = None

    def reset(self) -> None:
        """Starts an episode at rest. An emergency stop stays."""
        self.policy.reset()
        self.held_back.clear()
        self._last, self._box = np.zeros(self._size), None
        if not self._emergency:
            self.stop_reason = None

    def stop(self, reason: str, *, at_once: bool = False) -> None:
        """Stops the arm from the next action on; the first reason given is kept."""
        self.stop_reason = self.stop_reason or reason
        self._emergency = self._emergency or at_once

    @property
    def emergency(self) -> bool:
        """The emergency stop was used."""
        return self._emergency

    @property
    def at_rest(self) -> bool:
        """The last action asked for no motion."""
        return bool((self._last[~self._grip] == 0.0).all())

    def act(self, obs: dict[str, np.ndarray]) -> np.ndarray:
        """Returns the policy's action held within the limits, or that of a stop, float32 (A,)."""
        wanted = np.zeros(self._size)
        if self.stop_reason is None:
            try:
                wanted = self._asked(obs)
            except Unsafe as unsafe:
                self.stop(str(unsafe))
        if self.stop_reason is not None:
            wanted = np.where(self._grip, self._last, 0.0)
        self._last = wanted if self._emergency else self._within(wanted, obs)
        return self._last.astype(np.float32)

    def _asked(self, obs: dict[str, np.ndarray]) -> np.ndarray:
        action = np.asarray(self.policy.act(obs), np.float64)
        if action.shape != (self._size,):
            raise Unsafe(f"the policy's action has shape {action.shape}, expected ({self._size},)")
        if not np.isfinite(action).all():
            raise Unsafe("the policy's action is not finite")
        return action

    def _within(self, wanted: np.ndarray, obs: dict[str, np.ndarray]) -> np.ndarray:
        action = self._hold("range", wanted, -1.0, 1.0)
        action = self._hold("speed", action, -self._speed, self._speed)
        action = self._hold("acceleration", action, self._last - self._rise, self._last + self._rise)
        room = self._room(obs)
        return action if room is None else self._hold("box", action, *room)  # last: the wall counts more than comfort

    def _hold(self, name: str, action: np.ndarray, low: np.ndarray | float, high: np.ndarray | float) -> np.ndarray:
        held = np.clip(action, low, high)
        self.held_back[name] += bool((held != action).any())
        return held

    def _room(self, obs: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray] | None:
        """Returns the lowest and highest action (A,) from which the gripper still comes to rest inside the box."""
        if "eef_pos" not in obs or not self._axes:
            return None
        place = np.asarray(obs["eef_pos"], np.float64)
        if not np.isfinite(place).all():
            return None  # such an observation stops the arm anyway
        if self._box is None:
            self._box = self.limits.box if self.limits.box is not None else np.stack([place - REACH_M, place + REACH_M])
        coast = np.asarray(obs.get("eef_vel", np.zeros(3)), np.float64) * COAST_S
        low, high = np.full(self._size, -np.inf), np.full(self._size, np.inf)
        for i, axis in self._axes:
            ahead = self._box[1, axis] - place[axis] - max(coast[axis], 0.0)
            behind = place[axis] - self._box[0, axis] - max(-coast[axis], 0.0)
            high[i] = _fastest(ahead / self._scale[i], self._rise[i])
            low[i] = -_fastest(behind / self._scale[i], self._rise[i])
        return low, high


def _fastest(room: float, rise: float) -> float:
    """Returns the largest action that can be braked to 0, by `rise` a step, within `room` (in steps of full action)."""
    if room <= 0.0:
        return 0.0
    steps = 1
    while steps < 1000 and (room + rise * steps * (steps - 1) / 2) / steps > steps * rise:
        steps += 1
    return (room + rise * steps * (steps - 1) / 2) / steps


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
