"""Saving: a process of its own films and writes the episodes that were kept, while the next one is recorded.

The journal holds an episode until it is written, so that a crash of either process loses nothing.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import multiprocessing
import os
import queue
import signal
import threading
from collections import deque
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import gymnasium as gym
import numpy as np

from robot_lfd.demos.episode import Episode
from robot_lfd.demos.resimulate import first_difference, play_again
from robot_lfd.demos.store import DemoStore
from robot_lfd.envs.contract import arm_of
from robot_lfd.errors import LfdError

RETRY_S = 3.0  # between two tries to write, while the disk is full
TRIES = 2  # of one episode, where the process dies over it
FLAGS = ("success", "terminated", "truncated", "model", "meta")


@dataclass(frozen=True)
class Job:
    """An episode to write: its id, without pictures, the number of its attempt and its name in the journal."""

    id: str
    episode: Episode
    number: int
    reference: str | None


@dataclass(frozen=True)
class Saved:
    """An episode that is in the dataset; `replays`: whether it re-simulates exactly, None if nobody has tried."""

    id: str
    number: int
    replays: bool | None


class Saver(Protocol):
    """Writes what is kept.

    Attributes:
        waiting: episodes that are not written yet. share: of the present one's pictures that are drawn; NaN: none to
            draw. trouble: why it goes no further, "" while all is well. dead: it will go no further in this session.
    """

    waiting: int
    share: float
    trouble: str
    dead: bool

    def save(self, job: Job) -> None:
        """Takes an episode over."""
        ...

    def finished(self) -> list[Saved]:
        """Returns what has been written since the last call."""
        ...

    def close(self) -> None:
        """Ends it; what is not written yet stays in the journal."""
        ...


class SaveAtOnce:
    """Writes each episode before it returns: for sessions that keep no clock. Raises LfdError where it cannot."""

    waiting, share, trouble, dead = 0, math.nan, "", False

    def __init__(self, store: DemoStore) -> None:
        self._store = store
        self._saved: list[Saved] = []

    def save(self, job: Job) -> None:
        self._store.append(job.episode, episode_id=job.id, journal=job.reference)
        self._saved.append(Saved(job.id, job.number, job.episode.meta["verdict"]["replays"]))

    def finished(self) -> list[Saved]:
        saved, self._saved = self._saved, []
        return saved

    def close(self) -> None:
        """Has nothing to end."""


class SaveBeside:
    """Hands the episodes to a process of its own, one after the other. Nothing here waits for it.

    Args:
        dataset: its folder; the pictures that it asks for are drawn in that process.
    """

    def __init__(self, dataset: Path) -> None:
        self.waiting, self.share, self.trouble, self.dead = 0, math.nan, "", False
        self._dataset = dataset
        self._jobs: queue.Queue[Job | None] = queue.Queue()
        self._saved: deque[Saved] = deque()
        self._closing = False
        self._start()
        self._thread = threading.Thread(target=self._work, name="saving", daemon=True)
        self._thread.start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_live, args=(theirs, str(self._dataset)), daemon=True, name="saver")
        self._process.start()
        theirs.close()

    def save(self, job: Job) -> None:
        self.waiting += 1
        self._jobs.put(job)

    def finished(self) -> list[Saved]:
        saved = [self._saved.popleft() for _ in range(len(self._saved))]
        self.waiting -= len(saved)
        return saved

    def close(self) -> None:
        self._closing = True
        self._jobs.put(None)
        if self.waiting:
            self._process.terminate()
        self._thread.join(timeout=5.0)
        self._process.join(timeout=5.0)
        if self._process.is_alive():
            self._process.kill()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                self._saved.append(self._tried(job))
            except LfdError as error:
                self.trouble, self.dead = f"{error}; what you keep is safe in the journal", True
                break
        with contextlib.suppress(OSError):
            self._pipe.close()  # that ends it

    def _tried(self, job: Job) -> Saved:
        for _ in range(TRIES):
            with contextlib.suppress(EOFError, OSError):
                return self._written(job)
            if self._closing:
                break
            self._start()
        raise LfdError("the process that writes the episodes has died")

    def _written(self, job: Job) -> Saved:
        """Returns once the episode is in the dataset. Raises EOFError or OSError where the process has died."""
        _send(self._pipe, job)
        while True:
            said = json.loads(self._pipe.recv_bytes())
            if said["what"] == "saved":
                self.share, self.trouble = math.nan, ""
                return Saved(job.id, job.number, said["replays"])
            self.share, self.trouble = said.get("share", math.nan), said.get("trouble", "")
            if said["what"] == "failed":
                raise LfdError(self.trouble)


def _send(pipe: Connection, job: Job) -> None:
    episode = job.episode
    arrays = {n: np.ascontiguousarray(a) for n, a in episode.arrays().items()}
    shapes = [[n, a.dtype.str, a.shape] for n, a in arrays.items()]
    header = {"id": job.id, "reference": job.reference, "arrays": shapes, **{f: getattr(episode, f) for f in FLAGS}}
    pipe.send_bytes(json.dumps(header).encode())
    for array in arrays.values():
        pipe.send_bytes(array.tobytes())


def _receive(pipe: Connection) -> tuple[dict[str, Any], Episode]:
    header = json.loads(pipe.recv_bytes())
    arrays = {n: np.frombuffer(pipe.recv_bytes(), d).reshape(s) for n, d, s in header["arrays"]}
    steps = {n: arrays.pop(n) for n in ("action", "reward", "sim_state", "time", "intervention")}
    obs = {n.removeprefix("obs/"): a for n, a in arrays.items()}
    return header, Episode(obs=obs, **steps, **{f: header[f] for f in FLAGS})


def _live(pipe: Connection, dataset: str) -> None:
    """The other process: films and writes what comes in, until the recorder hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the recorder hears Ctrl-C and then closes us
    with contextlib.suppress(OSError):
        os.nice(10)  # after the control loop and what draws for the operator
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        darkroom = _Darkroom(pipe, DemoStore.open(Path(dataset)))
        while True:
            darkroom.work()


