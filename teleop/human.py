"""HumanPolicy: a person at a device is a Policy like any other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from teleop.device import Device, Event

SPEEDS_M = (0.03, 0.06, 0.12, 0.20, 0.30)  # m/s of a key held, one per speed level
SPEEDS_RAD = (0.15, 0.3, 0.6, 1.0, 1.5)  # rad/s
RAMP_S = 0.15  # from rest to full speed, and back
OPEN_WIDTH_M = 0.06  # a gripper wider than this counts as open when it is told to change for the first time
NAMES = {"dx": 0, "dy": 1, "dz": 2, "drx": 3, "dry": 4, "drz": 5}
LOCKS = {
    Event.LOCK_X: ("x", (0,)),
    Event.LOCK_Y: ("y", (1,)),
    Event.LOCK_Z: ("z", (2,)),
    Event.LOCK_ROTATION: ("rotation", (3, 4, 5)),
}
Frame = Callable[[dict[str, np.ndarray]], np.ndarray]  # observation -> (3, 3), from the frame to the world


@dataclass(frozen=True)
class Drive:
    """How fast a person drives at each speed level, and how softly.

    Attributes:
        speeds_m, speeds_rad: m/s and rad/s of a key held, one per level.
        level: the level to start with.
        ramp_s: seconds from rest to full speed; 0 for none.
    """

    speeds_m: tuple[float, ...] = SPEEDS_M
    speeds_rad: tuple[float, ...] = SPEEDS_RAD
    level: int = 3
    ramp_s: float = RAMP_S


class HumanPolicy:
    """Turns a device's axes into actions: metres and radians per second, ramped, in the chosen driving frame.

    Args:
        device: what the person holds.
        action_names: of the environment; dx dy dz drx dry drz gripper are driven by name, others in their order.
        action_scale: (A,) what 1.0 moves in one control step, in `action_units`.
        action_units: "m", "rad" or "1" per dimension; speeds have a meaning for the first two.
        poll_events: returns the window's events since the last call.
        frames: driving frames by name, the first is the one to begin with.

    Attributes:
        axes: (A,) which of device.AXES drives each action dimension. grip: +1 closing, -1 opening, 0 as it is.
        frame, level, locked: the driving frame, the speed level, the locked axes.
        events: what the person asked of the session in the last `act` or `idle`, driving events taken out.
        connected: False while the device is unplugged.
    """

    def __init__(
        self,
        device: Device,
        action_names: Sequence[str],
        action_scale: np.ndarray,
        action_units: Sequence[str],
        control_hz: float,
        poll_events: Callable[[], Sequence[Any]] = tuple,
        *,
        drive: Drive = Drive(),
        frames: Mapping[str, Frame] | None = None,
    ) -> None:
        self.device, self.drive, self._poll = device, drive, poll_events
        self.axes = _axis_of(action_names)  # (A,) which of AXES drives each dimension
        scale = np.asarray(action_scale, np.float64)
        known = np.array(
            [u in ("m", "rad") and not n.startswith("gripper") for n, u in zip(action_names, action_units, strict=True)]
        )
        self._limit = np.where(known, scale * control_hz, 1.0)  # (A,) what an action of 1.0 is, per second
        self._known = known
        self._dt = 1.0 / control_hz
        self.frames: dict[str, Frame] = dict(frames or {"world": _world})
        self.frame = next(iter(self.frames))
        self.level = drive.level
        self.locked: set[str] = set()
        self.events: tuple[Event, ...] = ()
        self.connected = True
        self._velocity = np.zeros(6)
        self.grip = 0.0

    @property
    def physical(self) -> bool:
        """Whether speeds are in m/s; False: in shares of the environment's own 1.0."""
        return bool(self._known.any())

    @property
    def levels(self) -> int:
        """How many speed levels there are."""
        return len(self.drive.speeds_m)

    @property
    def speed_m(self) -> float:
        """Metres per second of a key held, as far as the environment allows."""
        return self._speed(self.drive.speeds_m[self.level], range(3))

    @property
    def speed_rad(self) -> float:
        """Radians per second of a key held, as far as the environment allows."""
        return self._speed(self.drive.speeds_rad[self.level], range(3, 6))

    def _speed(self, wanted: float, axes: range) -> float:
        """Returns the wanted speed within the environment's limit; without units, the level's share of 1."""
        driven = [i for i, axis in enumerate(self.axes) if axis in axes]
        if not driven or not all(self._known[driven]):
            return (self.level + 1) / self.levels
        return float(min(wanted, *self._limit[driven]))

    def reset(self) -> None:
        """Starts an episode at rest, the gripper held as it is."""
        self.rest()
        self.grip = 0.0
        self.device.reset()

    def rest(self) -> None:
        """Stops all motion at once, without a ramp: after an undo or a pause."""
        self._velocity[:] = 0.0

    def resume_grip(self, action: np.ndarray | None) -> None:
        """Holds the gripper as the last action kept did: after an undo, so that the hand does not change its mind."""
        place = [i for i, axis in enumerate(self.axes) if axis == 6]
        self.grip = float(np.sign(action[place[0]])) if action is not None and place else 0.0

    def next_grip(self, obs: dict[str, np.ndarray]) -> float:
        """Returns what the grip key would do now: +1 close, -1 open."""
        return -self.grip if self.grip else _first_grip(obs)

    def act(self, obs: dict[str, np.ndarray]) -> np.ndarray:
        """Returns the action (A,) float32 of this control step."""
        axes = self._listen(obs)
        target = self._target(axes, obs)
        self._velocity = _ramped(self._velocity, target, self._reach())
        grip = self._gripper(float(axes[6]))
        wanted = np.append(self._velocity, grip)[self.axes]  # (A,)
        return np.clip(wanted / self._limit, -1.0, 1.0).astype(np.float32)

    def idle(self, obs: dict[str, np.ndarray]) -> None:
        """Listens without driving: while paused, or before the start."""
        self._listen(obs)
        self.rest()

    def _listen(self, obs: dict[str, np.ndarray]) -> np.ndarray:
        self.device.see(obs)
        command = self.device.read(self._poll())
        self.connected = command.connected
        self.events = tuple(e for e in command.events if not self._takes(e, obs))
        return np.asarray(command.axes, np.float64)

    def _takes(self, event: Event, obs: dict[str, np.ndarray]) -> bool:
        """Handles the events that are about driving and returns whether this was one."""
        if event in (Event.SPEED_UP, Event.SPEED_DOWN):
            step = 1 if event is Event.SPEED_UP else -1
            self.level = min(max(self.level + step, 0), self.levels - 1)
        elif event is Event.FRAME:
            names = list(self.frames)
            self.frame = names[(names.index(self.frame) + 1) % len(names)]
        elif event is Event.GRIP:
            self.grip = self.next_grip(obs)
        elif event in LOCKS:
            self.locked ^= {LOCKS[event][0]}
        else:
            return False
        return True

    def _target(self, axes: np.ndarray, obs: dict[str, np.ndarray]) -> np.ndarray:
        """Returns the wanted velocity in the world, (6,): m/s and rad/s; plain shares where units have no meaning."""
        share = axes[:6].copy()
        for name, indices in LOCKS.values():
            share[list(indices)] *= name not in self.locked
        turn = self.frames[self.frame](obs)
        move = turn @ (_at_most_one(share[:3]) * self.speed_m)
        return np.concatenate([move, turn @ (_at_most_one(share[3:]) * self.speed_rad)])

    def _reach(self) -> np.ndarray:
        """Returns how much the two velocities may change in one step: (2,), m/s and rad/s."""
        if self.drive.ramp_s <= 0.0:
            return np.array([np.inf, np.inf])
        return np.array([self.speed_m, self.speed_rad]) * self._dt / self.drive.ramp_s

    def _gripper(self, axis: float) -> float:
        """Returns what the gripper does: it goes on closing, or opening, until told otherwise."""
        if abs(axis) > 0.5:
            self.grip = float(np.sign(axis))
        return self.grip


