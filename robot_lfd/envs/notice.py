"""A line for whoever waits: said only when something takes longer than usual."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def notice(line: str, after_s: float = 3.0) -> Iterator[None]:
    """Says `line` on stderr once the body has taken longer than `after_s`."""
    timer = threading.Timer(after_s, lambda: print(f"lfd: {line}", file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
