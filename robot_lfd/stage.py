"""Stage: what a session asks of its surroundings, a window with pictures or a progress bar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from robot_lfd.demos.episode import Episode

if TYPE_CHECKING:
    from robot_lfd.session import Session


class Stage(Protocol):
    """What surrounds a session: a window with pictures, or a progress bar."""

    def began(self, start: dict[str, Any], actions: Sequence[np.ndarray]) -> None:
        """Told of a new episode by the keywords of its reset, and of one that an undo has cut, with what is left."""
        ...

    def stepped(self, action: np.ndarray) -> None:
        """Told of each step."""
        ...

    def show(self, session: Session) -> None:
        """Draws. Called in every tick, also while nothing is recorded."""
        ...

    def cue(self, name: str) -> None:
        """Gives a sign that can be heard: one of teleop.sounds.CUES."""
        ...

    def write_note(self, text: str) -> None:
        """Begins to take a note from the person."""
        ...

    def noted(self) -> str | None:
        """Returns the note once it is finished."""
        ...

    def asked_to_close(self) -> bool:
        """Returns, once, whether the person has pressed the window's close button."""
        ...

    def replays(self, episode: Episode) -> bool | None:
        """Returns whether an episode re-simulates exactly, None if nobody has tried. Called off the control loop."""
        ...
