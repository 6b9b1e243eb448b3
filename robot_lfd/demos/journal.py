"""The action journal of a running session: from it alone an interrupted episode is built again by re-simulation.

Each line is handed to the system at once, so that it survives the death of the process, and a thread makes it durable
every second, so that a power cut costs at most a second. A lock on the file tells a running session from a dead one.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from robot_lfd.demos.lines import encode_line, read_log
from robot_lfd.durable import held, sync_folder, write_all
from robot_lfd.errors import LfdError


class Journal:
    """Written by a recording session, beside the episodes.

    Args:
        path: a new file.
        session: its name; with the number of the attempt it tells which episode came from which attempt.
        keep_model: stores a model text durably and returns its hash.
        meta: who records with what: goes into an episode that is built again.
        flush_s: seconds between two fsyncs.
    """

    def __init__(
        self,
        path: Path,
        session: str,
        keep_model: Callable[[str], str],
        meta: dict[str, Any] | None = None,
        flush_s: float = 1.0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.path, self.session, self.attempt = path, session, 0
        self._keep_model, self._clock = keep_model, clock
        self._open_attempt = False
        self._start = 0.0
        self._failed: OSError | None = None
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        with suppress(OSError):  # a network disk may know no locks
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._write({"session": session, "meta": meta or {}})
        sync_folder(path.parent)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._flush_every, args=(flush_s,), daemon=True, name="journal")
        self._thread.start()

    @property
    def reference(self) -> str | None:
        """Names the attempt in progress, `<session>/<number>`; None between `end` and `begin`."""
        return f"{self.session}/{self.attempt}" if self._open_attempt else None

    def begin(self, model: str, sim_state: np.ndarray, seed: int | None) -> None:
        """Notes that an attempt began; one that was not ended before is given up (undo, another try)."""
        self.attempt += 1
        start = {"number": self.attempt, "model": self._keep_model(model), "seed": seed}
        self._write({"begin": {**start, "sim_state": np.asarray(sim_state, np.float64).tolist()}})
        self._open_attempt, self._start = True, self._clock()

    def step(self, action: np.ndarray) -> None:
        """Notes an action, exactly as the environment gets it."""
        values = np.asarray(action).tolist()  # a float32 is exact as a Python float and in its decimal text
        self._write({"step": values, "t": round(self._clock() - self._start, 6)})

    def end(self) -> None:
        """Notes that the attempt is over: call it when the episode is committed, or was discarded on purpose."""
        self._open_attempt = False
        self._write({"end": self.attempt})

    def close(self) -> None:
        """Ends the session. The file goes, unless an attempt is still open and may be wanted again."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._thread.join()
        if not self._open_attempt:
            self.path.unlink(missing_ok=True)
        os.close(self._fd)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _write(self, entry: dict[str, Any]) -> None:
        if self._failed is not None:
            raise LfdError(f"the action journal cannot be written: {self._failed.strerror}; episodes kept are safe")
        try:
            write_all(self._fd, encode_line(entry))
        except OSError as error:
            raise LfdError(f"the action journal cannot be written: {error.strerror}; episodes kept are safe") from error

    def _flush_every(self, period_s: float) -> None:
        closing = False
        while not closing:
            closing = self._closing.wait(period_s)
            try:
                os.fsync(self._fd)
            except OSError as error:
                self._failed = error
                return


@dataclass(frozen=True)
class Attempt:
    """An attempt that was neither committed nor discarded: all it takes to build its episode again."""

    reference: str
    model: str  # hash of the model text, "" for none
    sim_state: np.ndarray  # (S,)
    seed: int | None
    actions: list[Any] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)


def is_running(path: Path) -> bool:
    """Returns whether the session that writes this journal is alive."""
    with held(path, wait=False) as got:
        return not got


def open_attempt(path: Path) -> Attempt | None:
    """Returns the attempt in progress when the journal ended; None where there is nothing to build again.

    Raises:
        LfdError: a line before the last one is damaged; what stands behind it cannot be trusted.
    """
    log = read_log(path)
    if log.damaged:
        raise LfdError(f"journal '{path.name}' is damaged in line {log.damaged[0]}; it cannot be played again")
    attempt: Attempt | None = None
    session, meta = "", {}
    try:
        for entry in log.entries:
            if "session" in entry:
                session, meta = entry["session"], entry["meta"]
            elif "begin" in entry:
                start = entry["begin"]
                state = np.array(start["sim_state"], np.float64)
                attempt = Attempt(f"{session}/{start['number']}", start["model"], state, start["seed"], meta=meta)
            elif "step" in entry and attempt is not None:
                attempt.actions.append(entry["step"])
                attempt.seconds.append(float(entry["t"]))
            elif "end" in entry:
                attempt = None
    except (KeyError, TypeError, ValueError) as error:
        raise LfdError(f"journal '{path.name}' is not one of ours: {error!r}") from error
    return attempt if attempt is not None and attempt.actions else None
