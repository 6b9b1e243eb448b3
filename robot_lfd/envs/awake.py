"""Threads that take turns in short pieces of work, and stay awake for a moment between two of them.

To wake a thread that sleeps takes some 25 us, and a step of an environment needs it up to four times: at its beginning,
at its end, and where two threads meet at Python's lock. That is a tenth of a robosuite step. So a worker, and whoever
waits for it, first looks at a number in memory for about `_ALERT` looks, without the lock, and sleeps only then.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any

import numpy as np
from numba import njit

from robot_lfd.envs.mujoco_calls import call

_ALERT = 400  # looks, half a microsecond each where nobody else wants the core; each gives way to whoever does
_HEAD_START = 30_000  # turns of `_linger`, some 50 us: what a worker needs to get to its compiled code


def cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def head_start() -> None:
    """Leaves Python's lock to workers that have just been given work, for as long as they need it."""
    _linger(_HEAD_START)


class AwakeWorker:
    """One thread that does one piece of work after another.

    Args:
        name: The thread's.
        awake: Whether to look before sleeping: worth it where every worker has a core.
    """

    def __init__(self, name: str, awake: bool) -> None:
        self._looks = _ALERT if awake else 0
        self._asked, self._answered = np.zeros(1, np.int64), np.zeros(1, np.int64)  # hints; the queues are what counts
        self._work: SimpleQueue[Callable[[], Any] | None] = SimpleQueue()
        self._answers: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self._thread = Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def begin(self, work: Callable[[], Any]) -> None:
        """Lets the thread begin; each `begin` wants one `result`."""
        self._work.put(work)
        self._asked[0] += 1

    def result(self) -> tuple[Any, BaseException | None]:
        """Waits, and returns what the work returned, or None and what it raised."""
        _look(self._answered, self._asked[0] - 1, self._looks, _GIVE_WAY)
        return self._answers.get()

    def close(self) -> None:
        """Ends the thread after what it was given."""
        self._work.put(None)
        self._thread.join()

    def _serve(self) -> None:
        done = 0
        while True:
            _look(self._asked, done, self._looks, _GIVE_WAY)
            work = self._work.get()
            if work is None:
                return
            try:
                answer = work(), None
            except BaseException as error:  # whoever asked raises it
                answer = None, error
            self._answers.put(answer)
            done += 1
            self._answered[0] = done


def _address_of_yield() -> int:
    """Returns where the system's function is that gives the rest of a thread's time away."""
    found = ctypes.windll.kernel32.SwitchToThread if sys.platform == "win32" else ctypes.CDLL(None).sched_yield
    return ctypes.cast(found, ctypes.c_void_p).value or 0


_GIVE_WAY = _address_of_yield()


@njit(cache=True, nogil=True)
def _look(number, known, times, give_way):
    """Looks at number[0] until it is no longer `known`, `times` times at most."""
    for _ in range(times):
        if number[0] != known:
            break
        call(give_way, ())


@njit(cache=True, nogil=True)
def _linger(turns):
    """Counts in a way that no compiler shortens (xorshift)."""
    number = np.uint64(88172645463325252)
    for _ in range(turns):
        number ^= number << np.uint64(13)
        number ^= number >> np.uint64(7)
        number ^= number << np.uint64(17)
    return number
