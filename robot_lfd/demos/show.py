"""Progress bars of the data commands, on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Advance(Protocol):
    """Called when so many more pieces are done."""

    def __call__(self, pieces: int = 1) -> None: ...


@contextmanager
def progress(words: str, total: int) -> Iterator[Advance]:
    """Gives a function to call as pieces get done; the bar is on stderr, and only where that is a terminal."""
    columns = (TextColumn(words), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=total)
        yield lambda pieces=1: bar.update(task, advance=pieces)
