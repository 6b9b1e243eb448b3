"""Which attempts a crash has left in a dataset's journals."""

from __future__ import annotations

from pathlib import Path

from robot_lfd.demos.journal import Attempt, is_running, open_attempt
from robot_lfd.demos.store import JOURNAL, DemoStore
from robot_lfd.errors import LfdError


def unfinished_attempts(store: DemoStore) -> list[tuple[Path, Attempt]]:
    """Returns the journals of dead sessions, oldest first, with the attempt each was in when it ended.

    An attempt that was committed just before the crash is not unfinished. A damaged journal is left to repair.
    """
    committed = {store.attributes(i).get("journal") for i in store.ids(deleted=True)}
    found: list[tuple[Path, Attempt]] = []
    for path in sorted((store.path / JOURNAL).glob("*.jsonl")):
        try:
            attempt = None if is_running(path) else open_attempt(path)
        except (LfdError, OSError):
            continue
        if attempt is not None and attempt.reference not in committed:
            found.append((path, attempt))
    return found
