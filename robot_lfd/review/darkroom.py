"""Darkroom: the process that simulates, draws and encodes what the review page shows; its policy drives there, too."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import sys
from functools import cached_property
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import robot_lfd
from robot_lfd.demos.store import DemoStore
from robot_lfd.errors import LfdError
from robot_lfd.review.beside import fly, kept_film, kept_still, time_for
from robot_lfd.review.clips import ClipMaker

POLITE = 5  # nice: the page goes first


def develop(pipe: Connection, recipe_text: str) -> None:
    """Answers until the pipe ends: takes a JSON list, a method's name and its arguments, gives JSON, then bytes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server hears Ctrl+C and then ends us
    signal.signal(signal.SIGTERM, _end)
    with contextlib.suppress(OSError):
        os.nice(POLITE)
    room = Darkroom(json.loads(recipe_text))
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            what, *args = json.loads(pipe.recv_bytes())
            try:
                made, about = getattr(room, what)(*args)
            except LfdError as error:
                pipe.send_bytes(json.dumps({"error": str(error)}).encode())
                continue
            pipe.send_bytes(json.dumps({"about": about}).encode())
            pipe.send_bytes(made)


def _end(number: int, _: Any) -> None:
    signal.signal(number, signal.SIG_IGN)  # what follows is not interrupted again
    sys.exit(0)


class Darkroom:
    """The simulators of the datasets under review, each started when it is first needed."""

    def __init__(self, recipe: dict[str, Any]) -> None:
        self.recipe = recipe
        stores = [DemoStore.open(path) for path in recipe["datasets"]]
        self.makers = [ClipMaker(s, recipe["camera"], recipe["size_px"]) for s in stores]

    @cached_property
    def policy(self) -> Any:
        """The policy that drives beside a person."""
        return robot_lfd.load_policy(self.recipe["policy"])

    def clip(self, dataset: int, episode_id: str, camera: str | None, size_px: int | None) -> tuple[bytes, str]:
        """Returns the film of an episode, and where its pictures come from."""
        clip = self.makers[dataset].clip(episode_id, camera, size_px)
        return clip.mp4, clip.note

    def still(self, dataset: int, episode_id: str) -> tuple[bytes, None]:
        """Returns the last picture of an episode."""
        return self.makers[dataset].still(episode_id), None

    def cameras(self, dataset: int) -> tuple[bytes, list[str]]:
        """Returns the cameras that a dataset can be seen through; there is nothing to show."""
        return b"", self.makers[dataset].cameras()

    def beside(self, dataset: int, episode_id: str) -> tuple[bytes, dict[str, Any]]:
        """Returns the film of what the policy does from an episode's first state, and how that ends."""
        maker = self.makers[dataset]
        episode = maker.store.recorded(episode_id)
        start = {"model": episode.model, "sim_state": episode.sim_state[0]}
        seed, limit = episode.meta.get("seed"), time_for(len(episode))
        view = {"camera": maker.camera, "size_px": maker.size_px}
        return kept_film(
            beside_folder(maker, self.policy), episode_id, maker.store.spec.control_hz,
            lambda: fly(maker.simulator(), self.policy, seed=seed, options=start, limit=limit, **view),
        )  # fmt: skip

    def film(self, checkpoint: str, folder: str, seed: int) -> tuple[bytes, dict[str, Any]]:
        """Returns the film of an evaluated episode, simulated again, and how it ended."""
        from robot_lfd.review.evaluation import again, film_name, policy_of

        policy, place = policy_of(checkpoint), Path(folder)
        name = film_name(checkpoint, seed)
        return kept_film(place, name, policy.control_hz, lambda: again(policy, seed, last_only=False))

    def end(self, checkpoint: str, folder: str, seed: int) -> tuple[bytes, None]:
        """Returns how an evaluated episode ended."""
        from robot_lfd.review.evaluation import again, film_name, policy_of

        name = film_name(checkpoint, seed)
        return kept_still(Path(folder), name, lambda: again(policy_of(checkpoint), seed, last_only=True)), None


def beside_folder(maker: ClipMaker, policy: Any) -> Path:
    """Returns where films of a policy from the starts of a dataset are kept."""
    judge = hashlib.sha256(str(policy.path.resolve()).encode()).hexdigest()[:12]
    return maker.store.path / "cache" / "review" / f"beside-{judge}-{maker.size_px}"
