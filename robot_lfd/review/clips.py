"""Clips: a video and a still of each episode, from stored pictures or re-simulated, kept in the dataset's cache."""

from __future__ import annotations

import json
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from robot_lfd.demos.episode import Episode
from robot_lfd.demos.resimulate import first_difference
from robot_lfd.envs.contract import arm_of
from robot_lfd.errors import LfdError
from robot_lfd.replay import replay_env, replay_episode
from robot_lfd.video import encode_mp4

if TYPE_CHECKING:
    import gymnasium as gym

    from robot_lfd.demos.store import DemoStore

QUALITY = 26  # x264: a 10 s episode of 256 px takes about 40 kB
STILL_PX = 256


@dataclass(frozen=True)
class Clip:
    """The film of a whole episode, T + 1 pictures at the control rate, before any trim.

    Attributes:
        mp4: H.264; empty where there are no pictures to be had.
        still: the last picture as a JPEG; empty like `mp4`.
        camera: whose pictures.
        note: where they come from, or why there are none, in plain words; "" for stored pictures.
    """

    mp4: bytes
    still: bytes
    camera: str
    note: str


@dataclass(frozen=True)
class View:
    """A camera (None: the first stored one, else the main one), a size, and whether stored pictures will do."""

    camera: str | None
    size_px: int
    stored: bool


class ClipMaker:
    """Makes the clips of a dataset; the simulator is started when the first one needs it.

    Args:
        camera: stored pictures of it, else re-simulated ones; without it the first stored camera, else the main one.
        size_px: of re-simulated pictures.
    """

    def __init__(self, store: DemoStore, camera: str | None, size_px: int) -> None:
        self.store, self.camera, self.size_px = store, camera, size_px
        self._stack = ExitStack()
        self._env: gym.Env | None = None

    def __enter__(self) -> ClipMaker:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def clip(self, episode_id: str, camera: str | None = None, size_px: int | None = None) -> Clip:
        """Returns the clip of an episode, from the cache where it was made before.

        Args:
            camera: another one than the maker's. size_px: of pictures that are simulated again, stored ones or not.
        """
        kept = self.kept(episode_id, camera, size_px)
        if kept is None:
            view = self._view(camera, size_px)
            kept = self._make(self.store.recorded(episode_id), view)
            _keep(self.folder(view), episode_id, kept)
        return kept

    def kept(self, episode_id: str, camera: str | None = None, size_px: int | None = None) -> Clip | None:
        """Returns the clip that was made before; None where there is none."""
        return _read(self.folder(self._view(camera, size_px)), episode_id)

    def _view(self, camera: str | None, size_px: int | None) -> View:
        return View(camera or self.camera, self.size_px if size_px is None else size_px, size_px is None)

    def shown(self) -> list[str]:
        """Returns the cameras that are shown side by side: the one that was asked for, else all stored ones."""
        stored = [k.removeprefix("images/") for k in self.store.spec.features if k.startswith("images/")]
        return [self.camera] if self.camera else stored

    def cameras(self) -> list[str]:
        """Returns every camera that an episode can be seen through; the first is the one shown without being asked."""
        stored = [k.removeprefix("images/") for k in self.store.spec.features if k.startswith("images/")]
        try:
            known = list(arm_of(self.simulator()).camera_names)
        except LfdError:
            known = []
        return list(dict.fromkeys([*self.shown(), *stored, *known]))

    def still(self, episode_id: str) -> bytes:
        """Returns the last picture alone as a JPEG, without drawing the rest; empty where there is none."""
        kept = self.kept_still(episode_id)
        if kept is not None:
            return kept
        folder = self.folder(self._view(None, None))
        found = self._last_picture(self.store.recorded(episode_id))
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{episode_id}.still.jpg").write_bytes(found)
        return found

    def kept_still(self, episode_id: str) -> bytes | None:
        """Returns the still that was made before; None where there is none."""
        folder = self.folder(self._view(None, None))
        for path in (folder / f"{episode_id}.jpg", folder / f"{episode_id}.still.jpg"):
            with suppress(OSError):
                return path.read_bytes()
        return None

    def _last_picture(self, episode: Episode) -> bytes:
        stored = next((k for k in episode.obs if k.startswith("images/") and self.camera in (None, k[7:])), None)
        if stored is not None:
            return still_of(episode.obs[stored][-1])
        try:
            env = self.simulator()
            replay_episode(env, episode)
            arm = arm_of(env)
            return still_of(arm.render_camera(self.camera or arm.camera_names[0], STILL_PX, STILL_PX))
        except LfdError:
            return b""

    def folder(self, view: View) -> Path:
        """Where clips of this camera and size are kept."""
        drawn = "" if view.stored else "-drawn"
        return self.store.path / "cache" / "review" / f"{view.camera or 'main'}-{view.size_px}{drawn}"

    def _make(self, episode: Episode, view: View) -> Clip:
        stored = [c.removeprefix("images/") for c in episode.obs if c.startswith("images/")]
        camera = view.camera or (stored[0] if stored and view.stored else None)
        if camera in stored and view.stored:
            return self._encode(episode.obs[f"images/{camera}"], str(camera), "")
        try:
            again, frames = replay_episode(self.simulator(), episode, camera=camera, size_px=view.size_px)
        except LfdError as error:
            return Clip(b"", b"", camera or "", f"no pictures: {error}")
        assert frames is not None
        difference = first_difference(episode, again)
        note = f"re-simulated, but {difference}" if difference else "re-simulated, equal to the recording"
        return self._encode(frames, camera or "main", note)

    def simulator(self) -> gym.Env:
        """Returns the dataset's environment, started when it is first wanted."""
        if self._env is None:
            self._env = self._stack.enter_context(replay_env(self.store.spec))
        return self._env

    def _encode(self, frames: np.ndarray, camera: str, note: str) -> Clip:
        return Clip(encode_mp4(frames, self.store.spec.control_hz, quality=QUALITY), still_of(frames[-1]), camera, note)


def still_of(picture: np.ndarray) -> bytes:
    """Returns a picture (H, W, 3) as a JPEG of at most STILL_PX."""
    import cv2

    size = (STILL_PX, round(STILL_PX * picture.shape[0] / picture.shape[1]))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA) if picture.shape[1] > STILL_PX else picture
    return cv2.imencode(".jpg", small[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes()


def _read(folder: Path, episode_id: str) -> Clip | None:
    try:
        about = json.loads((folder / f"{episode_id}.json").read_text())
        mp4, still = ((folder / f"{episode_id}.{kind}").read_bytes() for kind in ("mp4", "jpg"))
    except (OSError, ValueError):
        return None
    return Clip(mp4, still, about["camera"], about["note"])


def _keep(folder: Path, episode_id: str, clip: Clip) -> None:
    if not clip.mp4:
        return  # what is missing may be installed tomorrow
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{episode_id}.mp4").write_bytes(clip.mp4)
        (folder / f"{episode_id}.jpg").write_bytes(clip.still)
        part = folder / f"{episode_id}.json.part"
        part.write_text(json.dumps({"camera": clip.camera, "note": clip.note}))
        part.replace(folder / f"{episode_id}.json")  # last: it says that the others are whole
    except OSError:
        return  # a cache on a read-only or full disk is no reason to show nothing
