"""How the scripted operator does each task: plans look at an observation and say where the gripper should go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

Obs = dict[str, np.ndarray]


@dataclass(frozen=True)
class Aim:
    """What the operator wants now: move the gripper by `offset` (3,) metres; gripper +1 close, -1 open, 0 leave."""

    offset: np.ndarray
    gripper: float = 0.0
    tolerance_m: float = 0.01
    fast: bool = False  # no slow key near the goal


class Plan(Protocol):
    """How a task is done: looks at an observation and says what it aims at.

    Attributes:
        routes: the orders of axes that work for the task; each episode draws one.
    """

    routes: tuple[str, ...]

    def aim(self, obs: Obs) -> Aim:
        """Returns the aim for what is seen now; called once per control step."""
        ...


class ReachPlan:
    """Go to the target and stay."""

    routes: tuple[str, ...] = ("diagonal", "across first", "one by one")

    def __init__(self, rng: np.random.Generator) -> None:
        self._miss = rng.normal(0.0, 0.002, 3)

    def aim(self, obs: Obs) -> Aim:
        """Returns the way to the target."""
        return Aim(obs["target_rel"] + self._miss, tolerance_m=0.007)


class LiftPlan:
    """Hover, go down, close, lift; start over when the cube was missed."""

    routes: tuple[str, ...] = ("diagonal", "across first", "one by one")

    def __init__(self, rng: np.random.Generator) -> None:
        self._hover = rng.uniform(0.06, 0.12)
        self._depth = rng.uniform(-0.004, 0.006)
        self._miss = rng.normal(0.0, 0.003, 2)
        self._squeeze = int(rng.integers(7, 12))
        self._phase = "hover"
        self._closed_for = 0

    @property
    def holds(self) -> bool:
        """Whether the fingers have closed on the object, and it went with them so far."""
        return self._phase == "lift"

    def aim(self, obs: Obs) -> Aim:
        """Returns the way to the present phase's goal, after moving on to the next phase where one is done."""
        rel = obs["object_rel"].astype(float) + np.array([*self._miss, 0.0])
        across = float(np.hypot(rel[0], rel[1]))
        if self._phase == "hover" and across < 0.015:
            self._phase = "down"
        elif self._phase == "down" and across > 0.04:
            self._phase = "hover"
        elif self._phase == "down" and abs(rel[2] + self._depth) < 0.012 and across < 0.02:
            self._phase, self._closed_for = "close", 0
        elif self._phase == "close":
            self._closed_for += 1
            if self._closed_for > self._squeeze:
                self._phase = "lift"
        elif self._phase == "lift" and float(np.linalg.norm(rel)) > 0.05:
            self._phase = "hover"
        return self._aim_of_phase(rel)

    def _aim_of_phase(self, rel: np.ndarray) -> Aim:
        if self._phase == "hover":
            return Aim(rel + np.array([0.0, 0.0, self._hover]), gripper=-1.0, tolerance_m=0.008)
        if self._phase == "down":
            return Aim(rel + np.array([0.0, 0.0, self._depth]), gripper=-1.0, tolerance_m=0.006)
        if self._phase == "close":
            return Aim(np.zeros(3), gripper=1.0)
        return Aim(np.array([0.0, 0.0, 0.2]), gripper=1.0, fast=True)


