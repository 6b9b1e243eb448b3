"""Bindings: which key or button does what, read from TOML and checked before the first step."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from teleop.device import AXES, Command, Control, Event, TeleopError

try:
    import tomllib
except ImportError:  # Python 3.10
    import tomli as tomllib  # type: ignore[no-redef]

DRIVE: dict[str, tuple[int, float]] = {  # function -> index in AXES, sign
    "forward": (0, 1.0),
    "back": (0, -1.0),
    "left": (1, 1.0),
    "right": (1, -1.0),
    "up": (2, 1.0),
    "down": (2, -1.0),
    "roll_right": (3, 1.0),
    "roll_left": (3, -1.0),
    "pitch_down": (4, 1.0),
    "pitch_up": (4, -1.0),
    "turn_left": (5, 1.0),
    "turn_right": (5, -1.0),
    "close": (6, 1.0),
    "open": (6, -1.0),
}
HOLDS = ("slow", "clutch")
EVENTS = {event.value: event for event in Event}
SLOW_SHARE = 0.25  # of the set speed, while the slow key is held


@dataclass(frozen=True)
class Bindings:
    """Input name -> function name. A function may have several inputs, an input has one function."""

    functions: Mapping[str, str]
    source: str

    def command(self, values: Mapping[str, float], presses: Iterable[str], connected: bool = True) -> Command:
        """Returns the command that inputs say together.

        Args:
            values: input name -> 0..1; inputs that are not bound, or not there, count as let go.
            presses: inputs newly pressed since the last command, in order.
        """
        axes = np.zeros(len(AXES), np.float32)
        share = 1.0
        for name, function in self.functions.items():
            value = values.get(name, 0.0)
            if function in DRIVE:
                index, sign = DRIVE[function]
                axes[index] += sign * value
            elif function == "slow" and value > 0.5:
                share = SLOW_SHARE
            elif function == "clutch" and value > 0.5:
                share = 0.0
        axes[:6] *= share
        events = tuple(EVENTS[self.functions[p]] for p in presses if self.functions.get(p) in EVENTS)
        return Command(np.clip(axes, -1.0, 1.0), events, connected)

    def controls(self, values: Mapping[str, float]) -> tuple[Control, ...]:
        """Returns every bound input with its value, for the window to draw."""
        return tuple(Control(name, function, values.get(name, 0.0)) for name, function in self.functions.items())

    def event_inputs(self, event: Event) -> tuple[str, ...]:
        """Returns the inputs bound to a session event."""
        return tuple(name for name, function in self.functions.items() if function == event.value)


def load_table(device: str, user_file: Path | None = None) -> tuple[dict[str, Any], str]:
    """Returns the default table of a device with the user's lines laid over it, and what to call it in errors.

    Raises:
        TeleopError: the user's file is missing, is not TOML, or was written for another device.
    """
    text = resources.files("assets").joinpath("bindings", f"{device}.toml").read_text("utf-8")
    table = tomllib.loads(text)
    if user_file is None:
        return table, f"the default {device} bindings"
    try:
        mine = tomllib.loads(user_file.read_text("utf-8"))
    except OSError as error:
        raise TeleopError(f"bindings file {user_file}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TeleopError(f"bindings file {user_file} is not valid TOML: {error}") from error
    if mine.get("device", device) != device:
        raise TeleopError(
            f"bindings file {user_file} is for device '{mine['device']}', expected '{device}'; "
            f"choose it with --device {mine['device']}"
        )
    return _overlay(table, mine, str(user_file), ()), f"bindings file {user_file}"


def _overlay(table: dict[str, Any], mine: dict[str, Any], file: str, at: tuple[str, ...]) -> dict[str, Any]:
    result = dict(table)
    for key, value in mine.items():
        here = ".".join((*at, key))
        section = key in table and isinstance(table[key], dict)
        functions = at and at[-1] in ("drive", "session")
        if key not in table and not functions:
            raise TeleopError(f"bindings file {file}: unknown entry '{here}'; it may have: {', '.join(table)}")
        if isinstance(value, dict) != section:
            raise TeleopError(f"bindings file {file}: '{here}' should {'' if section else 'not '}be a section")
        result[key] = _overlay(table[key], value, file, (*at, key)) if section else value
    return result


def make_bindings(
    table: Mapping[str, Any], source: str, known_input: Callable[[str], bool], input_names: Iterable[str] = ()
) -> Bindings:
    """Returns the checked bindings of a table with the sections `drive` and `session`.

    Args:
        known_input: says whether a name is a key or button of the device.
        input_names: names to find near matches among, for the error.

    Raises:
        TeleopError: an unknown function or input, a function under the wrong section, two functions on one input.
    """
    functions: dict[str, str] = {}
    names = tuple(input_names)
    for section, known in (("drive", (*DRIVE, *HOLDS)), ("session", tuple(EVENTS))):
        for function, inputs in table.get(section, {}).items():
            if function not in known:
                raise TeleopError(f"{source}: unknown function '{function}' in [{section}]{_near(function, known)}")
            for name in _as_list(inputs, function, source):
                if not known_input(name):
                    raise TeleopError(f"{source}: {function} = '{name}': unknown key{_near(name, names)}")
                if name in functions:
                    raise TeleopError(
                        f"{source}: '{name}' is bound to both '{functions[name]}' and '{function}', "
                        'expected one function; change one of them or set it to ""'
                    )
                functions[name] = function
    return Bindings(functions, source)


def _as_list(inputs: Any, function: str, source: str) -> list[str]:
    names = [inputs] if isinstance(inputs, str) else inputs
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise TeleopError(f"{source}: {function} = {inputs!r}, expected the name of a key or a list of names")
    return [n for n in names if n]


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=4, cutoff=0.5)
    return f"; near matches: {', '.join(near)}" if near else ""
