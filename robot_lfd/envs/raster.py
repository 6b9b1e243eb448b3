"""Draws MuJoCo's pictures in compiled code, without OpenGL: what `pictures="fast"` does for robosuite."""

# pyright: reportAttributeAccessIssue=false
# mujoco is a compiled module without types

from __future__ import annotations

from typing import NamedTuple

import mujoco
import numpy as np

from robot_lfd.envs import raster_faces as faces
from robot_lfd.envs import raster_light as light
from robot_lfd.envs.raster_scene import Scene

MOST_LIGHTS = 8
DETAIL_PX = 0.3  # by how much a coarse mesh may look off, in samples of half a pixel (LOG.md)


class _Backdrop(NamedTuple):
    """What stands still, as one camera sees it: what it was drawn from, and what came out."""

    scales: np.ndarray
    colours: np.ndarray
    poses: np.ndarray
    lights: np.ndarray
    camera: np.ndarray
    nearest: np.ndarray
    samples: np.ndarray
    picture: np.ndarray


class Raster:
    """Draws the cameras of one compiled model.

    A camera that stands still keeps a finely drawn backdrop of everything else that does, anew only when one of them,
    a light or the camera changes; what moves is drawn over it. Two environments may draw in two threads at once.

    Attributes:
        triangles: how many the last picture took.
    """

    def __init__(self, scene: Scene, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        self._model, self._data, self._scene = model, data, scene
        count, shapes = len(scene.kinds), scene.shapes
        self._scales, self._colours = np.zeros((count, 4), np.float32), np.zeros((count, 4), np.float32)
        self._poses, self._repeats = np.zeros((count, 12), np.float32), np.zeros((count, 3), np.float32)
        self._lights = np.zeros((MOST_LIGHTS, faces.LIGHT_COLUMNS), np.float32)
        self._local, self._used = np.zeros((count, MOST_LIGHTS, 6), np.float32), np.zeros(count, np.bool_)
        self._veils = np.zeros(count, np.int64)
        points, corners = np.zeros((shapes.most_vertices, 4), np.float32), np.zeros((4, 3), np.float32)
        geoms = (data.geom_xpos, data.geom_xmat, model.geom_size, model.geom_rgba)
        sites = (data.site_xpos, data.site_xmat, model.site_size, model.site_rgba)
        suns = (
            data.light_xpos, data.light_xdir, model.light_active, model.light_ambient, model.light_diffuse,
            model.light_specular, model.light_type.astype(np.int64), model.light_attenuation, model.light_cutoff,
            model.light_exponent,
        )  # fmt: skip
        self._arranging = (
            suns, geoms, sites, model.mat_rgba, scene.kinds, scene.names, scene.is_site, scene.materials, scene.repeat,
            scene.uniform, scene.textures, self._scales, self._colours, self._poses, self._repeats, self._lights,
        )  # fmt: skip
        self._covering = (
            scene.kinds, scene.radii, scene.boxes, scene.level_from, scene.level_count, shapes.level_errors,
            shapes.level_faces, shapes.level_vertices, shapes.vertices, shapes.triangles, self._scales, self._colours,
            self._poses,
        )  # fmt: skip
        self._scratch = (points, corners)
        self._veiling = (scene.kinds, scene.radii, scene.boxes, self._scales, self._colours, self._poses)
        self._shading = (
            shapes.vertices, shapes.triangles, shapes.normals, scene.places, scene.place_from, self._scales,
            self._colours, self._poses,
        )  # fmt: skip
        self._painting = (
            self._local, self._used, scene.shine, scene.textures, self._repeats, scene.images.pixels,
            scene.images.table,
        )  # fmt: skip
        self._backdrops: dict[tuple[int, int, int], _Backdrop] = {}
        self._buffers: dict[tuple[int, int], tuple[np.ndarray, ...]] = {}
        self._none = np.zeros((1, 1, 3), np.uint8)
        self._head, self._view = np.zeros(10), np.zeros(12)
        self.triangles = 0

    def draw(self, camera: int, height_px: int, width_px: int) -> np.ndarray:
        """Returns the picture of a camera, (H, W, 3) uint8."""
        head, view = self._model.vis.headlight, self._view
        view[:3], view[3:] = self._data.cam_xpos[camera], self._data.cam_xmat[camera]
        self._head[0], self._head[1:4] = head.active, head.ambient
        self._head[4:7], self._head[7:] = head.diffuse, head.specular
        count = faces.arrange(view, self._head, *self._arranging)
        lights = self._lights[:count]
        focal = np.float32(height_px / np.tan(np.radians(self._model.cam_fovy[camera]) / 2.0))  # two samples a pixel
        key = (2 * height_px, 2 * width_px)
        if key not in self._buffers:
            self._buffers[key] = _buffers(*key)
        nearest, owner, veil_nearest, veil_owner, bounds = self._buffers[key]
        if self._scene.fixed[camera]:
            behind = self._backdrop(camera, height_px, width_px, focal, lights)
            picture = behind.picture.copy()
            self._cover(self._scene.moving, False, focal, nearest, owner, bounds, behind.nearest)
            self._paint(nearest, owner, bounds, focal, 2.0, lights, behind.samples, picture)
        else:
            picture = np.empty((height_px, width_px, 3), np.uint8)
            self._cover(self._scene.all, False, focal, nearest, owner, bounds)
            bounds[:] = 0, key[0] - 1, 0, key[1] - 1
            self._paint(nearest, owner, bounds, focal, 2.0, lights, None, picture)
        veils = faces.visible_veils(self._scene.moving, *self._veiling, focal, self._scene.near, *key, self._veils)
        for n in range(veils):
            self._used[:] = False
            faces.cover(
                self._veils[n : n + 1], True, False, *self._covering, focal, self._scene.near, np.float32(DETAIL_PX),
                *self._scratch, nearest, True, veil_nearest, veil_owner, bounds, self._used,
            )  # fmt: skip
            if bounds[1] >= 0:
                self._paint(veil_nearest, veil_owner, bounds, focal, 2.0, lights, None, picture, is_veil=True)
        return picture

    def _cover(self, shapes, finest, focal, nearest, owner, bounds, start=None) -> None:
        self._used[:] = False
        self.triangles = faces.cover(
            shapes, False, finest, *self._covering, focal, self._scene.near, np.float32(DETAIL_PX), *self._scratch,
            nearest if start is None else start, start is not None, nearest, owner, bounds, self._used,
        )  # fmt: skip

    def _paint(self, nearest, owner, bounds, focal, step, lights, behind, picture, is_veil=False) -> None:
        light.resolve(
            nearest, owner, bounds, focal, np.float32(step), self._view, self._none if behind is None else behind,
            behind is not None, is_veil, self._scene.sky, *self._shading, lights, *self._painting, picture,
        )  # fmt: skip

    def _backdrop(self, camera, height_px, width_px, focal, lights) -> _Backdrop:
        key, still = (camera, height_px, width_px), self._scene.still
        known = self._backdrops.get(key)
        now = (self._scales, self._colours, self._poses, lights, self._view)
        if known is not None and len(known.lights) == len(lights) and faces.unchanged(still, *now, *known[:5]):
            return known
        rows, columns = 2 * height_px, 2 * width_px
        samples = np.empty((rows, columns, 3), np.uint8)
        nearest, owner, _, _, bounds = _buffers(2 * rows, 2 * columns)
        self._cover(still, True, np.float32(2.0 * focal), nearest, owner, bounds)
        bounds[:] = 0, 2 * rows - 1, 0, 2 * columns - 1
        self._paint(nearest, owner, bounds, np.float32(2.0 * focal), 4.0, lights, None, samples)
        parts = samples.reshape(height_px, 2, width_px, 2, 3)
        picture = ((parts.sum((1, 3), dtype=np.uint16) + 2) // 4).astype(np.uint8)
        nearest, owner, _, _, bounds = _buffers(rows, columns)
        self._cover(still, True, focal, nearest, owner, bounds)
        self._backdrops[key] = made = _Backdrop._make((*(np.array(a) for a in now), nearest, samples, picture))
        return made


def _buffers(rows: int, columns: int) -> tuple[np.ndarray, ...]:
    """Returns 1 / depth and names of faces, twice, and the bounds of what was drawn."""
    pair = (np.zeros((rows, columns), np.float32), np.zeros((rows, columns), np.int32))
    return *pair, np.zeros_like(pair[0]), np.zeros_like(pair[1]), np.zeros(4, np.int64)
