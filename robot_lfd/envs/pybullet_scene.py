"""A PyBullet world as a scene of the rasteriser, lit as its TinyRenderer lights it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numba import njit

from robot_lfd.envs import raster_faces as faces
from robot_lfd.envs.mesh_files import levels_of_file
from robot_lfd.envs.pybullet_pictures import Camera
from robot_lfd.envs.pybullet_quiet import Client, pybullet
from robot_lfd.envs.raster import Drawn, Eye, Lens, Seen
from robot_lfd.envs.raster_shapes import Key, Level, Shapes, primitive
from robot_lfd.envs.raster_tiny import resolve
from robot_lfd.errors import LfdError

_WHITE = np.full(3, 255, np.uint8)  # what is seen where there is nothing
_DETAIL_PX = np.array([0.6, 0.3], np.float32)  # of a moving and a standing camera, samples (LOG.md)
_SLICES, _STACKS = 24, 16
_KINDS = {
    pybullet.GEOM_SPHERE: faces.SPHERE, pybullet.GEOM_BOX: faces.BOX, pybullet.GEOM_CYLINDER: faces.CYLINDER,
    pybullet.GEOM_MESH: faces.MESH, pybullet.GEOM_CAPSULE: faces.CAPSULE,
}  # fmt: skip


class Scene:
    """Every visual shape of a PyBullet world; a Scene of raster.py.

    What is drawn is sampled once a pixel and at its lower left corner, as TinyRenderer does. Transparent shapes are
    opaque there too.

    Args:
        client: the physics client. shapes_of: what `shapes_now` returned. cameras: returns a camera by its number.
        light: the direction towards the light.
    """

    samples, stagger = 1, np.float32(0.0)
    aside = np.array([0.5, -0.5], np.float32)

    def __init__(
        self, client: Client, shapes_now: tuple, cameras: Callable[[int], Camera], light: Sequence[float]
    ) -> None:
        self._client, self._cameras = client, cameras
        number = client._client  # the functions themselves: the client looks each name up anew
        self._links_now = partial(pybullet.getLinkStates, physicsClientId=number)
        self._base_now = partial(pybullet.getBasePositionAndOrientation, physicsClientId=number)
        self._light = np.array(light) / np.linalg.norm(light)
        keys, levels = _levels_of(shapes_now)
        count = len(keys)
        self.kinds = np.array([kind for kind, _ in keys], np.int64)
        self.shapes = Shapes(levels, levels)  # paint and places on textures go by the number of a triangle
        self.level_from = np.array([self.shapes.levels[k][0] for k in keys], np.int64)
        self.level_count = np.array([self.shapes.levels[k][1] for k in keys], np.int64)
        self.radii = np.array([self.shapes.radii.get(k, -1.0) for k in keys], np.float32)
        self.boxes = np.array([self.shapes.boxes.get(k, (0.0,) * 6) for k in keys], np.float32)
        self._scales = np.array([_scale(v) for v in shapes_now], np.float32)
        self._colours = np.array([(*v[7][:3], 1.0 if v[7][3] > 0.0 else 0.0) for v in shapes_now], np.float32)
        self._local = np.array([(*v[5], *v[6]) for v in shapes_now], np.float64)
        self._add_paint(keys, levels)
        self.rebind(shapes_now)
        self._places = np.zeros((len(self._frames), 7))
        still = np.array([self._stands(v[0], v[1]) for v in shapes_now], bool)
        self.all = np.arange(count)
        self.still, self.moving = np.flatnonzero(still), np.flatnonzero(~still)
        self._view, self._local_light = np.zeros(12), np.zeros((count, 6), np.float32)

    def _add_paint(self, keys: list[Key], levels: dict[Key, list[Level]]) -> None:
        places, starts, total = [], {}, 0
        for key, found in levels.items():
            paint = [level.paint for level in found if level.paint is not None]
            if paint:
                starts[key] = total - self.shapes.level_faces[self.shapes.levels[key][0], 0]
                places.append(np.concatenate(paint))
                total += len(places[-1])
        self._painted = np.array([key in starts for key in keys])
        self._paint_from = np.array([starts.get(key, 0) for key in keys], np.int64)
        self._paint = np.concatenate([*places, np.zeros((1, 3))]).astype(np.float32)

    def rebind(self, shapes_now: tuple) -> None:
        """Takes the places from the bodies of these shapes: the same as before, but for the bodies' numbers."""
        self._frames = list(dict.fromkeys((v[0], v[1]) for v in shapes_now))
        self._frame_of = np.array([self._frames.index((v[0], v[1])) for v in shapes_now], np.int64)
        links: dict[int, list[int]] = {}
        for body, link in self._frames:
            links.setdefault(body, []).append(link)
        self._links = {body: [link for link in found if link >= 0] for body, found in links.items()}
        offsets = {body: self._client.getDynamicsInfo(body, -1)[3:5] for body in links}
        self._back = {
            body: pybullet.invertTransform(*offset) if any(offset[0]) or offset[1][3] != 1.0 else ()
            for body, offset in offsets.items()
        }

    def _stands(self, body: int, link: int) -> bool:
        """Returns whether a shape belongs to the scenery: a body that nothing can push, or an arm's foot."""
        return link < 0 and self._client.getDynamicsInfo(body, -1)[0] == 0.0

    def look(self, camera: int, seen: Seen) -> Eye:
        """Fills `seen` with where everything is, and returns the camera of that number."""
        now = self._cameras(camera)
        matrix = np.reshape(now.matrix, (4, 4))  # column by column: rows of this are columns of the view matrix
        self._view[:3] = -matrix[:3, :3] @ matrix[3, :3]
        self._view[3:] = matrix[:3, :3].ravel()
        n = 0
        for body, links in self._links.items():
            if self._frames[n] == (body, -1):
                self._places[n] = self._base(body)
                n += 1
            if links:
                states = self._links_now(body, links)
                self._places[n : n + len(links)] = [(*state[4], *state[5]) for state in states]
                n += len(links)
        _arrange(self._view, self._places, self._frame_of, self._local, self._light, seen.poses, seen.lights)
        seen.scales[:], seen.colours[:] = self._scales, self._colours
        tangent = math.tan(math.radians(now.angle) / 2.0)
        return Eye(
            self._view, tangent, np.float32(now.near), np.float32(now.far), now.fixed, 1, _DETAIL_PX[int(now.fixed)]
        )

    def paint(
        self, seen: Seen, lens: Lens, drawn: Drawn, behind: np.ndarray | None, picture: np.ndarray,
        is_veil: bool = False, samples: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        """Writes pixels as TinyRenderer has them; see Scene in raster.py. There are no veils."""
        shapes, (nearest, owner, bounds, used) = self.shapes, drawn
        resolve(
            nearest, owner, bounds, lens.focal, lens.aside, behind is not None, _WHITE, shapes.vertices,
            shapes.triangles, shapes.normals, self._paint, self._painted, self._paint_from, seen.scales, seen.colours,
            seen.poses, seen.lights[0, :6], used, self._local_light, picture,
        )  # fmt: skip

    def _base(self, body: int) -> tuple[float, ...]:
        """Returns where a body's base link is, position and quaternion; PyBullet tells where its mass is."""
        position, turn = self._base_now(body)
        if back := self._back[body]:
            position, turn = pybullet.multiplyTransforms(position, turn, *back)
        return (*position, *turn)


def shapes_now(client: Client) -> tuple:
    """Returns PyBullet's data of every visual shape of a world: two that are equal look the same, but for places."""
    bodies = (client.getBodyUniqueId(n) for n in range(client.getNumBodies()))
    return tuple(shape for body in bodies for shape in client.getVisualShapeData(body))


def _levels_of(shapes: tuple) -> tuple[list[Key], dict[Key, list[Level]]]:
    """Returns the key of each shape, and the levels of each key."""
    numbers: dict[tuple, int] = {}
    keys, levels = list[Key](), dict[Key, list[Level]]()
    for body, link, geometry, size, file, *_ in shapes:
        if geometry not in _KINDS:
            raise LfdError(f"link {link} of body {body} has a shape of kind {geometry}, which cannot be drawn here")
        kind = _KINDS[geometry]
        number = numbers.setdefault((file, size), len(numbers)) if kind == faces.MESH else -1
        keys.append((kind, number))
        if keys[-1] not in levels:
            mesh = kind == faces.MESH
            levels[keys[-1]] = levels_of_file(Path(file.decode()), size) if mesh else primitive(kind, _SLICES, _STACKS)
    return keys, levels


def _scale(shape: tuple) -> tuple[float, float, float, float]:
    """Returns the scale of a shape: boxes say whole lengths, a cylinder its length and radius, a sphere its radius."""
    kind, (a, b, c) = _KINDS[shape[2]], shape[3]
    if kind == faces.BOX:
        return a / 2, b / 2, c / 2, 0.0
    if kind == faces.SPHERE:
        return a, a, a, 0.0
    if kind == faces.CYLINDER:
        return b, b, a / 2, 0.0
    return (b, b, b, a / 2) if kind == faces.CAPSULE else (1.0, 1.0, 1.0, 0.0)


_compiled = njit(cache=True, nogil=True, error_model="numpy")


@_compiled
def _turned(turn, told):
    """Fills told (3, 3) with the rotation of a quaternion x y z w."""
    x, y, z, w = turn[0], turn[1], turn[2], turn[3]
    s = 2.0 / (x * x + y * y + z * z + w * w)
    told[0, 0], told[0, 1], told[0, 2] = 1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)
    told[1, 0], told[1, 1], told[1, 2] = s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w)
    told[2, 0], told[2, 1], told[2, 2] = s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y)


