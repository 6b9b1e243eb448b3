"""Jobs on workers: a list of independent jobs in, their results in the same order out, whatever dies on the way."""

from __future__ import annotations

import contextlib
import math
import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from robot_lfd.errors import LfdError
from robot_lfd.scale.board import Board
from robot_lfd.scale.cluster import Cluster, joined

ATTEMPTS = 4  # the first one and three more
LOOK_S = 0.5  # between looks at the workers


class Progress(NamedTuple):
    """How far a job is: so many of so many pieces, and a few words."""

    done: int
    total: int
    note: str = ""


class Job(Protocol):
    """A piece of work that gives the same result wherever it runs, and that can be begun again without harm."""

    @property
    def name(self) -> str:
        """A few words for the table."""
        ...

    def run(self, desk: dict[str, Any]) -> Any:
        """Does the work. `desk` keeps what earlier jobs of the same process left there, such as an environment."""
        ...

    def progress(self) -> Progress:
        """Tells how far it is; asked from another thread while `run` runs."""
        ...

    def again(self) -> Job:
        """Returns the job that goes on where this one was when its worker died."""
        ...


class Seen(NamedTuple):
    """A look at a worker: which job of the list, in which process, how far."""

    index: int
    pid: int
    progress: Progress


class _Refused(NamedTuple):
    message: str


class _Worker:
    """A process that does one job after the other; becomes a Ray actor."""

    def __init__(self) -> None:
        self._desk: dict[str, Any] = {}
        self._job: Job | None = None

    def run(self, job: Job) -> Any:
        """Returns what the job comes to, or why it is refused."""
        self._job = job
        try:
            return job.run(self._desk)
        except LfdError as error:
            return _Refused(str(error))
        except Exception as error:
            return _Refused(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
        finally:
            self._job = None

    def look(self) -> tuple[int, Progress | None]:
        """Returns the process id and how far the job is."""
        job = self._job
        return os.getpid(), None if job is None else job.progress()


@dataclass
class _Running:
    index: int
    worker: Any
    look: Any = None  # a question that is not answered yet


def run_jobs(
    jobs: Sequence[Job], *, workers: int | None, address: str | None, title: str,
    on_look: Callable[[Seen], None] = lambda seen: None,
) -> list[Any]:  # fmt: skip
    """Returns the results of the jobs, in their order; shows a table of all of them while they run.

    A job whose worker dies is given to another one, as `again` says, up to three times.

    Args:
        workers: how many run at once. Default: the cores there are. address: of a Ray cluster; this machine without it.
        on_look: called with every look at a worker.

    Raises:
        LfdError: a job was refused, its worker died again and again, or there is no Ray to run on.
    """
    with joined(workers, address) as cluster, Board(title, [j.name for j in jobs]) as board:
        return _Crew(cluster, jobs, cluster.places(workers), board, on_look).run()


def pieces(count: int, workers: int) -> list[range]:
    """Returns how to cut `count` things into jobs, in order: large ones first, ever smaller ones towards the end.

    Each takes half of what would be left for a worker, so that all end at nearly the same time, whatever each thing
    takes, and few jobs are handed out.

    Source: Polychronopoulos & Kuck, "Guided Self-Scheduling", IEEE Trans. Computers 36 (1987) 1425-1439; they take the
    whole of what would be left, which here left the worker with the first piece behind.
    """
    found, first = [], 0
    while first < count:
        size = math.ceil((count - first) / (2 * workers))
        found.append(range(first, first + size))
        first += size
    return found


class _Crew:
    """Some workers and the jobs that wait for them."""

    def __init__(
        self, cluster: Cluster, jobs: Sequence[Job], size: int, board: Board, on_look: Callable[[Seen], None]
    ) -> None:
        self._ray, self._board, self._on_look = cluster.ray, board, on_look
        self._jobs = list(jobs)
        self._waiting = deque(range(len(jobs)))
        self._attempts = [1] * len(jobs)
        self._results: dict[int, Any] = {}
        self._running: dict[Any, _Running] = {}  # by the promise of the result
        groups = {"watch": 1}  # a thread of its own answers while the job runs
        self._make = self._ray.remote(num_cpus=1, max_restarts=0, concurrency_groups=groups)(_Worker)
        wanted = min(size, len(jobs))
        while len(cluster.idle) > wanted:  # they would keep cores from others
            self._ray.kill(cluster.idle.pop())
        self._idle = cluster.idle
        self._idle += [self._make.remote() for _ in range(wanted - len(self._idle))]

    def run(self) -> list[Any]:
        """Returns all results in order."""
        try:
            while len(self._results) < len(self._jobs):
                self._hand_out()
                done, _ = self._ray.wait(list(self._running), timeout=LOOK_S)
                for promise in done:
                    self._take(promise)
                self._look()
        finally:
            for ran in self._running.values():  # something failed, and nobody wants the rest
                with contextlib.suppress(Exception):
                    self._ray.kill(ran.worker)
        return [self._results[i] for i in range(len(self._jobs))]

    def _hand_out(self) -> None:
        while self._idle and self._waiting:
            worker, index = self._idle.pop(), self._waiting.popleft()
            self._running[worker.run.remote(self._jobs[index])] = _Running(index, worker)
            self._board.began(index, self._attempts[index])

    def _take(self, promise: Any) -> None:
        ran = self._running.pop(promise)
        try:
            result = self._ray.get(promise)
        except self._ray.exceptions.RayTaskError as error:  # a result that cannot travel: a fault of ours
            raise LfdError(f"{self._jobs[ran.index].name}: {str(error).strip().splitlines()[-1]}") from error
        except self._ray.exceptions.RayError as error:
            self._begin_again(ran, error)
            return
        self._idle.append(ran.worker)
        if isinstance(result, _Refused):
            self._board.ended(ran.index, ok=False)
            raise LfdError(result.message)
        self._results[ran.index] = result
        self._board.ended(ran.index, ok=True)

    def _begin_again(self, ran: _Running, error: Exception) -> None:
        index = ran.index
        if self._attempts[index] >= ATTEMPTS:
            reason = str(error).strip().splitlines()[0]
            raise LfdError(f"{self._jobs[index].name}: its worker died {ATTEMPTS} times; the last time: {reason}")
        self._attempts[index] += 1
        self._jobs[index] = self._jobs[index].again()
        self._waiting.appendleft(index)
        self._idle.append(self._make.remote())
        self._board.died(index)

    def _look(self) -> None:
        for ran in self._running.values():
            if ran.look is None:
                ran.look = ran.worker.look.options(concurrency_group="watch").remote()
                continue
            if not self._ray.wait([ran.look], timeout=0)[0]:
                continue
            question, ran.look = ran.look, None
            with contextlib.suppress(self._ray.exceptions.RayError):  # the job itself tells of a death
                pid, progress = self._ray.get(question)
                if progress is not None:
                    self._board.looked(ran.index, *progress)
                    self._on_look(Seen(ran.index, pid, progress))
        self._board.show()