class PushPlan:
    """Push along one axis, go round, push along the other: what four arrow keys can do."""

    routes: tuple[str, ...] = (
        "across first",
        "one by one",
    )  # two keys at once drag the box aside (90 % success instead of 99)

    def __init__(self, rng: np.random.Generator) -> None:
        self._first = int(rng.integers(2))
        self._axis = self._first
        self._hover = rng.uniform(0.09, 0.12)
        self._height = rng.uniform(0.018, 0.026)
        self._behind = rng.uniform(0.055, 0.07)
        self._phase = "over"

    def aim(self, obs: Obs) -> Aim:
        """Returns the way to the present phase's goal, after moving on to the next phase where one is done."""
        target, rel = obs["target_rel"].astype(float), obs["object_rel"].astype(float)
        height = float(obs["eef_height"][0])
        if self._phase == "over" and abs(target[self._axis]) < 0.012:
            self._axis = 1 - self._axis
        axis, side = self._axis, np.sign(target[self._axis])
        if self._phase == "push" and (abs(target[axis]) < 0.008 or rel[axis] * side < -0.01):
            self._phase, self._axis = "back", axis
        start = np.array([rel[0], rel[1], 0.0])
        start[axis] -= side * self._behind
        if self._phase == "back":
            return self._back_off(rel, axis, height)
        if self._phase == "over" and np.hypot(start[0], start[1]) < 0.012:
            self._phase = "down"
        if self._phase == "down" and np.hypot(start[0], start[1]) > 0.035:
            self._phase = "over"
        if self._phase == "down" and abs(height - self._height) < 0.012:
            self._phase = "push"
        if self._phase == "push":
            return self._push(target, rel, axis, height)
        goal_height = self._hover if self._phase == "over" else self._height
        low = self._phase == "over" and height < self._hover - 0.03
        across = np.zeros(2) if low else start[:2]  # first up, then across: not through the box
        return Aim(np.array([*across, goal_height - height]), gripper=1.0, tolerance_m=0.008)

    def _push(self, target: np.ndarray, rel: np.ndarray, axis: int, height: float) -> Aim:
        offset = np.array([rel[0], rel[1], self._height - height])
        offset[axis] = target[axis]
        return Aim(offset, gripper=1.0, tolerance_m=0.006)

    def _back_off(self, rel: np.ndarray, axis: int, height: float) -> Aim:
        if height > self._hover - 0.03:
            self._phase, self._axis = "over", 1 - axis
        away = np.zeros(3)
        if abs(rel[axis]) < 0.045:
            away[axis] = -np.sign(rel[axis]) * 0.03
        away[2] = self._hover - height
        return Aim(away, gripper=1.0)


class CarryPlan:
    """Grasp as LiftPlan does, raise, carry, lower, let go, leave; start over when the object was lost or lies wrong.

    Args:
        clear_m: how high the object is carried at least.
        near_m: how far beside its place it may be let go.
    """

    routes: tuple[str, ...] = ("diagonal", "across first", "one by one")

    def __init__(self, rng: np.random.Generator, clear_m: float, near_m: float) -> None:
        self._rng, self._near = rng, near_m
        self._grasp = LiftPlan(rng)
        self._clear = clear_m + rng.uniform(0.0, 0.03)
        self._miss = rng.normal(0.0, 0.15 * near_m, 2)
        self._drop = rng.uniform(0.003, 0.006)
        self._patience = int(rng.integers(5, 9))
        self._phase = "grasp"
        self._since = 0

    def aim(self, obs: Obs) -> Aim:
        """Returns the way to the present phase's goal, after moving on to the next phase where one is done."""
        left = obs["target_rel"].astype(float) + np.array([*self._miss, 0.0])
        self._since += 1
        if self._phase == "open" and self._since > self._patience:
            self._enter("leave")
        elif self._phase == "leave" and self._since > 30:  # it was solved long ago, or will not be so
            self._grasp = LiftPlan(self._rng)
            self._enter("grasp")
        if self._phase in ("open", "leave"):
            return Aim(np.array([0.0, 0.0, 0.2 * (self._phase == "leave")]), gripper=-1.0)
        grasp = self._grasp.aim(obs)
        if not self._grasp.holds:
            self._enter("grasp")
            return grasp
        self._carry_on(left, float(obs["object_height"][0]))
        return self._aim_of_phase(left, float(obs["object_height"][0]))

    def _enter(self, phase: str) -> None:
        self._phase, self._since = phase, 0

    def _carry_on(self, left: np.ndarray, height: float) -> None:
        across = float(np.hypot(left[0], left[1]))
        if self._phase == "grasp":
            self._enter("raise")
        if self._phase == "raise" and height > self._clear - 0.01:
            self._enter("carry")
        if self._phase == "carry" and across < self._near:
            self._enter("lower")
        if self._phase == "lower" and across > 2.5 * self._near:
            self._enter("raise")
        if self._phase == "lower" and -left[2] < self._drop:
            self._enter("open")

    def _aim_of_phase(self, left: np.ndarray, height: float) -> Aim:
        if self._phase == "open":
            return Aim(np.zeros(3), gripper=-1.0)
        across = np.zeros(2) if self._phase == "raise" else left[:2]
        down = left[2] if self._phase == "lower" else self._clear - height
        tolerance = min(0.008, 0.7 * self._near) if self._phase == "carry" else 0.002
        return Aim(np.array([*across, down]), gripper=1.0, tolerance_m=tolerance)
