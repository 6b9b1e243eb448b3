"""Studio: asks the process that simulates and draws, one thing after the other; what a person waits for goes first."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import queue
import threading
from concurrent.futures import Future
from typing import Any

from robot_lfd.config import ReviewConfig
from robot_lfd.errors import LfdError
from robot_lfd.review.darkroom import develop

ENDS_S = 2.0  # what the process may take to end
FILM, STILL = 0, 1  # a film is asked for by the episode that a person looks at, stills by a whole grid
Made = tuple[bytes, Any]  # a film or a still, and what there is to say of it


class Studio:
    """Films before stills, each in the order asked. The process is started when something is first asked for.

    It is a process because a simulator holds Python's lock while it draws: in a thread, every page that is turned
    during a film took half a second and more.
    """

    def __init__(self, config: ReviewConfig) -> None:
        paths = {"datasets": config.datasets, "runs": config.runs}
        self._recipe = json.dumps(
            {k: [str(p) for p in v] for k, v in paths.items()}
            | {"policy": str(config.policy) if config.policy else None}
            | {"camera": config.camera, "size_px": config.size_px}
        )
        self._jobs: queue.PriorityQueue[tuple[int, int, Any, Any]] = queue.PriorityQueue()
        self._count = itertools.count()
        self._process: Any = None
        self._pipe: Any = None
        self._closing = False
        threading.Thread(target=self._work, name="studio", daemon=True).start()

    def ask(self, what: str, *args: Any, rank: int = FILM) -> Future[Made]:
        """Returns the future of a job: `what` names a method of the process's Darkroom. Cancel it while it waits.

        The future raises LfdError where the job cannot be done.
        """
        future: Future[Made] = Future()
        self._jobs.put((rank, next(self._count), [what, *args], future))
        return future

    def close(self) -> None:
        """Ends the process; what still waits is given up."""
        self._closing = True
        self._jobs.put((-1, next(self._count), None, None))
        if self._process is not None:
            self._process.terminate()

    def _work(self) -> None:
        while True:
            _, _, job, future = self._jobs.get()
            if future is None:
                return self._give_up()
            if not future.set_running_or_notify_cancel():
                continue  # nobody waits for it any more
            try:
                future.set_result(self._done(job))
            except LfdError as error:
                future.set_exception(error)

    def _done(self, job: list[Any]) -> Made:
        try:
            self._start()
            self._pipe.send_bytes(json.dumps(job).encode())
            said = json.loads(self._pipe.recv_bytes())
            if "error" in said:
                raise LfdError(said["error"])
            return self._pipe.recv_bytes(), said["about"]
        except (EOFError, OSError) as error:
            self._stop()
            raise LfdError("the simulator has ended unexpectedly; ask again to start it anew") from error

    def _start(self) -> None:
        if self._process is not None:
            return
        if self._closing:
            raise LfdError("lfd review is ending")
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=develop, args=(theirs, self._recipe), daemon=True, name="darkroom")
        self._process.start()
        theirs.close()

    def _stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.join(timeout=ENDS_S)
            self._process.kill()
            self._pipe.close()
        self._process = None

    def _give_up(self) -> None:
        self._stop()
        while True:
            _, _, _, future = self._jobs.get()
            if future is not None and future.set_running_or_notify_cancel():
                future.set_exception(LfdError("lfd review is ending"))
