"""Real-time priority for the control thread, where the system allows it: other work cannot delay it then."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

LOWEST_PRIORITY = 1  # of the real-time ones: enough to go before everything ordinary


@contextlib.contextmanager
def urgent(wanted: bool = True) -> Iterator[bool]:
    """Lets the calling thread go first while it lasts, if root or the user's rtprio limit permits (Linux).

    Threads and processes started meanwhile stay ordinary. The kernel keeps 5 % of the time for everybody else.

    Yields:
        whether it was granted.
    """
    granted = wanted and _granted()
    try:
        yield granted
    finally:
        if granted:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def _granted() -> bool:
    if not hasattr(os, "sched_setscheduler"):
        return False
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(LOWEST_PRIORITY))
    except OSError:
        return False
    return True
