"""Command and Device: what every input, a keyboard, a gamepad or a scripted operator, is read through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

import numpy as np

AXES = ("x", "y", "z", "rx", "ry", "rz", "gripper")  # x forward, y left, z up; gripper: +1 closes, -1 opens


class TeleopError(Exception):
    """No screen, no pad, wrong bindings: the message says what to do, in one plain line."""


class Event(Enum):
    """What a person asks of the session, beside moving the arm."""

    START = "start"
    KEEP = "keep"
    DISCARD = "discard"
    UNDO = "undo"
    PAUSE = "pause"
    SUCCESS = "success"
    FAILURE = "failure"
    NOTE = "note"
    RETRY = "retry"  # start again from the same seed
    REPLAY = "replay"  # show the last episode again
    SPEED_UP = "speed_up"
    SPEED_DOWN = "speed_down"
    FRAME = "frame"  # next driving frame: camera, world, tool
    HELP = "help"
    MUTE = "mute"
    GRIP = "grip"  # closes an open gripper, opens a closed one
    LOCK_X = "lock_x"  # locks or frees one axis of the driving frame
    LOCK_Y = "lock_y"
    LOCK_Z = "lock_z"
    LOCK_ROTATION = "lock_rotation"
    TAKEOVER = "takeover"
    STOP = "stop"  # emergency stop
    QUIT = "quit"


@dataclass(frozen=True)
class Command:
    """What a device says in one control step.

    Attributes:
        axes: (7,) float32 in [-1, 1] in the order of AXES, a share of the speed that the session has set.
        events: what else the person asked for, in order.
        connected: False while a pad is unplugged: the session pauses.
    """

    axes: np.ndarray = field(default_factory=lambda: np.zeros(len(AXES), np.float32))
    events: tuple[Event, ...] = ()
    connected: bool = True


@dataclass(frozen=True)
class Control:
    """One key, button or half of a stick's axis, as it stands now: what the window draws.

    Attributes:
        input: its name in the bindings, such as "w", "leftx-" or "button0".
        function: what it is bound to, such as "forward" or "undo".
        value: 0 (let go) to 1 (pressed, pushed all the way).
        beside: it is a key of the keyboard that lies beside the device.
    """

    input: str
    function: str
    value: float = 0.0
    beside: bool = False


class Device(Protocol):
    """Something a person (or a script in a person's place) drives the arm with."""

    name: str

    def see(self, obs: dict[str, np.ndarray]) -> None:
        """Told what is on the screen. Real devices ignore it; a scripted operator looks at it."""
        ...

    def read(self, events: Sequence[Any]) -> Command:
        """Returns the command of this control step, from the window's events since the last one."""
        ...

    def reset(self) -> None:
        """Called when a new episode begins: forgets held keys and half-done plans."""
        ...

    def settings(self) -> dict[str, Any]:
        """Returns what is worth storing beside a demo: bindings, deadzone, curve, seed. JSON can hold it."""
        ...
