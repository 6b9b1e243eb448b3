"""Gamepads as a Device: SDL's own controller mapping where SDL knows the pad, plain numbers otherwise."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pygame

from teleop.bindings import Bindings, load_table, make_bindings
from teleop.device import Command, Control, TeleopError
from teleop.keyboard import KeyboardDevice, with_session_keys
from teleop.sticks import half_axes, make_curve

os.environ.setdefault("SDL_JOYSTICK_ALLOW_BACKGROUND_EVENTS", "1")  # a pad in the hand needs no focus
from pygame._sdl2 import controller as sdl_controller

# In the order of SDL_GameControllerAxis and SDL_GameControllerButton
MAPPED_AXES = ("leftx", "lefty", "rightx", "righty", "lefttrigger", "righttrigger")
MAPPED_BUTTONS = (
    "a", "b", "x", "y", "back", "guide", "start", "leftstick", "rightstick", "leftshoulder", "rightshoulder",
    "dpup", "dpdown", "dpleft", "dpright",
)  # fmt: skip
MAPPED_STICKS = (("leftx", "lefty"), ("rightx", "righty"))
GENERIC_STICKS = (("axis0", "axis1"), ("axis2", "axis3"))
MAPPED_INPUTS = (*(f"{a}{s}" for a in MAPPED_AXES[:4] for s in "-+"), *MAPPED_AXES[4:], *MAPPED_BUTTONS)
HAT_SIDES = {"left": (0, -1), "right": (0, 1), "down": (1, -1), "up": (1, 1)}
PRESSED = 0.5  # of the way: where a trigger or half a stick bound to a session function counts as pressed


class Pad(Protocol):
    """One opened pad. Raw axes are -1..1 (triggers 0..1), everything else 0 or 1."""

    kind: str  # the section of gamepad.toml: "mapped" or "generic"
    title: str
    guid: str
    instance_id: int
    sticks: tuple[tuple[str, str], ...]

    def raw(self) -> dict[str, float]:
        """Returns every axis, button and hat side as it stands."""
        ...

    def pressed(self, event: Any) -> str | None:
        """Returns the button that an event says was pressed, if it is one of this pad."""
        ...

    def close(self) -> None:
        """Gives the pad back to SDL: an object that lives on could close the next pad in its place."""
        ...


class MappedPad:
    """A pad that SDL has a mapping for: inputs have the names of an Xbox pad, whatever the maker."""

    kind, sticks = "mapped", MAPPED_STICKS

    def __init__(self, index: int) -> None:
        self._pad = sdl_controller.Controller(index)
        joystick = self._pad.as_joystick()
        self.title, self.guid, self.instance_id = self._pad.name, joystick.get_guid(), joystick.get_instance_id()

    def raw(self) -> dict[str, float]:
        axes = {name: self._pad.get_axis(i) / 32767.0 for i, name in enumerate(MAPPED_AXES)}
        return {**axes, **{name: float(self._pad.get_button(i)) for i, name in enumerate(MAPPED_BUTTONS)}}

    def pressed(self, event: Any) -> str | None:
        mine = event.type == pygame.CONTROLLERBUTTONDOWN and event.instance_id == self.instance_id
        return MAPPED_BUTTONS[event.button] if mine and event.button < len(MAPPED_BUTTONS) else None

    def close(self) -> None:
        self._pad.quit()


class GenericPad:
    """A joystick that SDL has no mapping for: inputs are numbered."""

    kind, sticks = "generic", GENERIC_STICKS

    def __init__(self, index: int) -> None:
        self._pad = pygame.joystick.Joystick(index)
        self.title, self.guid, self.instance_id = (
            self._pad.get_name(),
            self._pad.get_guid(),
            self._pad.get_instance_id(),
        )
        self.counts = {
            "axis": self._pad.get_numaxes(),
            "button": self._pad.get_numbuttons(),
            "hat": self._pad.get_numhats(),
        }

    def raw(self) -> dict[str, float]:
        values = {f"axis{i}": self._pad.get_axis(i) for i in range(self.counts["axis"])}
        values |= {f"button{i}": float(self._pad.get_button(i)) for i in range(self.counts["button"])}
        for i in range(self.counts["hat"]):
            hat = self._pad.get_hat(i)
            values |= {f"hat{i}{side}": float(hat[k] == sign) for side, (k, sign) in HAT_SIDES.items()}
        return values

    def pressed(self, event: Any) -> str | None:
        mine = event.type == pygame.JOYBUTTONDOWN and event.instance_id == self.instance_id
        return f"button{event.button}" if mine else None

    def close(self) -> None:
        self._pad.quit()


class GamepadDevice:
    """A gamepad; unplugged, it says so in its Command and takes the next pad that is plugged in.

    Args:
        user_file: the user's bindings.
        keyboard: session keys that keep working beside the pad.
        centres: pad guid -> axis -> the value at which it rests (drift), from `lfd pad --calibrate`.

    Attributes:
        refused: why the pad that was plugged in last is not taken, "" while there is nothing to say.
    """

    name = "gamepad"

    def __init__(
        self,
        user_file: Path | None = None,
        keyboard: KeyboardDevice | None = None,
        centres: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        start_pads()
        self._table, self._source = load_table("gamepad", user_file)
        self._keyboard = keyboard
        self._centres = centres or {}
        self.curve = make_curve(self._table.get("curve", {}), self._source)
        self._previous: dict[str, float] = {}
        self._pad: Pad | None = None
        self.refused = ""
        pads = plugged_pads()
        if not pads:
            raise TeleopError(
                "no gamepad is plugged in; plug one in, check it with `lfd pad`, or drive with --device keyboard"
            )
        self._take(pads[0])

    def _take(self, index: int) -> None:
        pad = open_pad(index)
        try:
            self.bindings = _pad_bindings(self._table, self._source, pad)
        except TeleopError:
            pad.close()
            raise
        self._pad, self._previous = pad, {}

    def _take_another(self, index: int) -> None:
        """Takes a pad that is plugged in later; one that does not fit the bindings ends no session."""
        try:
            self._take(index)
            self.refused = ""
        except TeleopError:
            self.refused = "that pad does not fit the bindings: plug the first one in again"

    def close(self) -> None:
        """Lets go of the pad."""
        if self._pad is not None:
            self._pad.close()
        self._pad = None

    @property
    def title(self) -> str:
        """The pad's own name, or what to do about it."""
        return self._pad.title if self._pad else "no pad: plug it in again"

    def see(self, obs: dict[str, np.ndarray]) -> None:
        """Ignores the observation: a person looks at the screen."""

    def read(self, events: Sequence[Any]) -> Command:
        """Returns what the pad says now; a button tapped within one control step counts for that step."""
        presses = [name for event in events if (name := self._hear(event))]
        values = self.values()
        presses += self._crossings(values)
        tapped = dict.fromkeys(presses, 1.0)
        command = self.bindings.command({**values, **tapped}, presses, self._pad is not None)
        if self._keyboard is None:
            return command
        return Command(command.axes, (*command.events, *self._keyboard.read(events).events), command.connected)

    def _hear(self, event: Any) -> str | None:
        if self._pad is None and event.type == pygame.JOYDEVICEADDED:
            self._take_another(event.device_index)
        elif self._pad and event.type == pygame.JOYDEVICEREMOVED and event.instance_id == self._pad.instance_id:
            self.close()
        return self._pad.pressed(event) if self._pad else None

    def _crossings(self, values: dict[str, float]) -> list[str]:
        """Returns triggers, hat sides and half axes that have just been pushed: SDL sends no press for them."""
        before, self._previous = self._previous, values
        analog = [n for n in values if n[-1] in "+-" or n.endswith("trigger") or n.startswith("hat")]
        return [n for n in analog if values[n] > PRESSED >= before.get(n, 0.0)]

    @property
    def connected(self) -> bool:
        """Whether a pad is plugged in."""
        return self._pad is not None

    def describe(self) -> dict[str, str]:
        """Returns the pad's title, its kind (mapped or generic) and its guid; nothing while it is unplugged."""
        return {"title": self._pad.title, "kind": self._pad.kind, "guid": self._pad.guid} if self._pad else {}

    def stick_axes(self) -> list[str]:
        """Returns the names of the axes that are sticks."""
        return [axis for pair in self._pad.sticks for axis in pair] if self._pad else []

    def raw(self) -> dict[str, float]:
        """Returns every axis, button and hat side as SDL gives it."""
        return self._pad.raw() if self._pad else {}

    def values(self) -> dict[str, float]:
        """Returns every input, 0..1: centred, beyond the deadzone, on the curve."""
        if self._pad is None:
            return {}
        raw = self._pad.raw()
        for axis, centre in self._centres.get(self._pad.guid, {}).items():
            if axis in raw:
                raw[axis] = float(np.clip(raw[axis] - centre, -1.0, 1.0))
        return half_axes(raw, self._pad.sticks, self.curve)

    def reset(self) -> None:
        """Forgets half-pressed inputs."""
        self._previous = self.values()
        if self._keyboard:
            self._keyboard.reset()

    def controls(self) -> tuple[Control, ...]:
        """Returns every bound input and how far it is pushed, and the keys that work beside it or in its place."""
        return with_session_keys(self.bindings.controls(self.values()) if self._pad else (), self._keyboard)

    def settings(self) -> dict[str, Any]:
        """Returns the pad's name and guid, bindings and curve."""
        pad = {"pad": self._pad.title, "guid": self._pad.guid} if self._pad else {}
        curve = {"deadzone": self.curve.deadzone, "expo": self.curve.expo}
        return {**pad, **curve, "bindings": dict(self.bindings.functions)}


