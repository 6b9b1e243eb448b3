"""The keyboard as a Device. It hears the events of the pygame window alone: no global hooks, no root rights."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pygame

from teleop.bindings import EVENTS, Bindings, load_table, make_bindings
from teleop.device import Command, Control

KEYS: dict[str, int] = {
    **{name[2:].lower(): getattr(pygame, name) for name in dir(pygame) if name.startswith("K_")},
}
NAMES = {code: name for name, code in KEYS.items()}


class KeyboardDevice:
    """A key held is a constant speed: only its press and its release count, never the system's key-repeat."""

    name = "keyboard"

    def __init__(self, bindings: Bindings) -> None:
        self.bindings = bindings
        self._held: set[str] = set()

    def see(self, obs: dict[str, np.ndarray]) -> None:
        """Ignores the observation: a person looks at the screen."""

    def read(self, events: Sequence[Any]) -> Command:
        """Returns what the keys say now; a key tapped within one control step counts for that step."""
        tapped: list[str] = []
        for event in events:
            if event.type == pygame.KEYDOWN and (name := NAMES.get(event.key)) and name not in self._held:
                tapped.append(name)
                self._held.add(name)
            elif event.type == pygame.KEYUP:
                self._held.discard(NAMES.get(event.key, ""))
            elif event.type == pygame.WINDOWFOCUSLOST:
                self._held.clear()  # the release would go to another window
        values = dict.fromkeys((*self._held, *tapped), 1.0)
        return self.bindings.command(values, tapped)

    def reset(self) -> None:
        """Forgets held keys."""
        self._held.clear()

    def controls(self) -> tuple[Control, ...]:
        """Returns every bound key and whether it is held."""
        return self.bindings.controls(dict.fromkeys(self._held, 1.0))

    def settings(self) -> dict[str, Any]:
        """Returns the bindings, key by key."""
        return {"bindings": dict(self.bindings.functions)}


def with_session_keys(own: tuple[Control, ...], keyboard: KeyboardDevice | None) -> tuple[Control, ...]:
    """Returns a device's own controls and, for what it has none for, the keys that work beside it."""
    mine = {c.function for c in own}
    keys = keyboard.controls() if keyboard else ()
    beside = (c for c in keys if c.function in EVENTS and c.function not in mine)
    return (*own, *(dataclasses.replace(c, beside=True) for c in beside))


def make_keyboard(user_file: Path | None = None) -> KeyboardDevice:
    """Returns the keyboard with the default bindings, the user's laid over them.

    Raises:
        TeleopError: the bindings are wrong.
    """
    table, source = load_table("keyboard", user_file)
    return KeyboardDevice(make_bindings(table, source, KEYS.__contains__, KEYS))
