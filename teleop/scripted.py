"""A scripted operator: drives the arm as a person at a keyboard does, through the same Device interface.

It sees the screen late, holds keys down or lets them go (no speeds in between but the slow key's), overshoots and
corrects, pauses, takes another route each time and misjudges by a few millimetres. It stands in for a person in tests
and in `lfd demo`; what it records is as uneven as what people record.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from teleop.device import AXES, Command

Obs = dict[str, np.ndarray]
SLOW = 0.3  # share of the speed while the slow key is held
NEAR_M = 0.06  # closer than this a person drives with the slow key


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


PLANS: dict[str, Callable[[np.random.Generator], Plan]] = {
    "pybullet/Reach-v0": ReachPlan,
    "pybullet/Push-v0": PushPlan,
    "pybullet/Lift-v0": LiftPlan,
    "robosuite/Lift-v0": LiftPlan,
}


class ScriptedOperator:
    """A Device that looks at the screen late and answers with keys: see the module's docstring.

    Args:
        make_plan: draws a new plan for each episode.
        seed: of everything the operator draws.
    """

    name = "scripted"

    def __init__(self, make_plan: Callable[[np.random.Generator], Plan], seed: int) -> None:
        self._make_plan, self._seed = make_plan, seed
        self._rng = np.random.default_rng(seed)
        self.reset()

    def reset(self) -> None:
        """Takes a new person: other delay, route, patience and aim."""
        rng = self._rng
        self._plan = self._make_plan(rng)
        self._delay = int(rng.integers(2, 4))  # control steps between the screen and the finger
        self._foresight = rng.uniform(0.85, 1.15)  # how much of the way still to be made is allowed for
        self._route = str(rng.choice(self._plan.routes))
        self._hesitates = rng.uniform(0.003, 0.015)  # chance of a pause in a step
        self._pause = int(rng.integers(0, 6))
        self._seen: deque[Obs] = deque(maxlen=self._delay + 1)
        self._keys = np.zeros(3)
        self._held_for = np.zeros(3, int)

    def settings(self) -> dict[str, Any]:
        """Returns the seed: all it takes to get the same operator again."""
        return {"seed": self._seed}

    def see(self, obs: Obs) -> None:
        """Puts what is on the screen at the end of the queue."""
        self._seen.append(obs)

    def read(self, events: Sequence[Any]) -> Command:
        """Returns the keys held now, as axes of -1, 0 or 1, or SLOW with the slow key. `events` are not needed."""
        axes = np.zeros(len(AXES), np.float32)
        if not self._seen:
            return Command(axes)
        obs = self._seen[0]
        aim = self._plan.aim(obs)
        axes[6] = aim.gripper
        if self._pause == 0 and self._rng.random() < self._hesitates:
            self._pause = int(self._rng.integers(3, 10))
        if self._pause > 0:
            self._pause -= 1
            self._keys[:] = 0
            return Command(axes)
        left = aim.offset - self._foresight * obs["eef_vel"] * (self._delay + 1) * 0.05
        slow = not aim.fast and float(np.linalg.norm(aim.offset)) < NEAR_M
        self._press(left, aim)
        axes[:3] = self._keys * (SLOW if slow else 1.0)
        return Command(axes)

    def _press(self, left: np.ndarray, aim: Aim) -> None:
        """Presses and releases the keys of the three axes; a key once pressed is held for at least two steps."""
        wanted = np.where(np.abs(left) > aim.tolerance_m, np.sign(left), 0.0)
        across = float(np.max(np.abs(aim.offset[:2])))
        if self._route == "across first" and across > 0.03 and left[2] < 0:
            wanted[2] = 0.0
        if self._route == "one by one" and np.count_nonzero(wanted) > 1:
            wanted[np.arange(3) != int(np.argmax(np.abs(left)))] = 0.0
        keep = (self._keys != 0) & (self._held_for < 2)
        keys = np.where(keep, self._keys, wanted)
        self._held_for = np.where(keys == self._keys, self._held_for + 1, 0)
        self._keys = keys


def make_scripted_operator(env_id: str, seed: int) -> ScriptedOperator:
    """Returns the operator that knows the task `env_id`.

    Raises:
        ValueError: no operator knows this task; the message names those that are known.
    """
    if env_id not in PLANS:
        raise ValueError(f"no scripted operator knows '{env_id}'; it knows: {', '.join(PLANS)}")
    return ScriptedOperator(PLANS[env_id], seed)