def start_pads() -> None:
    """Starts SDL's joystick and controller systems; doing it twice does no harm."""
    pygame.joystick.init()
    sdl_controller.init()
    if pygame.display.get_init():
        pygame.event.pump()


def plugged_pads() -> list[int]:
    """Returns the device indices of the pads that are plugged in."""
    return list(range(pygame.joystick.get_count()))


def open_pad(index: int) -> Pad:
    """Returns a pad, mapped where SDL knows it."""
    return MappedPad(index) if sdl_controller.is_controller(index) else GenericPad(index)


def _pad_bindings(table: Mapping[str, Any], source: str, pad: Pad) -> Bindings:
    section = table[pad.kind]
    if not isinstance(pad, GenericPad):
        return make_bindings(section, source, MAPPED_INPUTS.__contains__, MAPPED_INPUTS)
    names = [f"axis{i}{s}" for i in range(99) for s in "-+"] + [f"button{i}" for i in range(99)]
    bindings = make_bindings(section, source, lambda n: _number(n) is not None, names)
    for name, function in bindings.functions.items():
        kind, number = _number(name) or ("", 0)
        if number >= pad.counts[kind]:
            raise TeleopError(
                f"pad '{pad.title}' is unknown to SDL and has {pad.counts['axis']} axes, {pad.counts['button']} "
                f"buttons, {pad.counts['hat']} hats, but '{function}' is bound to '{name}' in {source}; see its "
                f"numbers with `lfd pad` and bind '{function}' to another, or to \"\", under [generic] in a file for "
                "--bindings"
            )
    return bindings


def _number(name: str) -> tuple[str, int] | None:
    found = re.fullmatch(r"axis(\d+)[-+]|button(\d+)|hat(\d+)(?:up|down|left|right)", name)
    if not found:
        return None
    kind = "axis" if found[1] else "button" if found[2] else "hat"
    return kind, int(found[1] or found[2] or found[3])
