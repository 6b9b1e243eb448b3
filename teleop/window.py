"""The one window: gives events to whoever drives, and draws a ViewModel."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pygame

from teleop import hud
from teleop.canvas import forget_fonts
from teleop.device import TeleopError
from teleop.view import ViewModel

SMALLEST = (640, 400)
LARGEST = (2880, 1800)  # drawing it takes 11 ms of a core
LONGEST_NOTE = 200
UNSEEN = ("offscreen", "dummy", "evdev")


class Window:
    """A resizable pygame window. Runs without a screen under SDL_VIDEODRIVER=dummy.

    Args:
        title: in the title bar.
        size: pixels; without it, most of the desktop.

    Raises:
        TeleopError: no display can be opened.
    """

    def __init__(self, title: str, size: tuple[int, int] | None = None) -> None:
        _check_display()
        try:
            pygame.display.init()
            pygame.font.init()
            pygame.display.set_caption(title)
            pygame.display.set_mode(size or _fitting_size(), pygame.RESIZABLE)
        except pygame.error as error:
            raise TeleopError(_no_display(str(error))) from error
        if pygame.display.get_driver() in UNSEEN and not os.environ.get("SDL_VIDEODRIVER"):
            pygame.display.quit()  # SDL falls back to a window that nobody sees
            raise TeleopError(_no_display(f"the display '{os.environ.get('DISPLAY', '')}' does not answer"))
        pygame.key.set_repeat()  # off: a key held is one press
        self.closed = False  # the person pressed the window's own close button
        self.note: str | None = None  # the text being written
        self._before, self._done = "", False

    def poll(self) -> Sequence[Any]:
        """Returns the events since the last call; while a note is written, its keys are not among them."""
        events = pygame.event.get()
        self.closed = self.closed or any(e.type == pygame.QUIT for e in events)
        return [e for e in events if not self._writes(e)]

    def write_note(self, text: str) -> None:
        """Begins to take keys for a note; `note` is the text so far, and `noted` says when it is done."""
        self.note, self._before, self._done = text, text, False
        pygame.key.start_text_input()

    def noted(self) -> str | None:
        """Returns the note once it is finished (Enter) or given up (Esc: as it was before), else None."""
        if self.note is None or not self._done:
            return None
        text, self.note = self.note, None
        pygame.key.stop_text_input()
        return text

    def _writes(self, event: Any) -> bool:
        if self.note is None or event.type not in (pygame.KEYDOWN, pygame.KEYUP, pygame.TEXTINPUT):
            return False
        if event.type == pygame.TEXTINPUT and not self._done:
            self.note = (self.note + event.text)[:LONGEST_NOTE]
        elif event.type == pygame.KEYDOWN and event.key == pygame.K_BACKSPACE:
            self.note = self.note[:-1]
        elif event.type == pygame.KEYDOWN and event.key in (pygame.K_RETURN, pygame.K_KP_ENTER, pygame.K_ESCAPE):
            self._done = True
            self.note = self._before if event.key == pygame.K_ESCAPE else self.note
        return event.type != pygame.KEYUP  # a release still has to reach the device

    def draw(self, model: ViewModel) -> None:
        """Shows `model`."""
        self.show(hud.draw, model)

    def show(self, draw: Callable[[pygame.Surface, Any], None], model: Any) -> None:
        """Shows what another drawing makes of its own model."""
        draw(pygame.display.get_surface(), model)
        pygame.display.flip()

    def save_picture(self, path: Path) -> None:
        """Writes what the window shows now to a PNG file."""
        pygame.image.save(pygame.display.get_surface(), str(path))

    def close(self) -> None:
        """Closes the window."""
        forget_fonts()
        pygame.display.quit()
        pygame.font.quit()


def _check_display() -> None:
    asked = os.environ.get("SDL_VIDEODRIVER")
    if sys.platform == "linux" and not asked and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise TeleopError(_no_display("neither DISPLAY nor WAYLAND_DISPLAY is set"))


def _no_display(why: str) -> str:
    return (
        f"no window can be opened: {why}; run it on a desktop, or under a virtual one (xvfb-run lfd record ...), "
        "or without a person: --device scripted"
    )


def _fitting_size() -> tuple[int, int]:
    width, height = pygame.display.get_desktop_sizes()[0]
    return max(SMALLEST[0], min(LARGEST[0], int(width * 0.94))), max(SMALLEST[1], min(LARGEST[1], int(height * 0.88)))
