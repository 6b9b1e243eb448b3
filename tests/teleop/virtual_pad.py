"""A gamepad without hardware: SDL's virtual joystick, attached to the very SDL that pygame has loaded."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pygame

GAMECONTROLLER, UNKNOWN = 1, 0
AXES = ("leftx", "lefty", "rightx", "righty", "lefttrigger", "righttrigger")
BUTTONS = ("a", "b", "x", "y", "back", "guide", "start", "leftstick", "rightstick", "leftshoulder", "rightshoulder")


def _sdl() -> ctypes.CDLL:
    library = next((Path(pygame.__file__).parent.parent / "pygame.libs").glob("libSDL2-2*.so*"))
    sdl = ctypes.CDLL(str(library))
    sdl.SDL_JoystickOpen.restype = ctypes.c_void_p
    sdl.SDL_JoystickClose.argtypes = [ctypes.c_void_p]
    sdl.SDL_JoystickSetVirtualAxis.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int16]
    sdl.SDL_JoystickSetVirtualButton.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint8]
    return sdl


class VirtualPad:
    """Plugs a pad in; `unplug` takes it out again. pygame.joystick must be running."""

    def __init__(self, kind: int = GAMECONTROLLER, axes: int = 6, buttons: int = 15, hats: int = 0) -> None:
        self._sdl = _sdl()
        self.plugged = True
        self.index = self._sdl.SDL_JoystickAttachVirtual(kind, axes, buttons, hats)
        assert self.index >= 0, "SDL attaches no virtual joystick"
        self._handle = self._sdl.SDL_JoystickOpen(self.index)

    def axis(self, name: str | int, value: float) -> None:
        """Pushes an axis to -1..1; it takes effect when pygame next pumps its events."""
        number = AXES.index(name) if isinstance(name, str) else name
        self._sdl.SDL_JoystickSetVirtualAxis(self._handle, number, round(value * 32767))

    def button(self, name: str | int, down: bool) -> None:
        """Presses or lets go of a button."""
        number = BUTTONS.index(name) if isinstance(name, str) else name
        self._sdl.SDL_JoystickSetVirtualButton(self._handle, number, int(down))

    def unplug(self) -> None:
        """Takes the pad out; doing it twice does no harm."""
        if not self.plugged:
            return
        self.plugged = False
        self._sdl.SDL_JoystickDetachVirtual(self.index)
        self._sdl.SDL_JoystickClose(self._handle)
