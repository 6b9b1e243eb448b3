"""A 3Dconnexion SpaceMouse as a Device, read over raw HID by pyspacemouse (an extra: robot-lfd[spacemouse])."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from teleop.bindings import load_table, make_bindings
from teleop.device import Command, Control, TeleopError
from teleop.keyboard import KeyboardDevice, with_session_keys
from teleop.sticks import Curve, make_curve

# pyspacemouse's names in ROS's convention (x away, y left, z up, right-handed turns), which is that of device.AXES
AXES = {"x": "x", "y": "y", "z": "z", "rx": "roll", "ry": "pitch", "rz": "yaw"}
BUTTONS = 32
INPUTS = (*(f"{a}{s}" for a in AXES for s in "-+"), *(f"button{i}" for i in range(BUTTONS)))
MOST_REPORTS = 200  # read in one control step: more than a SpaceMouse sends in a second
LOOK_AGAIN_S = 1.0  # between two looks for one that was unplugged
INSTALL = "pip install 'robot-lfd[spacemouse]'"
NO_HIDAPI = "the system's hidapi is missing: apt-get install libhidapi-hidraw0 (macOS: brew install hidapi)"
NONE = "no SpaceMouse is plugged in; plug one in, or drive with --device keyboard"
NOT_READABLE = (
    "may not be read: let your user, with a file /etc/udev/rules.d/99-spacemouse.rules: "
    'KERNEL=="hidraw*", ATTRS{idVendor}=="256f", MODE="0666"; then plug it in again'
)


class SpaceMouseDevice:
    """The cap drives all six axes at once; unplugged, it says so in its Command and looks for one every second.

    Args:
        user_file: the user's bindings.
        keyboard: session keys that keep working beside it.
    """

    name = "spacemouse"

    def __init__(
        self,
        user_file: Path | None = None,
        keyboard: KeyboardDevice | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        table, source = load_table("spacemouse", user_file)
        self.curve: Curve = make_curve({"trigger_deadzone": 0.0, **table["curve"]}, source)
        self.bindings = make_bindings(table, source, INPUTS.__contains__, INPUTS)
        self._keyboard, self._clock = keyboard, clock
        self._looked_at = 0.0
        self._pressed: set[str] = set()
        self._values: dict[str, float] = {}
        self._newest = math.nan  # time of the newest report
        self._mouse: Any = open_spacemouse()

    @property
    def title(self) -> str:
        """Its own name, or what to do about it."""
        return self._mouse.name if self._mouse else "no SpaceMouse: plug it in again"

    def see(self, obs: dict[str, np.ndarray]) -> None:
        """Ignores the observation: a person looks at the screen."""

    def read(self, events: Sequence[Any]) -> Command:
        """Returns what the cap says now; a button tapped within one control step counts for that step."""
        tapped = self._listen()
        values = {**self._values, **dict.fromkeys(tapped, 1.0)}
        command = self.bindings.command(values, tapped, self._mouse is not None)
        if self._keyboard is None:
            return command
        return Command(command.axes, (*command.events, *self._keyboard.read(events).events), command.connected)

    def _listen(self) -> list[str]:
        """Takes in every report that has come since the last step; returns the buttons newly pressed, in order."""
        if self._mouse is None and self._clock() - self._looked_at > LOOK_AGAIN_S:
            self._looked_at = self._clock()
            with contextlib.suppress(TeleopError):
                self._mouse = open_spacemouse()
        if self._mouse is None:
            return []
        tapped: list[str] = []
        with self._noticing_its_end():
            for _ in range(MOST_REPORTS):
                state = self._mouse.read()  # one report, where there is one
                if state.t == self._newest:
                    break
                self._newest = state.t
                tapped += self._take(state)
        return tapped

    @contextlib.contextmanager
    def _noticing_its_end(self) -> Iterator[None]:
        from easyhid import HIDException

        try:
            yield
        except (HIDException, OSError):
            self.close()

    def _take(self, state: Any) -> list[str]:
        self._values = {}
        for axis, name in AXES.items():
            bent = self.curve.stick(float(np.clip(getattr(state, name), -1.0, 1.0)), 0.0)[0]
            self._values[f"{axis}-"], self._values[f"{axis}+"] = max(-bent, 0.0), max(bent, 0.0)
        now = {f"button{i}" for i, down in enumerate(state.buttons) if down}
        tapped, self._pressed = sorted(now - self._pressed), now
        self._values |= dict.fromkeys(now, 1.0)
        return tapped

    @property
    def connected(self) -> bool:
        """Whether one is plugged in."""
        return self._mouse is not None

    def reset(self) -> None:
        """Forgets what was sent before now, and half-pressed buttons."""
        self._listen()
        if self._keyboard:
            self._keyboard.reset()

    def controls(self) -> tuple[Control, ...]:
        """Returns every bound move and button and how far it is pushed, and the keys beside it or in its place."""
        return with_session_keys(self.bindings.controls(self._values) if self._mouse else (), self._keyboard)

    def settings(self) -> dict[str, Any]:
        """Returns its name, bindings and curve."""
        curve = {"deadzone": self.curve.deadzone, "expo": self.curve.expo}
        return {"spacemouse": self.title, **curve, "bindings": dict(self.bindings.functions)}

    def close(self) -> None:
        """Lets go of it."""
        mouse, self._mouse = self._mouse, None
        self._values, self._pressed, self._newest = {}, set(), math.nan
        if mouse is not None:
            mouse.close()


def open_spacemouse() -> Any:
    """Returns the SpaceMouse that is plugged in, opened.

    Raises:
        TeleopError: pyspacemouse or the system's hidapi is missing, none is plugged in, or it may not be read.
    """
    try:
        import pyspacemouse
    except ImportError as error:
        raise TeleopError(f"the SpaceMouse needs an extra: {INSTALL}") from error
    except OSError as error:
        raise TeleopError(NO_HIDAPI) from error
    try:
        found = pyspacemouse.get_connected_devices()
    except RuntimeError as error:
        raise TeleopError(NO_HIDAPI) from error
    if not found:
        raise TeleopError(NONE)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # it greets
            return pyspacemouse.open(device=found[0], axis_convention=pyspacemouse.AxisConvention.ROS)
    except (RuntimeError, OSError) as error:
        raise TeleopError(f"the {found[0]} {NOT_READABLE}") from error