@_compiled
def _arrange(view, places, frame_of, local, light, poses, lights):
    """Fills poses (S, 12), and in lights (1, 21) the directions towards the light and upwards as the camera sees them.

    Args:
        places: (N, 7) of frames, position and quaternion; shape s hangs on frame_of[s] at local[s] (S, 7).
    """
    frame, own, both = np.zeros((3, 3)), np.zeros((3, 3)), np.zeros((3, 3))
    point = np.zeros(3)
    for s in range(len(frame_of)):
        place = places[frame_of[s]]
        _turned(place[3:], frame)
        _turned(local[s, 3:], own)
        for i in range(3):
            point[i] = place[i] - view[i]
            for j in range(3):
                point[i] += frame[i, j] * local[s, j]
                both[i, j] = frame[i, 0] * own[0, j] + frame[i, 1] * own[1, j] + frame[i, 2] * own[2, j]
        for row in range(3):
            for column in range(3):
                total = 0.0
                for k in range(3):
                    total += view[3 + 3 * k + row] * both[k, column]
                poses[s, 3 * row + column] = total
            poses[s, 9 + row] = view[3 + row] * point[0] + view[6 + row] * point[1] + view[9 + row] * point[2]
    for row in range(3):
        lights[0, row], lights[0, 3 + row] = 0.0, view[9 + row]
        for k in range(3):
            lights[0, row] += view[3 + 3 * k + row] * light[k]
