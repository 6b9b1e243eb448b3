"""The action journal of a running session: from it alone an interrupted episode is built again by re-simulation.

Each line is handed to the system at once, so that it survives the death of the process, and a thread makes it durable
every second, so that a power cut costs at most a second. A lock on the file tells a running session from a dead one.
"""

from __future__ import annotations

import dataclasses
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
        self._saving: set[int] = set()
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

    def keep(self, episode_id: str, what: dict[str, Any]) -> int:
        """Notes that the person keeps the attempt, which is still to be written; durable when it returns.

        Args:
            episode_id: the name that the episode will have.
            what: all that a re-simulation cannot know of it (`Attempt.kept`).

        Returns:
            the number of the attempt, for `end` once the episode is committed.
        """
        self._write({"keep": {"number": self.attempt, "id": episode_id, **what}})
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise LfdError(f"the action journal cannot be written: {error.strerror}; episodes kept are safe") from error
        self._saving.add(self.attempt)
        self._open_attempt = False
        return self.attempt

    def end(self, number: int | None = None) -> None:
        """Notes that an attempt is over: its episode is committed, or was discarded on purpose.

        Args:
            number: of an attempt that was kept; without it, the attempt in progress.
        """
        if number is None:
            self._open_attempt = False
        else:
            self._saving.discard(number)
        self._write({"end": self.attempt if number is None else number})

    def close(self) -> None:
        """Ends the session. The file goes, unless it holds an attempt that may be wanted again."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._thread.join()
        if not self._open_attempt and not self._saving:
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
    """An attempt that was neither committed nor discarded: all it takes to build its episode again.

    Attributes:
        kept: None while it was in progress; else the person had kept it, and this is what was said of it: `id`,
            `success`, `terminated`, `truncated`, `time` (T, 2) and `meta`.
    """

    reference: str
    model: str  # hash of the model text, "" for none
    sim_state: np.ndarray  # (S,)
    seed: int | None
    actions: list[Any] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)
    kept: dict[str, Any] | None = None


def is_running(path: Path) -> bool:
    """Returns whether the session that writes this journal is alive."""
    with held(path, wait=False) as got:
        return not got


def open_attempt(path: Path) -> Attempt | None:
    """Returns the attempt in progress when the journal ended; None where there is nothing to build again.

    Raises:
        LfdError: a line before the last one is damaged; what stands behind it cannot be trusted.
    """
    return next((a for a in lost_attempts(path) if a.kept is None), None)


def lost_attempts(path: Path) -> list[Attempt]:
    """Returns the attempts that were kept and not written yet, oldest first, then the one in progress.

    Raises:
        LfdError: a line before the last one is damaged; what stands behind it cannot be trusted.
    """
    log = read_log(path)
    if log.damaged:
        raise LfdError(f"journal '{path.name}' is damaged in line {log.damaged[0]}; it cannot be played again")
    try:
        return _replayed(log.entries)
    except (KeyError, TypeError, ValueError) as error:
        raise LfdError(f"journal '{path.name}' is not one of ours: {error!r}") from error


def _replayed(entries: list[dict[str, Any]]) -> list[Attempt]:
    number, attempt = 0, None
    kept: dict[int, Attempt] = {}
    session, meta = "", {}
    for entry in entries:
        if "session" in entry:
            session, meta = entry["session"], entry["meta"]
        elif "begin" in entry:
            start = entry["begin"]
            number, state = start["number"], np.array(start["sim_state"], np.float64)
            attempt = Attempt(f"{session}/{number}", start["model"], state, start["seed"], meta=meta)
        elif "step" in entry and attempt is not None:
            attempt.actions.append(entry["step"])
            attempt.seconds.append(float(entry["t"]))
        elif "keep" in entry and attempt is not None:
            kept[number] = dataclasses.replace(attempt, kept=entry["keep"])
            attempt = None
        elif "end" in entry and kept.pop(entry["end"], None) is None:
            attempt = None
    running = [attempt] if attempt is not None and attempt.actions else []
    return [*kept.values(), *running]
