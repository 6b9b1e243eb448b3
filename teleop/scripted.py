"""A scripted operator: drives the arm as a person at a keyboard does, through the same Device interface.

It sees the screen late, holds keys down or lets them go (no speeds in between but the slow key's), overshoots and
corrects, pauses, takes another route each time and misjudges by a few millimetres. It stands in for a person in tests
and in `lfd demo`; what it records is as uneven as what people record.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from teleop.device import AXES, Command
from teleop.plans import Aim, CarryPlan, LiftPlan, Obs, Plan, PushPlan, ReachPlan

SLOW = 0.3  # share of the speed while the slow key is held
NEAR_M = 0.06  # closer than this a person drives with the slow key


PLANS: dict[str, Callable[[np.random.Generator], Plan]] = {
    "pybullet/Reach-v0": ReachPlan,
    "pybullet/Push-v0": PushPlan,
    "pybullet/Lift-v0": LiftPlan,
    "pybullet/PickPlace-v0": lambda rng: CarryPlan(rng, clear_m=0.06, near_m=0.025),
    "pybullet/Stack-v0": lambda rng: CarryPlan(rng, clear_m=0.05, near_m=0.008),
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
