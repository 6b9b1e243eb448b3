"""Studio: the one thread in which simulators and their graphics live; what a person waits for goes first."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from robot_lfd.errors import LfdError

R = TypeVar("R")
FILM, STILL = 0, 1  # a film is asked for by the episode that a person looks at, stills by a whole grid


class Studio:
    """Does one thing after the other, films before stills, each in the order asked."""

    def __init__(self) -> None:
        self._jobs: queue.PriorityQueue[tuple[int, int, Any, Any]] = queue.PriorityQueue()
        self._count = itertools.count()
        threading.Thread(target=self._work, name="studio", daemon=True).start()

    def do(self, make: Callable[[], R], rank: int = FILM) -> R:
        """Returns what `make` returns, or raises what it raises, once its turn has come."""
        future: Future[R] = Future()
        self._jobs.put((rank, next(self._count), make, future))
        return future.result()

    def close(self, last: Callable[[], None]) -> None:
        """Ends the thread after `last`; what still waits is given up."""
        self._jobs.put((-1, next(self._count), last, None))

    def _work(self) -> None:
        while True:
            _, _, make, future = self._jobs.get()
            if future is None:
                return self._give_up(make)
            try:
                future.set_result(make())
            except BaseException as error:  # handed to the asker
                future.set_exception(error)

    def _give_up(self, last: Callable[[], None]) -> None:
        last()
        while True:
            _, _, _, future = self._jobs.get()
            if future is not None:
                future.set_exception(LfdError("lfd review is ending"))
