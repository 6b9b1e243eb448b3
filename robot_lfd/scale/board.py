"""Board: one table of all jobs on workers, on stderr; where that is no terminal, a line for each change."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

SHOWN = 24  # rows; of more jobs those that run come first


@dataclass
class Row:
    """What is known of a job."""

    name: str
    state: str = "waiting"
    done: int = 0
    total: int = 0
    note: str = ""
    attempt: int = 1
    began: float = 0.0
    seconds: float = 0.0


class Board:
    """Shows jobs by their number in the list; used as a context."""

    def __init__(self, title: str, names: Sequence[str], console: Console | None = None) -> None:
        self.title, self.rows = title, [Row(name) for name in names]
        self._console = console or Console(stderr=True, highlight=False)
        self._live = Live(console=self._console, transient=True, auto_refresh=False)

    def __enter__(self) -> Board:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._console.is_terminal:
            self._live.stop()
            self._console.print(self.table())

    def began(self, index: int, attempt: int) -> None:
        """A worker has taken the job."""
        row = self.rows[index]
        row.state, row.attempt, row.began = "running", attempt, time.monotonic()
        self._say(row, "begins" if attempt == 1 else f"begins again, attempt {attempt}")

    def looked(self, index: int, done: int, total: int, note: str) -> None:
        """The job is so far."""
        row = self.rows[index]
        row.done, row.total, row.note = done, total, note
        row.seconds = time.monotonic() - row.began

    def ended(self, index: int, *, ok: bool, early: bool = False) -> None:
        """The job is over; `early`: it was stopped before its end, as it should be."""
        row = self.rows[index]
        row.state, row.seconds = "done" if ok else "refused", time.monotonic() - row.began
        if early:
            row.state = "stopped early"
        elif ok:
            row.done = row.total
        self._say(row, f"{row.state} after {row.seconds:.0f} s")

    def died(self, index: int) -> None:
        """The job's worker died."""
        row = self.rows[index]
        row.state, row.seconds = "waiting", 0.0
        self._say(row, "its worker died")

    def show(self) -> None:
        """Draws the table anew."""
        if self._console.is_terminal:
            self._live.update(self.table(), refresh=True)

    def table(self) -> RenderableType:
        """Returns the table as it stands."""
        ended = sum(r.state in ("done", "stopped early") for r in self.rows)
        table = Table(title=f"{self.title}: {ended} of {len(self.rows)} done", title_justify="left")
        for heading in ("job", "state", "", "pieces", "", "time"):
            table.add_column(heading, justify="right" if heading in ("pieces", "time") else "left", no_wrap=True)
        order = {"running": 0, "refused": 1, "waiting": 2, "done": 3, "stopped early": 4}
        shown = self.rows
        if len(shown) > SHOWN:
            shown = sorted(shown, key=lambda r: order[r.state])[:SHOWN]
        for row in shown:
            state = row.state if row.attempt == 1 else f"{row.state}, attempt {row.attempt}"
            bar = ProgressBar(total=max(row.total, 1), completed=row.done, width=20)
            pieces = f"{row.done}/{row.total}" if row.total else ""
            table.add_row(row.name, state, bar, pieces, row.note, f"{row.seconds:.0f} s" if row.seconds else "")
        if len(self.rows) > SHOWN:
            table.caption = f"and {len(self.rows) - SHOWN} more"
        return table

    def _say(self, row: Row, words: str) -> None:
        if not self._console.is_terminal:
            self._console.print(f"{self.title}: {row.name}: {words}")
