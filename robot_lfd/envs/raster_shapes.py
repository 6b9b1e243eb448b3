"""Triangles of shapes at several levels of detail; those of meshes are made once and kept on the disk."""

# pyright: reportAttributeAccessIssue=false
# scipy.spatial's trees are compiled and have no types

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Collection
from typing import NamedTuple

import fast_simplification
import numpy as np
from scipy.spatial import cKDTree

from robot_lfd.envs.raster_faces import BOX, CAPSULE, CYLINDER, MESH, PLANE
from robot_lfd.envs.stored_once import stored_once

VERSION = 3
FEWEST = 16  # triangles of the coarsest level of a mesh
HALVES = 9  # at most so many levels
_NORMAL_NEIGHBOURS = 6
PIECE = 256  # triangles of a piece of a large mesh at most: pieces that are not seen are not drawn
_SAME_NORMAL = 0.999  # cosine between the normals of corners that are taken as one
_SAME_PAINT = 0.25  # colours differ by less
_KNOWN: dict[str, list[Level]] = {}  # by the content of the mesh: environments of one process share them


class Level(NamedTuple):
    """One level of detail.

    Attributes:
        vertices: (V, 4) float32: x y z, and how many half-lengths of a capsule are added to z.
        triangles: (F, 3) int32, anticlockwise from outside. normals: (F, 9) float32, of each corner.
        error: metres that it is away from the finest level, but for a twentieth of that one's vertices.
        paint: (F, 3) float32 in [0, 1], the colour of each triangle, where they differ.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    normals: np.ndarray
    error: float
    paint: np.ndarray | None = None


Key = tuple[int, int]  # a kind of raster_faces, and a mesh's number or -1


class Shapes:
    """Every level of every different shape, in single arrays.

    Attributes:
        levels: by key, the first level's number and how many there are, the finest first.
        radii, boxes: by key of a mesh, from its origin, metres; middle and half sizes of the box around it.
        vertices, triangles, normals: of all levels. level_errors, level_faces: by level, its error; its first face and
            how many. level_pieces: by level, its first piece and how many.
        facets: (F, 4) of all levels, the mean normal of each triangle, and how long its longest edge is, metres; 0
            where the normals of its corners are about the same; infinite where it is none of a mesh.
        pieces: (P, 4) first vertex and face of each, and how many. piece_boxes: (P, 6) middle and half sizes.

    Args:
        in_order: keys whose triangles stay in their order, in one piece.
    """

    def __init__(self, levels_of: dict[Key, list[Level]], in_order: Collection[Key] = ()) -> None:
        cut = [_whole(v) if key in in_order else _in_pieces(v) for key, levels in levels_of.items() for v in levels]
        flat = [level for level, _ in cut]
        self.levels: dict[Key, tuple[int, int]] = {}
        self.radii: dict[Key, float] = {}
        self.boxes: dict[Key, tuple[float, ...]] = {}
        at = 0
        for key, levels in levels_of.items():
            self.levels[key] = (at, len(levels))
            at += len(levels)
            if key[0] == MESH:
                points = levels[0].vertices[:, :3]
                low, high = points.min(0), points.max(0)
                self.radii[key] = float(np.linalg.norm(points, axis=1).max())
                self.boxes[key] = (*(low + high) / 2, *(high - low) / 2 + 1e-3)
        vertex_from = np.cumsum([0, *(len(level.vertices) for level in flat)])
        face_from = np.cumsum([0, *(len(level.triangles) for level in flat)])
        self.vertices = np.concatenate([level.vertices for level in flat])
        moved = [level.triangles + v for level, v in zip(flat, vertex_from[:-1], strict=True)]
        self.triangles = np.concatenate(moved).astype(np.int32)
        self.normals = np.concatenate([level.normals for level in flat])
        is_mesh = [key[0] == MESH for key, levels in levels_of.items() for _ in levels]
        self.facets = np.concatenate([_facets(*each) for each in zip(flat, is_mesh, strict=True)])
        self.level_errors = np.array([level.error for level in flat], np.float32)
        self.level_faces = np.stack([face_from[:-1], np.diff(face_from)], 1)
        counts = np.array([len(sizes) for _, sizes in cut])
        self.level_pieces = np.stack([np.cumsum(counts) - counts, counts], 1)
        sizes = np.concatenate([sizes for _, sizes in cut])
        self.pieces = np.concatenate([np.cumsum(sizes, 0) - sizes, sizes], 1)[:, [0, 2, 1, 3]]
        starts = self.pieces[:, 0]
        low, high = (of.reduceat(self.vertices[:, :3], starts, 0) for of in (np.minimum, np.maximum))
        self.piece_boxes = np.concatenate([(low + high) / 2, (high - low) / 2 + 1e-6], 1).astype(np.float32)
        self.most_vertices = int(sizes[:, 0].max())


def _facets(level: Level, is_mesh: bool) -> np.ndarray:
    """Returns the facets of a level, see Shapes."""
    normals, corners = level.normals.reshape(-1, 3, 3), level.vertices[level.triangles, :3]
    mean = normals.mean(1)
    mean /= np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-20)
    size = np.linalg.norm(corners - np.roll(corners, 1, 1), axis=2).max(1)
    size[(np.einsum("fcx,fx->fc", normals, mean) > _SAME_NORMAL).all(1)] = 0.0
    return np.concatenate([mean, (size if is_mesh else np.full_like(size, np.inf))[:, None]], 1).astype(np.float32)


def _whole(level: Level) -> tuple[Level, np.ndarray]:
    return level, np.array([[len(level.vertices), len(level.triangles)]])


def _in_pieces(level: Level) -> tuple[Level, np.ndarray]:
    """Returns a level whose triangles come in pieces that lie together, each with vertices of its own.

    Returns:
        the level, and how many vertices and triangles each piece has, (n, 2).
    """
    total, count = len(level.triangles), len(level.vertices)
    if total <= PIECE:
        return _whole(level)
    pieces = -(-total // PIECE)
    group = np.zeros(total, np.int64)
    group[np.argsort(_along_curve(level.vertices[level.triangles, :3].mean(1)), kind="stable")] = (
        np.arange(total) * pieces // total
    )
    order = np.argsort(group, kind="stable")
    named, triangles = np.unique(group[order, None] * count + level.triangles[order], return_inverse=True)
    sizes = np.stack([np.bincount(named // count, minlength=pieces), np.bincount(group, minlength=pieces)], 1)
    paint = None if level.paint is None else level.paint[order]
    triangles = triangles.reshape(-1, 3).astype(np.int32)
    return Level(level.vertices[named % count], triangles, level.normals[order], level.error, paint), sizes


def _along_curve(points: np.ndarray) -> np.ndarray:
    """Returns where points (N, 3) lie along Morton's curve, on which neighbours are mostly neighbours in space."""
    low = points.min(0)
    cells = ((points - low) / max(np.ptp(points, axis=0).max(), 1e-9) * 1023).astype(np.int64)
    place = np.zeros(len(points), np.int64)
    for bit in range(10):
        for axis in range(3):
            place |= (cells[:, axis] >> bit & 1) << (3 * bit + axis)
    return place


