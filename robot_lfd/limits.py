"""Limits: whatever a policy answers, the arm gets an action within speed, acceleration, jerk, workspace; or stops."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from robot_lfd.envs.contract import ArmEnv
from robot_lfd.errors import LfdError
from robot_lfd.guards import JointGuard, ObservationGuard, Unsafe
from robot_lfd.rollout import Policy

RISE_S = 0.1  # from rest to full speed; a person's keys ramp in 0.15 s
COAST_S = 0.15  # how far ahead of the observed place the gripper still runs once it is told to stand
JERK_S = 0.05  # from no acceleration to the full one; RISE_S holds two of them, so that braking is as soft
SOFTLY = 0.5  # of the acceleration limit is planned with ahead of a wall; the rest is there for what was not foreseen
GRIPPER_FORCE_N = 40.0  # a firm hold of a kilogram; the arms here close with 20
REACH_M = 0.4  # workspace about the first place of the gripper, where the environment names none
PUSH_BACK = 0.5  # of the way back inside, a step: some controllers drift while they are told to stand
TILT_RAD = 0.8  # the gripper may lean so far from how it first stood: beyond that arms run out of joint
FASTEST_TURN_RAD = 3.0  # rad/s; people turn at 1.5 at most
ROLL_ON_S = 0.1  # as COAST_S, for turning
FENCE_M = 0.03  # outside the box by more than this the arm is out of control
SPATIAL = ("dx", "dy", "dz")
TURNS = ("drx", "dry", "drz")


@dataclass(frozen=True)
class Limits:
    """What no action may exceed; one entry per action dimension.

    Attributes:
        speed: (A,) in action units per second (m/s, rad/s).
        acceleration: (A,) in action units per second squared; infinite for the gripper.
        box: (2, 3) low and high corner of the gripper's workspace, metres; None: REACH_M about the first place.
        tilt_rad: how far the gripper may lean from its first direction, where `eef_rot` tells it.
        jerk: (A,) in action units per second cubed; None: any.
        joints: (2, J) lowest and highest joint positions, rad; None: not watched.
        gripper_force_n: an arm whose fingers can close with more is not driven at all.
    """

    speed: np.ndarray
    acceleration: np.ndarray
    box: np.ndarray | None = None
    tilt_rad: float = TILT_RAD
    jerk: np.ndarray | None = None
    joints: np.ndarray | None = None
    gripper_force_n: float = GRIPPER_FORCE_N

    def __post_init__(self) -> None:
        for name in ("speed", "acceleration", "jerk"):
            value = getattr(self, name)
            if value is not None and not (np.asarray(value) > 0).all():
                raise LfdError(f"limit on {name} is {value}, expected positive numbers")
        if self.box is not None and not (np.shape(self.box) == (2, 3) and (self.box[0] < self.box[1]).all()):
            raise LfdError(f"workspace box is {self.box}, expected a low and a high corner (2, 3)")


def default_limits(arm: ArmEnv) -> Limits:
    """Returns the limits of an arm: its own full speed, reached in RISE_S, its joints' ends, its workspace if named."""
    full = np.asarray(arm.action_scale, np.float64) * arm.control_hz
    full = np.where([u == "rad" for u in arm.action_units], np.minimum(full, FASTEST_TURN_RAD), full)
    rise = np.array([np.inf if n == "gripper" or u == "1" else 1.0 / RISE_S for n, u in _named(arm)])
    box, joints = (
        None if found is None else np.asarray(found, np.float64)
        for found in (getattr(arm, "workspace", None), getattr(arm, "joint_limits", None))
    )
    return Limits(full, full * rise, box, jerk=full * rise / JERK_S, joints=joints)


def _named(arm: ArmEnv) -> list[tuple[str, str]]:
    return list(zip(arm.action_names, arm.action_units, strict=True))


