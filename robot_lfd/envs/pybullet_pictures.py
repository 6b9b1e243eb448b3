"""Fast pictures of a PyBullet world: what its TinyRenderer draws, drawn by compiled code of our own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from robot_lfd.envs.notice import notice
from robot_lfd.envs.pybullet_quiet import Client, pybullet
from robot_lfd.errors import LfdError

if TYPE_CHECKING:
    from robot_lfd.envs.pybullet_scene import Scene
    from robot_lfd.envs.raster import Raster

QUALITIES = ("reference", "fast")
_PREPARING = "preparing fast pictures, once (coarse meshes and compiled code); later starts take them from the disk"


def checked(quality: str) -> str:
    """Returns the quality.

    Raises:
        LfdError: there is none of that name.
    """
    if quality not in QUALITIES:
        raise LfdError(f"picture quality is '{quality}', expected one of: {', '.join(QUALITIES)}")
    return quality


class Camera(NamedTuple):
    """A camera now: view matrix (16,) as PyBullet has it, vertical angle in degrees, near and far in metres."""

    matrix: Sequence[float]
    angle: float
    near: float
    far: float
    fixed: bool


class FastPictures:
    """Draws the cameras of a physics client.

    What is drawn is the world at that moment: bodies, shapes, colours and places. Meshes are as
    coarse as their distance allows; all else is as TinyRenderer has it without shadows: one sample a pixel, the same
    light, colours from the same textures.

    Args:
        cameras: returns a camera, as it is now, by its number. light: the direction towards the light.
    """

    def __init__(self, client: Client, cameras: Callable[[int], Camera], light: Sequence[float]) -> None:
        self._client, self._cameras, self._light = client, cameras, light
        self._drawn_of, self._shapes = (0, 0, 0), ()
        self._scene: Scene
        self._raster: Raster | None = None

    def draw(self, camera: int, height_px: int, width_px: int) -> np.ndarray:
        """Returns the picture of a camera, (H, W, 3) uint8.

        Raises:
            LfdError: a shape is of a kind, or a mesh of a format, that cannot be drawn here.
        """
        from robot_lfd.envs.pybullet_scene import Scene, shapes_now  # late: numba and scipy take a second
        from robot_lfd.envs.raster import Raster

        bodies = pybullet.getNumBodies(self._client._client)
        newest = pybullet.getBodyUniqueId(bodies - 1, self._client._client) if bodies else -1
        now = (bodies, newest, self._client.repainted)  # numbers of bodies are never given twice
        if now == self._drawn_of and self._raster is not None:
            return self._raster.draw(camera, height_px, width_px)
        found = shapes_now(self._client)
        with notice(_PREPARING):
            if self._raster is not None and _anonymous(found) == _anonymous(self._shapes):
                self._scene.rebind(found)  # new bodies that look as the old ones did: a reset
            else:
                self._scene = Scene(self._client, found, self._cameras, self._light)
                self._raster = Raster(self._scene)
            self._shapes, self._drawn_of = found, now
            return self._raster.draw(camera, height_px, width_px)


def _anonymous(shapes: tuple) -> list[tuple]:
    """Returns shapes without the numbers of their bodies."""
    return [shape[1:] for shape in shapes]
