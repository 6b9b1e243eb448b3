"""Beside: what a policy does from a start that a person had, or from a seed of an evaluation, simulated and filmed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from robot_lfd.envs.contract import arm_of
from robot_lfd.review.clips import still_of
from robot_lfd.rollout import rollout
from robot_lfd.video import encode_mp4

MORE_STEPS, MORE_TIMES = 100, 2.0  # a policy gets the longer of: so many steps more than the person, twice the time
QUALITY = 26
GALLERY_PX = 160


@dataclass(frozen=True)
class Flown:
    """What a policy made of a start: `steps` + 1 pictures (empty where none were asked for), and how it ended."""

    frames: list[np.ndarray]
    success: bool
    steps: int

    def about(self) -> dict[str, Any]:
        """Returns how it ended, for the page."""
        return {"success": self.success, "steps": self.steps}


def fly(
    env: gym.Env,
    policy: Any,
    *,
    seed: int | None,
    options: dict[str, Any] | None = None,
    limit: int | None = None,
    camera: str | None = None,
    size_px: int = GALLERY_PX,
    last_only: bool = False,
) -> Flown:
    """Returns what the policy does from a start, at most `limit` steps of it.

    Args:
        options: a recorded first state, as `env.reset` takes it.
        last_only: keep one picture, of the end.
    """
    arm, frames, success, count = arm_of(env), [], False, 0

    def look() -> np.ndarray:
        return arm.render_camera(camera or arm.camera_names[0], size_px, size_px)

    class Seen:
        """The policy; the world is looked at before each of its answers."""

        def reset(self) -> None:
            policy.reset()

        def act(self, obs: dict[str, np.ndarray]) -> np.ndarray:
            if not last_only:
                frames.append(look())
            return policy.act(obs)

    for step in itertools.islice(rollout(env, Seen(), seed=seed, options=options), limit):
        success, count = bool(step.info.get("is_success", False)), count + 1
    frames.append(look())
    return Flown(frames, success, count)


def time_for(steps: int) -> int:
    """Returns how many steps a policy gets beside a demo of `steps`."""
    return max(steps + MORE_STEPS, round(MORE_TIMES * steps))


def read_film(folder: Path, name: str) -> tuple[bytes, dict[str, Any]] | None:
    """Returns a film that was made before, and how it ended; None where there is none."""
    with suppress(OSError, ValueError):
        return (folder / f"{name}.mp4").read_bytes(), json.loads((folder / f"{name}.json").read_text())
    return None


def kept_film(folder: Path, name: str, control_hz: float, make: Callable[[], Flown]) -> tuple[bytes, dict[str, Any]]:
    """Returns the film and how it ended, from `folder` where it was made before; kept there if it can be."""
    kept = read_film(folder, name)
    if kept is not None:
        return kept
    flown = make()
    mp4 = encode_mp4(flown.frames, control_hz, quality=QUALITY)
    with suppress(OSError):  # a cache on a read-only or full disk is no reason to show nothing
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.mp4").write_bytes(mp4)
        part = folder / f"{name}.json.part"
        part.write_text(json.dumps(flown.about()))
        part.replace(folder / f"{name}.json")  # last: it says that the film is whole
    return mp4, flown.about()


def read_still(folder: Path, name: str) -> bytes | None:
    """Returns a last picture that was made before; None where there is none."""
    with suppress(OSError):
        return (folder / f"{name}.jpg").read_bytes()
    return None


def kept_still(folder: Path, name: str, make: Callable[[], Flown]) -> bytes:
    """Returns the last picture as a JPEG, from `folder` where it was made before."""
    kept = read_still(folder, name)
    if kept is not None:
        return kept
    picture = still_of(make().frames[-1])
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.jpg").write_bytes(picture)
    return picture