class Limited:
    """A policy whose actions stay within limits, and which stops, for good and with a reason, when it cannot go on.

    A stop brakes at the acceleration limit from the very next action on; `stop(reason, at_once=True)`, the emergency
    stop, asks for rest at once. The gripper keeps its grip while the arm stops.

    Attributes:
        stop_reason: why it stopped; None while it runs. stopped_at: the step of the episode from which it brakes.
        held_back: how many actions of this episode each limit has changed: range, speed, box, acceleration, jerk,
            joints, tilt.

    Raises:
        LfdError: the arm's gripper can close with more than the limit on its force.
    """

    def __init__(self, policy: Policy, arm: ArmEnv, limits: Limits | None = None) -> None:
        self.policy, self.limits = policy, limits or default_limits(arm)
        self.stop_reason: str | None = None
        self.stopped_at: int | None = None
        self._tick = 0  # answers given in this episode
        self.held_back: Counter[str] = Counter()
        scale = np.asarray(arm.action_scale, np.float64)
        self._speed = np.minimum(self.limits.speed / (scale * arm.control_hz), 1.0)  # (A,) share of the action range
        self._rise = self.limits.acceleration / (scale * arm.control_hz**2)  # (A,) per control step
        jerk = np.full(len(scale), np.inf) if self.limits.jerk is None else np.asarray(self.limits.jerk, np.float64)
        self._jolt = jerk / (scale * arm.control_hz**3)  # (A,) per control step, each step
        self._sight, self._joints = ObservationGuard(), JointGuard(self.limits.joints)
        self._grip = np.array([n == "gripper" for n in arm.action_names])
        self._turns = [list(arm.action_names).index(n) for n in TURNS if n in arm.action_names]
        self._axes = [(i, SPATIAL.index(n)) for i, (n, u) in enumerate(_named(arm)) if n in SPATIAL and u == "m"]
        self._scale, self._size = scale, len(scale)
        self._emergency, self._hz, self._outside = False, arm.control_hz, -np.inf
        self._last, self._change = np.zeros(self._size), np.zeros(self._size)
        self._box: np.ndarray | None = None
        self._upright: np.ndarray | None = None
        self._lean_before = 0.0
        force = getattr(arm, "gripper_force_n", None)
        if force is not None and force > self.limits.gripper_force_n:
            limit = self.limits.gripper_force_n
            raise LfdError(f"the gripper closes with up to {force:g} N, the limit is {limit:g} N; use a weaker gripper")

    def reset(self) -> None:
        """Starts an episode at rest. An emergency stop stays."""
        self.policy.reset()
        self.held_back.clear()
        self._last, self._box, self._upright, self._lean_before = np.zeros(self._size), None, None, 0.0
        self._outside, self._change = -np.inf, np.zeros(self._size)
        self._sight.reset()
        self._tick = 0
        if not self._emergency:
            self.stop_reason = self.stopped_at = None

    def stop(self, reason: str, *, at_once: bool = False) -> None:
        """Stops the arm from the next action on; the first reason given is kept."""
        if self.stop_reason is None:
            self.stop_reason, self.stopped_at = reason, self._tick
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
                self._sight.check(obs, self._last[~self._grip])
                self._check_fence(obs)
                wanted = self._asked(obs)
            except Unsafe as unsafe:
                self.stop(str(unsafe))
        if self.stop_reason is not None:
            wanted = np.where(self._grip, self._last, 0.0)
        action = wanted if self._emergency else self._within(wanted, obs)
        self._last, self._tick = action, self._tick + 1
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
        action = self._hold("box", action, *self._room(obs, SOFTLY))
        action = self._hold("acceleration", action, self._last - self._rise, self._last + self._rise)
        smooth = self._smoothed(action)
        action = self._hold("box", smooth, *self._room(obs, 1.0))  # the wall counts more than comfort
        action = self._upheld(self._away_from_ends(action, obs), obs)
        overruled = (action != smooth) & (np.abs(action) < np.abs(self._last))  # braked harder than jerk allows
        self._change = np.where(overruled, 0.0, action - self._last)
        return action

    def _smoothed(self, action: np.ndarray) -> np.ndarray:
        """Returns the action (A,) that the jerk limit allows on the way to `action`.

        The change of a step may itself change by `_jolt`, and must be able to die away before it overshoots.
        """
        way = action - self._last
        most = np.array([_fastest(abs(w), j) for w, j in zip(way, self._jolt, strict=True)])
        change = np.clip(np.clip(way, -most, most), self._change - self._jolt, self._change + self._jolt)
        self.held_back["jerk"] += bool((change != way).any())
        return np.where(change == way, action, self._last + change)

    def _away_from_ends(self, action: np.ndarray, obs: dict[str, np.ndarray]) -> np.ndarray:
        """Returns the action slowed down where a joint comes near its end; the gripper is not."""
        try:
            share = self._joints.share(obs)
        except Unsafe as unsafe:
            self.stop(str(unsafe))
            share = 0.0
        self.held_back["joints"] += share < 1.0 and bool(action[~self._grip].any())
        return np.where(self._grip, action, share * action)

    def _hold(self, name: str, action: np.ndarray, low: np.ndarray | float, high: np.ndarray | float) -> np.ndarray:
        held = np.clip(action, low, high)
        self.held_back[name] += bool((held != action).any())
        return held

    def _workspace(self, place: np.ndarray) -> np.ndarray:
        if self._box is None:
            self._box = self.limits.box if self.limits.box is not None else np.stack([place - REACH_M, place + REACH_M])
        return self._box

    def _check_fence(self, obs: dict[str, np.ndarray]) -> None:
        """Raises Unsafe where the gripper is outside its workspace in spite of the limits: pushed, or out of joint."""
        place = _finite(obs, "eef_pos")
        if place is None or not self._axes:
            return
        low, high = self._workspace(place)
        outside = float(np.max([low - place, place - high]))
        before, self._outside = self._outside, outside
        if outside > FENCE_M and outside > before:
            raise Unsafe(f"the gripper is {100 * outside:.0f} cm outside its workspace and going on")

    def _upheld(self, action: np.ndarray, obs: dict[str, np.ndarray]) -> np.ndarray:
        """Returns the action without the part of its turn that leans the gripper beyond the limit."""
        columns = _finite(obs, "eef_rot")
        if columns is None or len(self._turns) != 3:
            return action
        if self._outside > 0.0 and action[self._turns].any():  # turning drags the gripper along: first back inside
            action = action.copy()
            action[self._turns] = 0.0
        axis = np.cross(columns[:3], columns[3:])  # the way the gripper points
        self._upright = axis if self._upright is None else self._upright
        lean = float(np.arccos(np.clip(axis @ self._upright, -1.0, 1.0)))
        growing, self._lean_before = max(lean - self._lean_before, 0.0) * self._hz, lean
        about = np.cross(self._upright, axis)
        if np.linalg.norm(about) < 1e-6:
            return action
        about /= np.linalg.norm(about)
        turn = action[self._turns] * self._scale[self._turns]
        room = max(0.0, self.limits.tilt_rad - lean - growing * ROLL_ON_S)
        excess = float(turn @ about) - room
        if excess <= 0.0:
            return action
        held = action.copy()
        held[self._turns] = (turn - excess * about) / self._scale[self._turns]
        self.held_back["tilt"] += 1
        return np.clip(held, -1.0, 1.0)

    def _room(self, obs: dict[str, np.ndarray], share: float) -> tuple[np.ndarray, np.ndarray]:
        """Returns the lowest and highest action (A,) from which the gripper still comes to rest inside the box.

        Outside the box these lead back in; with the whole `share`, they only forbid going on outwards.

        Args:
            share: of the acceleration limit that braking may use.
        """
        place = _finite(obs, "eef_pos")
        if place is None or not self._axes:
            return np.full(self._size, -np.inf), np.full(self._size, np.inf)
        box = self._workspace(place)
        coast = np.asarray(obs.get("eef_vel", np.zeros(3)), np.float64) * COAST_S
        low, high = np.full(self._size, -np.inf), np.full(self._size, np.inf)
        for i, axis in self._axes:
            ahead = box[1, axis] - place[axis] - max(coast[axis], 0.0)
            behind = place[axis] - box[0, axis] - max(-coast[axis], 0.0)
            back = (share < 1.0) * np.clip(
                PUSH_BACK * (box[:, axis] - place[axis]) / self._scale[i], -self._speed[i], self._speed[i]
            )
            high[i] = back[1] if back[1] < 0.0 else _fastest(ahead / self._scale[i], share * self._rise[i])
            low[i] = back[0] if back[0] > 0.0 else -_fastest(behind / self._scale[i], share * self._rise[i])
        return low, high


def _finite(obs: dict[str, np.ndarray], key: str) -> np.ndarray | None:
    """Returns an observation as float64; None where it is missing or broken (which stops the arm anyway)."""
    value = np.asarray(obs[key], np.float64) if key in obs else None
    return value if value is not None and np.isfinite(value).all() else None


def _fastest(room: float, rise: float) -> float:
    """Returns the largest action that can be braked to 0, by `rise` a step, within `room` (in steps of full action)."""
    if room <= 0.0 or not np.isfinite(rise):
        return max(room, 0.0)
    steps = 1
    while steps < 1000 and (room + rise * steps * (steps - 1) / 2) / steps > steps * rise:
        steps += 1
    return (room + rise * steps * (steps - 1) / 2) / steps
