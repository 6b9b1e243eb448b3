"""Guards: what the arm shows of itself is checked before anybody is asked: whole, finite, fresh, joints within."""

from __future__ import annotations

import numpy as np

Obs = dict[str, np.ndarray]
MOVING = 0.05  # a larger share of the action range must change something in the observation
FROZEN_M = 0.02  # a picture that stays the same while the gripper goes so far is no picture of it
IN_HAND = ("wrist", "hand")  # cameras named so ride along: above a plain table they rightly see no change
AHEAD_S = 0.4  # a torque-driven wrist spins on for so long while the gripper already stands (seen in robosuite)
NEAR_RAD = 0.2  # so near to its end a joint is slowed down
END_RAD = 0.04  # so near to its end it may not go on at all
RUN_ON_S = 0.1  # and this is the least that any joint needs to stand
CREEP = 0.05  # share of the speed that is left, so that an arm can get away from where it stands


class Unsafe(Exception):
    """The arm cannot be driven on; the text is the reason that is recorded."""


class ObservationGuard:
    """Knows what an observation of this episode holds, and notices when the world no longer answers."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets the episode."""
        self._last: Obs | None = None
        self._seen_at: dict[str, np.ndarray] = {}  # camera -> where the gripper was when its picture last changed

    def check(self, obs: Obs, sent: np.ndarray) -> None:
        """Raises Unsafe for an observation that is missing, not finite or stale.

        Args:
            sent: the action that this observation answers, without the gripper's part.
        """
        before, self._last = self._last, obs
        for key in before if before is not None else ():
            if obs.get(key) is None:
                raise Unsafe(f"observation '{key}' is missing")
        for key, value in obs.items():
            if not np.isfinite(value).all():
                raise Unsafe(f"observation '{key}' is not finite")
        if before is None:
            return
        if np.abs(sent).max(initial=0.0) > MOVING and all(np.array_equal(before[k], obs[k]) for k in before):
            raise Unsafe("the observation is stale: nothing in it has changed while the arm was told to move")
        self._check_pictures(before, obs)

    def _check_pictures(self, before: Obs, obs: Obs) -> None:
        place = obs.get("eef_pos")
        for key in (k for k in obs if k.startswith("images/") and not any(name in k for name in IN_HAND)):
            if place is None or key not in self._seen_at or not np.array_equal(before[key], obs[key]):
                self._seen_at[key] = np.zeros(3) if place is None else place
            elif np.linalg.norm(place - self._seen_at[key]) > FROZEN_M:
                raise Unsafe(f"the picture of '{key.removeprefix('images/')}' is stale: the arm moves and it does not")


class JointGuard:
    """Slows the arm where a joint comes near its end, and stops it where one goes on.

    Args:
        limits: (2, J) lowest and highest joint positions, rad; None where the arm does not tell.
    """

    def __init__(self, limits: np.ndarray | None) -> None:
        self.limits = limits

    def share(self, obs: Obs) -> float:
        """Returns the share of its speed that the arm may keep. Raises Unsafe for a joint at its end and going on."""
        place, speed = obs.get("joint_pos"), obs.get("joint_vel")
        if self.limits is None or place is None or np.shape(place) != self.limits.shape[1:]:
            return 1.0
        velocity = np.zeros(len(place)) if speed is None else np.asarray(speed, np.float64)
        room = np.stack([place - self.limits[0], self.limits[1] - place])  # (2, J)
        towards = np.maximum(np.stack([-velocity, velocity]), 0.0)
        room = np.where(np.isfinite(room), room, np.inf)
        ends = (room < END_RAD + towards * RUN_ON_S) & (towards > 1e-3)
        if ends.any():
            raise Unsafe(f"joint {int(ends.any(0).argmax()) + 1} is at its end and going on")
        left = np.where(towards > 1e-3, (room - END_RAD - towards * AHEAD_S) / NEAR_RAD, 1.0)
        return float(np.clip(left.min(), CREEP, 1.0))
