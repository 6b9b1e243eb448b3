"""Draws a scene's pictures in compiled code, without OpenGL: what `pictures="fast"` does.

Who knows a simulator is a Scene: `mujoco_scene.py` and `pybullet_scene.py`.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from robot_lfd.envs import raster_faces as faces
from robot_lfd.envs.raster_shapes import Shapes

MOST_LIGHTS = 8


class Seen(NamedTuple):
    """How S shapes look at this instant from a camera.

    Attributes:
        scales: (S, 4) float32; the last one says how far apart a capsule's halves are. colours: (S, 4) RGBA in [0, 1].
        poses: (S, 12) the rotation from the shape to the camera, and its place seen from there.
        repeats: (S, 3) of textures. lights: (L, 21), see `mujoco_look.arrange`.
    """

    scales: np.ndarray
    colours: np.ndarray
    poses: np.ndarray
    repeats: np.ndarray
    lights: np.ndarray


class Eye(NamedTuple):
    """One camera at this instant.

    Attributes:
        view: (12,) its position and its rotation, columns right, up, backward. tangent: of half its vertical angle.
        near, far: metres. fixed: whether it stands still. lights: how many of `Seen.lights` are on.
        detail: by how much a coarse mesh may look off, in samples.
    """

    view: np.ndarray
    tangent: float
    near: np.float32
    far: np.float32
    fixed: bool
    lights: int
    detail: np.float32


class Lens(NamedTuple):
    """A camera over samples: focal length in samples, samples a side of a pixel."""

    eye: Eye
    focal: np.float32
    grid: int
    aside: np.ndarray


class Drawn(NamedTuple):
    """What is seen in each sample.

    Attributes:
        nearest: (rows, columns) 1 / depth. owner: (rows, columns) names of faces, see raster_faces; -1 where there is
            none. bounds: (4,) first and last row and column that were drawn to. used: (S,) shapes that were looked at.
    """

    nearest: np.ndarray
    owner: np.ndarray
    bounds: np.ndarray
    used: np.ndarray


class Scene(Protocol):
    """S shapes, what they are and how they look.

    Attributes:
        samples: 1 or 2 a side of a pixel. stagger: by how much, in samples, those of even rows lie farther right and
            those of even columns farther up; of odd ones left and down. aside: (2,) float32, how far where the camera
            looks is from the middle of the picture, in samples right and down.
        kinds: (S,) of raster_faces. radii: (S,) metres, negative where the scale says it. boxes: (S, 6) middle and half
            sizes of a mesh. level_from, level_count: (S,) of `shapes`.
        still, moving, all: which shapes never move, which do.
    """

    samples: int
    stagger: np.float32
    aside: np.ndarray
    kinds: np.ndarray
    radii: np.ndarray
    boxes: np.ndarray
    shapes: Shapes
    level_from: np.ndarray
    level_count: np.ndarray
    still: np.ndarray
    moving: np.ndarray
    all: np.ndarray

    def look(self, camera: int, seen: Seen) -> Eye:
        """Fills `seen` with the simulation's state now, and returns the camera."""
        ...

    def paint(
        self, seen: Seen, lens: Lens, drawn: Drawn, behind: np.ndarray | None, picture: np.ndarray,
        is_veil: bool = False, samples: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        """Writes the pixels of `picture` (H, W, 3) uint8 within what is drawn.

        Args:
            behind: samples of what is seen where nothing was drawn. is_veil: one transparent shape was drawn.
            samples: where the colour of each sample is written too, to be given as `behind`.
        """
        ...


class _Backdrop(NamedTuple):
    """What stands still, as one camera sees it: what it was drawn from, and what came out."""

    scales: np.ndarray
    colours: np.ndarray
    poses: np.ndarray
    lights: np.ndarray
    view: np.ndarray
    nearest: np.ndarray
    samples: np.ndarray
    picture: np.ndarray


class Raster:
    """Draws the cameras of one scene.

    A camera that stands still keeps a finely drawn backdrop of everything else that does, anew only when one of them,
    a light or the camera changes; what moves is drawn over it. Two environments may draw in two threads at once.

    Attributes:
        triangles: how many the last picture took.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene, shapes = scene, scene.shapes
        count = len(scene.kinds)
        self._seen = Seen(
            np.zeros((count, 4), np.float32), np.zeros((count, 4), np.float32), np.zeros((count, 12), np.float32),
            np.zeros((count, 3), np.float32), np.zeros((MOST_LIGHTS, faces.LIGHT_COLUMNS), np.float32),
        )  # fmt: skip
        self._used, self._veils = np.zeros(count, np.bool_), np.zeros(count, np.int64)
        self._covering = (
            scene.kinds, scene.radii, scene.boxes, scene.level_from, scene.level_count, shapes.level_errors,
            shapes.level_pieces, shapes.pieces, shapes.piece_boxes, shapes.vertices, shapes.triangles, *self._seen[:3],
        )  # fmt: skip
        most = 2 * int(shapes.pieces[:, 3].max())  # a face that is cut at the near plane may become two
        self._scratch = (
            np.zeros((shapes.most_vertices, 4), np.float32), np.zeros((4, 3), np.float32),
            np.zeros((most, 9), np.float32), np.zeros(most, np.int32),
        )  # fmt: skip
        self._veiling = (scene.kinds, scene.radii, scene.boxes, *self._seen[:3])
        self._backdrops: dict[tuple[int, int, int], _Backdrop] = {}
        self._buffers: dict[tuple[int, int], tuple[Drawn, Drawn]] = {}
        self.triangles = 0

    def draw(self, camera: int, height_px: int, width_px: int) -> np.ndarray:
        """Returns the picture of a camera, (H, W, 3) uint8."""
        scene, grid = self._scene, self._scene.samples
        eye = scene.look(camera, self._seen)
        rows, columns = key = (grid * height_px, grid * width_px)
        lens = Lens(eye, np.float32(0.5 * rows / eye.tangent), grid, scene.aside)
        if key not in self._buffers:
            self._buffers[key] = (self._buffer(*key), self._buffer(*key))
        drawn, veil = self._buffers[key]
        if eye.fixed:
            behind = self._backdrop(camera, height_px, width_px, lens)
            picture = behind.picture.copy()
            self._cover(scene.moving, False, lens, drawn, behind.nearest)
            scene.paint(self._seen, lens, drawn, behind.samples, picture)
        else:
            picture = np.empty((height_px, width_px, 3), np.uint8)
            self._cover(scene.all, False, lens, drawn)
            drawn.bounds[:] = 0, rows - 1, 0, columns - 1
            scene.paint(self._seen, lens, drawn, None, picture)
        veils = faces.visible_veils(scene.moving, *self._veiling, lens.focal, eye.near, *key, self._veils)
        for n in range(veils):
            self._cover(self._veils[n : n + 1], False, lens, veil, drawn.nearest, veils=True)
            if veil.bounds[1] >= 0:
                scene.paint(self._seen, lens, veil, None, picture, True)
        return picture

    def _cover(self, shapes, finest, lens, drawn, start=None, veils=False) -> None:
        self._used[:] = False
        count = faces.cover(
            shapes, veils, finest, *self._covering, lens.focal, lens.eye.near, lens.eye.far, lens.aside,
            lens.eye.detail, self._scene.stagger, *self._scratch, drawn.nearest if start is None else start,
            start is not None, *drawn,
        )  # fmt: skip
        self.triangles = self.triangles if veils else count

    def _buffer(self, rows: int, columns: int) -> Drawn:
        nearest, owner = np.zeros((rows, columns), np.float32), np.zeros((rows, columns), np.int32)
        return Drawn(nearest, owner, np.zeros(4, np.int64), self._used)

    def _backdrop(self, camera: int, height_px: int, width_px: int, lens: Lens) -> _Backdrop:
        """Returns what stands still, in its finest meshes."""
        key, still, grid = (camera, height_px, width_px), self._scene.still, lens.grid
        known = self._backdrops.get(key)
        now = (*self._seen[:3], self._seen.lights[: lens.eye.lights], lens.eye.view)
        if known is not None and len(known.lights) == len(now[3]) and faces.unchanged(still, *now, *known[:5]):
            return known
        samples = np.empty((grid * height_px, grid * width_px, 3), np.uint8)
        picture = np.empty((height_px, width_px, 3), np.uint8)
        drawn = self._buffer(*samples.shape[:2])
        self._cover(still, True, lens, drawn)
        drawn.bounds[:] = 0, len(samples) - 1, 0, samples.shape[1] - 1
        self._scene.paint(self._seen, lens, drawn, None, picture, samples=samples)
        self._backdrops[key] = _Backdrop._make((*map(np.array, now), drawn.nearest, samples, picture))
        return self._backdrops[key]
