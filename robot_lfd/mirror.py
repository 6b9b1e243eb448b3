"""Mirror: a second process that lives through the same episode and draws it, so that drawing never delays a tick.

It makes the same environment and takes the same actions; an episode re-simulates bit for bit, so its world is ours. It
steps through whatever has come in, draws the newest instant alone, and takes a lower resolution where it is slow. Since
it has re-simulated everything, it can also say whether the episode replays exactly.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from robot_lfd.errors import LfdError

SIZES_PX = (128, 192, 256, 320, 400, 512)
TOO_SLOW_S, FAST_S = 0.07, 0.03  # for one picture: beyond this a smaller one, below it a larger one
INSET_SHARE = 0.5  # side of the inset beside the main picture's
STILL_S = 0.3  # after so long without a step there is time for sharp pictures
INSET_EVERY = 2  # the inset is drawn every other time


class Mirror:
    """The recorder's end. `states` waits for an answer; everything else returns at once.

    Args:
        recipe: env_id, env_kwargs, max_episode_steps, views (camera names, main first; () draws nothing),
            view_px (side of the main picture, None: as large as is fluent).

    Attributes:
        views: the cameras that it draws, main first.
        pictures: the newest picture by camera, (H, W, 3) uint8.
        error: why there are no pictures any more, "" while all is well.
    """

    def __init__(self, recipe: dict[str, Any]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_live, args=(theirs, json.dumps(recipe)), daemon=True, name="mirror")
        with _one_thread():
            self._process.start()
        theirs.close()
        self.views: tuple[str, ...] = tuple(recipe["views"])
        self.pictures: dict[str, np.ndarray] = {}
        self.error = ""
        self._asked = 0
        self._drawn: deque[float] = deque(maxlen=60)
        self._answers: queue.Queue[tuple[dict[str, Any], np.ndarray]] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True, name="mirror reader")
        self._reader.start()

    def reset(self, start: dict[str, Any], actions: Iterable[np.ndarray] = ()) -> None:
        """Starts an episode as `Tape.start()` says, and goes on by `actions`: a new one, or what an undo left."""
        options = start["options"]
        state = np.asarray(options["sim_state"], np.float64).tolist()
        begin = {"seed": start["seed"], "model": options["model"], "sim_state": state}
        self._tell("reset", {**begin, "actions": [np.asarray(a).tolist() for a in actions]})

    def step(self, action: np.ndarray) -> None:
        """Takes the same action."""
        self._tell("step", np.asarray(action).tolist())

    def states(self, timeout_s: float = 60.0) -> np.ndarray | None:
        """Returns the mirror's own simulator states, (T + 1, S), once it has caught up; None if it cannot say."""
        self._asked += 1
        self._tell("states", self._asked)
        deadline = time.perf_counter() + timeout_s
        while not self.error:
            try:
                header, states = self._answers.get(timeout=max(deadline - time.perf_counter(), 0.0))
            except queue.Empty:
                return None
            if header["asked"] == self._asked:  # else the answer to a question that nobody waited for
                return states
        return None

    def close(self) -> None:
        """Ends the process."""
        self._tell("close", None)
        self._process.join(timeout=2.0)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(timeout=2.0)
        self._reader.join(timeout=2.0)
        self._pipe.close()

    @property
    def picture_hz(self) -> float:
        """Main pictures a second, lately; NaN before there are any."""
        recent = [t for t in list(self._drawn) if t > time.perf_counter() - 2.0]
        return (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 2 else float("nan")

    def _tell(self, what: str, data: Any) -> None:
        with contextlib.suppress(OSError):  # its reader says why it has gone
            self._pipe.send_bytes(json.dumps([what, data]).encode())

    def _read(self) -> None:
        """Takes in what the mirror sends: a JSON header, then an array's bytes. A dead mirror costs only pictures."""
        try:
            while True:
                header = json.loads(self._pipe.recv_bytes())
                if header["what"] == "error":
                    self.error = header["message"]
                    return
                self._receive(header, np.frombuffer(self._pipe.recv_bytes(), header["dtype"]).reshape(header["shape"]))
        except (EOFError, OSError):
            self.error = self.error or "the picture process has ended; recording goes on without pictures"
        finally:
            self._answers.put(({"asked": 0}, np.empty(0)))  # nobody waits for ever

    def _receive(self, header: dict[str, Any], array: np.ndarray) -> None:
        if header["what"] != "picture":
            self._answers.put((header, array))
            return
        self.pictures = {**self.pictures, header["camera"]: array}
        if header["main"]:
            self._drawn.append(time.perf_counter())


def _live(pipe: Connection, recipe_text: str) -> None:
    """The other process: makes the world, then listens, steps and draws until told to close."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the recorder hears Ctrl-C and then closes us
    with contextlib.suppress(OSError):
        os.nice(5)  # the control loop goes first
    try:
        _World(pipe, json.loads(recipe_text)).live()
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        pass
    except LfdError as error:
        with contextlib.suppress(OSError):
            pipe.send_bytes(json.dumps({"what": "error", "message": str(error)}).encode())


class _World:
    def __init__(self, pipe: Connection, recipe: dict[str, Any]) -> None:
        from robot_lfd.envs.contract import arm_of
        from robot_lfd.envs.registry import make_env

        self.pipe, self.views = pipe, recipe["views"]
        limit, kwargs = recipe["max_episode_steps"], recipe["env_kwargs"]
        if recipe["env_id"].startswith("robosuite/"):  # for the eye alone, and the physics is the same
            kwargs = {"pictures": "fast", **kwargs}
        self.env = make_env(recipe["env_id"], max_episode_steps=limit, **kwargs)
        self.arm = arm_of(self.env)
        self.recorded: list[np.ndarray] = []
        self.start: dict[str, Any] = {}
        self.actions: list[Any] = []
        self.fixed: int | None = recipe.get("view_px")
        self.size = SIZES_PX.index(256)
        self.turn, self.stale, self.refined = 0, False, True

    def live(self) -> None:
        while True:
            while self.pipe.poll(0 if self.stale else None if self.refined else STILL_S):
                what, data = json.loads(self.pipe.recv_bytes())
                if what == "close":
                    return
                getattr(self, f"on_{what}")(data)
            self.draw() if self.stale else self.refine()

    def on_reset(self, data: dict[str, Any]) -> None:
        self.start, self.actions = data, []
        self.begin()
        self.recorded = [self.arm.sim_state()]
        self.stale = True
        for action in data["actions"]:
            self.on_step(action)

    def on_step(self, data: Any) -> None:
        self.actions.append(data)
        self.env.step(np.array(data, np.float32))
        self.recorded.append(self.arm.sim_state())
        self.stale = True

    def on_states(self, data: int) -> None:
        states = np.array(self.recorded, np.float64)
        self.send({"what": "states", "asked": data, "shape": states.shape}, states)

    def begin(self) -> None:
        state = np.array(self.start["sim_state"], np.float64)
        self.env.reset(seed=self.start["seed"], options={"model": self.start["model"], "sim_state": state})

    def draw(self) -> None:
        """Draws what is to be seen now, and learns from how long it took."""
        self.stale, self.refined = False, False
        side = self.fixed or SIZES_PX[self.size]
        for i, camera in enumerate(self.views):
            if i == 0:
                took = self.picture(camera, side, main=True)
                self.size = min(max(self.size + (took < FAST_S) - (took > TOO_SLOW_S), 0), len(SIZES_PX) - 1)
            elif self.turn % INSET_EVERY == 0:
                self.picture(camera, round(side * INSET_SHARE), main=False)
        self.turn += 1

    def refine(self) -> None:
        """Draws everything as sharp as it gets: nothing moves, so there is time."""
        self.refined = True
        for i, camera in enumerate(self.views):
            self.picture(camera, round(SIZES_PX[-1] * (INSET_SHARE if i else 1.0)), main=i == 0)

    def picture(self, camera: str, side: int, *, main: bool) -> float:
        start = time.perf_counter()
        picture = self.arm.render_camera(camera, side, side)
        took = time.perf_counter() - start
        self.send({"what": "picture", "camera": camera, "main": main, "shape": picture.shape}, picture)
        return took

    def send(self, header: dict[str, Any], array: np.ndarray) -> None:
        self.pipe.send_bytes(json.dumps({**header, "dtype": array.dtype.str}).encode())
        self.pipe.send_bytes(np.ascontiguousarray(array).tobytes())


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """The mirror's numerical libraries get one thread: it shares the machine with the control loop."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {n: os.environ.get(n) for n in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