def primitive(kind: int, slices: int, stacks: int) -> list[Level]:
    """Returns the levels of a plane, sphere, capsule, ellipsoid, cylinder or box of size 1, finest first."""
    if kind == BOX:
        return [_box()]
    if kind == PLANE:
        return [_quads([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], 4 * [[0, 0, 1]], [[0, 1, 2, 3]], 0.0)]
    rounds = [(slices, stacks), (slices * 2 // 3, stacks * 2 // 3), (slices // 2, stacks // 2), (8, 4), (6, 4)]
    if kind == CYLINDER:
        return [_cylinder(n) for n, _ in rounds]
    return [_ball(n, m + m % 2, kind == CAPSULE) for n, m in rounds]


def _quads(points, normals, quads, error: float) -> Level:
    """Builds a level from points with one normal each, and polygons of them."""
    rows = [[q[0], q[k], q[k + 1]] for q in quads for k in range(1, len(q) - 1)]
    triangles = np.array(rows, np.int32)
    points = np.array(points, np.float32)
    if points.shape[1] == 3:
        points = np.concatenate([points, np.zeros((len(points), 1), np.float32)], 1)
    return Level(points, triangles, np.array(normals, np.float32)[triangles].reshape(-1, 9), error)


def _box() -> Level:
    points, normals, quads = [], [], []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            normal, across, up = np.zeros(3), np.zeros(3), np.zeros(3)
            normal[axis], across[(axis + 1) % 3], up[(axis + 2) % 3] = sign, sign, 1.0
            quads.append([len(points) + k for k in range(4)])
            for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
                points.append(normal + a * across + b * up)
                normals.append(normal)
    return _quads(points, normals, quads, 0.0)


def _cylinder(slices: int) -> Level:
    angles = 2.0 * np.pi * np.arange(slices) / slices
    ring = np.stack([np.cos(angles), np.sin(angles), 0.0 * angles], 1)
    up = np.array([0.0, 0.0, 1.0])
    points = np.concatenate([ring - up, ring + up, ring - up, ring + up])
    flat = np.tile(up, (slices, 1))
    normals = np.concatenate([ring, ring, -flat, flat])
    sides = [[i, (i + 1) % slices, slices + (i + 1) % slices, slices + i] for i in range(slices)]
    caps = [[3 * slices - 1 - i for i in range(slices)], [3 * slices + i for i in range(slices)]]
    return _quads(points, normals, sides + caps, 1.0 - np.cos(np.pi / slices))


def _ball(slices: int, stacks: int, capsule: bool) -> Level:
    """A sphere; for a capsule its equator is doubled, and each half moves by a half-length."""
    half = stacks // 2
    heights = np.concatenate([np.linspace(-np.pi / 2, 0, half + 1), np.linspace(0, np.pi / 2, half + 1)])
    shifts = np.repeat([-1.0, 1.0], half + 1) * capsule
    if not capsule:
        heights, shifts = np.delete(heights, half), np.delete(shifts, half)
    angles = 2.0 * np.pi * np.arange(slices) / slices
    points, normals, quads = [], [], []
    for height, shift in zip(heights, shifts, strict=True):
        for angle in angles:
            normal = [np.cos(height) * np.cos(angle), np.cos(height) * np.sin(angle), np.sin(height)]
            points.append([*normal, shift])
            normals.append(normal)
    for row in range(len(heights) - 1):
        for i in range(slices):
            j = (i + 1) % slices
            quads.append([row * slices + i, row * slices + j, (row + 1) * slices + j, (row + 1) * slices + i])
    return _quads(points, normals, quads, 1.0 - np.cos(np.pi / slices))


def coarser(fine: Level) -> list[Level]:
    """Returns ever coarser levels of a mesh, each with about half the triangles of the one before.

    They are made when no process has made them of the same mesh before, and kept in the user's cache folder.
    """
    if len(fine.triangles) < 2 * FEWEST:
        return []
    return levels_once(content_of(fine), lambda: _simplified(fine))


def levels_once(content: str, make: Callable[[], list[Level]]) -> list[Level]:
    """Returns levels that are the same wherever `content` is, taken from the cache folder where they have been made."""
    if content not in _KNOWN:
        recipe = f"{VERSION} {FEWEST} {HALVES} {content}"
        try:
            folder = stored_once("mesh", recipe, lambda: {"levels.npz": _packed(make())})
            _KNOWN[content] = _unpacked((folder / "levels.npz").read_bytes())
        except OSError:  # the cache folder takes no files
            _KNOWN[content] = make()
    return _KNOWN[content]


def painted_levels(fine: Level) -> list[Level]:
    """Returns a mesh and ever coarser levels of it, made anew; triangles of one colour are made coarser by themselves.

    Thin shells of another colour, which lie close over a body, stay whole so.
    """
    if fine.paint is None:
        return [fine, *_simplified(fine)]
    parts = [_part(fine, group) for group in _colour_groups(fine.paint)]
    levels = [[part, *(_painted(level, part) for level in _simplified(part))] for part in parts]
    return [_joined([of[min(k, len(of) - 1)] for of in levels]) for k in range(max(map(len, levels)))]


def _colour_groups(paint: np.ndarray) -> list[np.ndarray]:
    """Returns which triangles have about the same colour, (F,) bool each."""
    left, groups = np.ones(len(paint), bool), []
    while left.any():
        group = left & (np.abs(paint - paint[left.argmax()]).max(1) < _SAME_PAINT)
        groups.append(group)
        left &= ~group
    return groups


def _part(fine: Level, chosen: np.ndarray) -> Level:
    used, triangles = np.unique(fine.triangles[chosen], return_inverse=True)
    paint = None if fine.paint is None else fine.paint[chosen]
    return Level(fine.vertices[used], triangles.reshape(-1, 3).astype(np.int32), fine.normals[chosen], 0.0, paint)


def _joined(parts: list[Level]) -> Level:
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    vertices, triangles, normals, errors, paint = zip(*parts, strict=True)
    moved = [rows + start for rows, start in zip(triangles, starts[:-1], strict=True)]
    vertices, triangles, normals, paint = map(np.concatenate, (vertices, moved, normals, paint))
    return Level(vertices, triangles, normals, max(errors), paint)


def _painted(level: Level, fine: Level) -> Level:
    """Returns a coarse level with the colours of the finest one's nearest triangles."""
    centres = [each.vertices[each.triangles, :3].astype(np.float64).mean(1) for each in (fine, level)]
    assert fine.paint is not None
    return level._replace(paint=fine.paint[cKDTree(centres[0]).query(centres[1])[1]])


def content_of(level: Level) -> str:
    """Returns a digest of all numbers of a level."""
    return hashlib.sha256(level.vertices.tobytes() + level.triangles.tobytes() + level.normals.tobytes()).hexdigest()


def _packed(levels: list[Level]) -> bytes:
    file, arrays = io.BytesIO(), {}
    for k, level in enumerate(levels):
        arrays |= {f"vertices{k}": level.vertices, f"triangles{k}": level.triangles, f"normals{k}": level.normals}
        arrays |= {} if level.paint is None else {f"paint{k}": level.paint}
    np.savez(file, errors=np.array([level.error for level in levels]), **arrays)
    return file.getvalue()


def _unpacked(data: bytes) -> list[Level]:
    with np.load(io.BytesIO(data), allow_pickle=False) as found:
        return [
            Level(
                found[f"vertices{k}"],
                found[f"triangles{k}"],
                found[f"normals{k}"],
                float(error),
                found[f"paint{k}"] if f"paint{k}" in found else None,
            )
            for k, error in enumerate(found["errors"])
        ]


def _simplified(fine: Level) -> list[Level]:
    levels: list[Level] = []
    points, at = np.unique(fine.vertices[:, :3], axis=0, return_inverse=True)
    triangles = at.ravel().astype(np.int32)[fine.triangles]
    tree = cKDTree(fine.vertices[fine.triangles, :3].reshape(-1, 3).astype(np.float64))
    corner_normals = fine.normals.reshape(-1, 3)
    count = len(triangles)
    while count // 2 >= FEWEST and len(levels) < HALVES:
        count //= 2
        made, faces = fast_simplification.simplify(points, triangles, target_count=count)[:2]
        if len(faces) == 0 or (levels and len(faces) >= len(levels[-1].triangles)):
            break
        levels.append(_with_normals(_without_spikes(made, faces, points), faces, tree, corner_normals, points))
    return levels


def _with_normals(
    points: np.ndarray, triangles: np.ndarray, tree: cKDTree, normals: np.ndarray, whole: np.ndarray
) -> Level:
    """Gives each corner the mean normal of the whole mesh's corners near it that look the way its triangle does."""
    corners = points[triangles].astype(np.float64)  # (F, 3, 3)
    flat = flat_normals(corners)
    asked = corners + 0.1 * (corners.mean(1, keepdims=True) - corners)
    _, near = tree.query(asked.reshape(-1, 3), k=min(_NORMAL_NEIGHBOURS, len(normals)))
    candidates = normals[near].reshape(len(triangles), 3, -1, 3)
    agree = np.einsum("fckx,fx->fck", candidates, flat)
    mean = np.einsum("fckx,fck->fcx", candidates, np.where(agree > 0.5, agree, 0.0))
    length = np.linalg.norm(mean, axis=2, keepdims=True)
    mean = np.where(length > 1e-6, mean / np.maximum(length, 1e-6), flat[:, None])
    vertices = np.concatenate([points, np.zeros((len(points), 1))], 1).astype(np.float32)
    return Level(
        vertices, triangles.astype(np.int32), mean.reshape(-1, 9).astype(np.float32), _error(corners, flat, whole)
    )


def _without_spikes(points: np.ndarray, triangles: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Returns points of a simplified mesh, with those that lie far off put back on the whole mesh's nearest vertex."""
    away, near = cKDTree(whole.astype(np.float64)).query(points.astype(np.float64))
    corners = points[triangles].astype(np.float64)
    allowed = 2.0 * _error(corners, flat_normals(corners), whole) + 1e-6
    return np.where((away > allowed)[:, None], whole[near], points)


def flat_normals(corners: np.ndarray) -> np.ndarray:
    """Returns the normals (F, 3) of triangles (F, 3, 3)."""
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-20)


def _error(corners: np.ndarray, flat: np.ndarray, points: np.ndarray) -> float:
    """Returns how far points (V, 3) are from triangles (F, 3, 3) with normals `flat`, but for a twentieth of them."""
    weights = np.array([[a, b, 5 - a - b] for a in range(6) for b in range(6 - a)]) / 5.0
    samples = np.einsum("kc,fcx->fkx", weights, corners).reshape(-1, 3)
    _, near = cKDTree(samples).query(points.astype(np.float64))
    face = near // len(weights)
    away = np.abs(np.einsum("nx,nx->n", points - samples[near], flat[face]))
    return float(np.quantile(away, 0.95))