def _axis_of(action_names: Sequence[str]) -> list[int]:
    """Returns the index in AXES that drives each action dimension."""
    spare = iter(range(6))
    return [6 if n.startswith("gripper") else NAMES[n] if n in NAMES else next(spare, 5) for n in action_names]


def _world(obs: dict[str, np.ndarray]) -> np.ndarray:
    return np.eye(3)


def _at_most_one(v: np.ndarray) -> np.ndarray:
    """Returns `v`, shortened to length 1 where it is longer: a diagonal is as fast as a straight line."""
    return v / max(1.0, float(np.linalg.norm(v)))


def _ramped(velocity: np.ndarray, target: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Returns `velocity` (6,) moved towards `target` by at most `reach`: straight, so that the path does not bend."""
    result = target.copy()
    for i, part in enumerate((slice(0, 3), slice(3, 6))):
        change = target[part] - velocity[part]
        length = float(np.linalg.norm(change))
        if length > reach[i]:
            result[part] = velocity[part] + change * (reach[i] / length)
    return result


def _first_grip(obs: dict[str, np.ndarray]) -> float:
    """Returns +1 (close) for an open gripper, -1 (open) for a closed one."""
    width = obs.get("gripper_width")
    return 1.0 if width is None or float(width[0]) > OPEN_WIDTH_M else -1.0
