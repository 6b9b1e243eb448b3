"""Devices by name: what a person, or a script in a person's place, drives the arm with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from robot_lfd.errors import LfdError
from teleop.device import Device, TeleopError


def make_device(name: str, bindings: Path | None = None, env_id: str = "", seed: int = 0) -> Any:
    """Returns a device, read through teleop.device.Device; one with a `close` wants it called at the end.

    Args:
        name: keyboard, gamepad, spacemouse or scripted.
        bindings: the person's own.
        env_id, seed: what the scripted operator does.

    Raises:
        LfdError: it is not plugged in, a library is missing, or the bindings are wrong.
    """
    try:
        return _make(name, bindings, env_id, seed)
    except (TeleopError, ValueError) as error:
        raise LfdError(str(error)) from error


def _make(name: str, bindings: Path | None, env_id: str, seed: int) -> Device:
    if name == "scripted":
        from teleop.scripted import make_scripted_operator

        return make_scripted_operator(env_id, seed)
    from teleop.keyboard import make_keyboard

    if name == "keyboard":
        return make_keyboard(bindings)
    if name == "spacemouse":
        from teleop.spacemouse import SpaceMouseDevice

        return SpaceMouseDevice(bindings, keyboard=make_keyboard())
    from teleop.calibration import load_centres
    from teleop.gamepad import GamepadDevice

    return GamepadDevice(bindings, keyboard=make_keyboard(), centres=load_centres())
