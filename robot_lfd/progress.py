"""ProgressStage: what surrounds a session that nobody watches: a progress bar on stderr."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from robot_lfd.demos.episode import Episode
from robot_lfd.session import Session

SHOW_EVERY = 20  # steps


class ProgressStage:
    """Counts kept episodes and steps."""

    def __init__(self, episodes: int) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._progress.add_task("recording", total=episodes)
        self._progress.start()
        self._steps = 0

    def began(self, start: dict[str, Any], actions: Sequence[np.ndarray]) -> None:
        """Needs no notice of a new episode."""

    def stepped(self, action: np.ndarray) -> None:
        """Counts a step."""
        self._steps += 1

    def show(self, session: Session) -> None:
        """Moves the bar now and then."""
        if self._steps % SHOW_EVERY == 0:
            solved = sum(k.success for k in session.kept)
            text = f"recording  {self._steps} steps, {solved} solved"
            self._progress.update(self._task, completed=len(session.kept), description=text)

    def cue(self, name: str) -> None:
        """Stays silent."""

    def write_note(self, text: str) -> None:
        """Nobody is there to write."""

    def noted(self) -> str | None:
        """Returns the empty note."""
        return ""

    def asked_to_close(self) -> bool:
        """Returns False: there is nothing to close."""
        return False

    def replays(self, episode: Episode) -> bool | None:
        """Returns None: nobody has tried."""
        return None

    def close(self) -> None:
        """Takes the bar away."""
        self._progress.stop()