class _Darkroom:
    def __init__(self, pipe: Connection, store: DemoStore) -> None:
        self.pipe, self.store = pipe, store
        self.env: gym.Env | None = None

    def work(self) -> None:
        header, episode = _receive(self.pipe)
        try:
            episode = self.filmed(episode)
        except LfdError as error:
            self.tell("failed", trouble=f"the pictures could not be drawn: {error}")
            return
        self.append(episode, header)
        self.tell("saved", replays=episode.meta["verdict"]["replays"])

    def tell(self, what: str, **data: Any) -> None:
        self.pipe.send_bytes(json.dumps({"what": what, **data}).encode())

    def filmed(self, episode: Episode) -> Episode:
        """Lives through the episode once more: draws every instant that the dataset asks for, and compares."""
        spec, verdict = self.store.spec, episode.meta["verdict"]
        if not spec.cameras and verdict["replays"] is not None:
            return episode
        if self.env is None:
            self.env = spec.make_env(pictures=False, endless=True)
        arm, side, rows = arm_of(self.env), spec.size_px, len(episode) + 1
        pictures = {c: np.empty((rows, side, side, 3), np.uint8) for c in spec.cameras}
        ticks = itertools.count()

        def look() -> None:
            now = next(ticks)
            for camera in spec.cameras:
                pictures[camera][now] = arm.render_camera(camera, side, side)
            self.tell("drawn", share=now / (rows - 1))

        same = first_difference(episode, play_again(self.env, episode, look)) is None
        meta = {**episode.meta, "verdict": {**verdict, "replays": same}}
        return episode.replace(obs={**episode.obs, **{f"images/{c}": p for c, p in pictures.items()}}, meta=meta)

    def append(self, episode: Episode, header: dict[str, Any]) -> None:
        """Tries until it is written: the pictures need not be drawn again once there is space on the disk."""
        while header["id"] not in self.store:  # it may be, where this process has died over it before
            try:
                self.store.append(episode, episode_id=header["id"], journal=header["reference"])
            except LfdError as error:
                self.tell("waiting", trouble=str(error))
                if self.pipe.poll(RETRY_S):  # nothing is sent before an answer: the recorder has hung up
                    raise EOFError from error
