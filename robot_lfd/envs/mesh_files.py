"""Meshes of robots, Wavefront OBJ and binary STL, as levels of detail; read once, then kept in the cache folder."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from robot_lfd.envs.raster_shapes import Level, flat_normals, levels_once, painted_levels
from robot_lfd.errors import LfdError


def levels_of_file(path: Path, scale: tuple[float, float, float]) -> list[Level]:
    """Returns the levels of a mesh, the finest first, painted as its texture has it.

    Raises:
        LfdError: it is neither an OBJ nor a binary STL file, or cannot be read.
    """
    if path.suffix.lower() not in (".obj", ".stl"):
        raise LfdError(f"{path}: a mesh of this kind cannot be drawn here, expected .obj or .stl")
    try:
        image = _texture_of(path)
        parts = [path.read_bytes(), image.read_bytes() if image else b""]
        content = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()
        return levels_once(f"{content} {scale} by colour", lambda: painted_levels(_fine(path, image, scale)))
    except (OSError, ValueError, IndexError) as error:
        raise LfdError(f"{path}: the mesh cannot be read: {error}") from error


def _fine(path: Path, image: Path | None, scale: tuple[float, float, float]) -> Level:
    """Returns what a file holds: triangles, normals of their corners, and where there is a texture colours."""
    if path.suffix.lower() == ".stl":
        return _stl(path.read_bytes(), scale)
    mesh = _obj(path)
    points, triangles = (mesh.points * scale).astype(np.float32), mesh.faces[:, :, 0]
    flat = flat_normals(points[triangles].astype(np.float64))[:, None]
    normals = np.where(mesh.faces[:, :, 2:] > 0, mesh.normals[mesh.faces[:, :, 2]] / scale, flat)
    normals = normals / np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-20)
    paint = None
    if image is not None:
        picture = cv2.imdecode(np.frombuffer(image.read_bytes(), np.uint8), cv2.IMREAD_COLOR)[::-1, :, ::-1]
        places = mesh.places[mesh.faces[:, :, 1]].mean(1) % 1.0  # (F, 2), v from below
        rows, columns = ((places[:, ::-1] * picture.shape[:2]).astype(int)).T
        paint = picture[rows, columns].astype(np.float32) / 255.0
    return _level(points, triangles, normals, paint)


def _level(points, triangles, normals, paint=None) -> Level:
    """Packs, without triangles that have no area."""
    whole = np.linalg.norm(flat_normals(points[triangles].astype(np.float64)), axis=1) > 0.5
    vertices = np.concatenate([points, np.zeros((len(points), 1))], 1).astype(np.float32)
    kept = normals[whole].reshape(-1, 9).astype(np.float32)
    paint = None if paint is None else np.ascontiguousarray(paint[whole])
    return Level(vertices, np.ascontiguousarray(triangles[whole], np.int32), kept, 0.0, paint)


def _stl(data: bytes, scale: tuple[float, float, float]) -> Level:
    row = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    count = int(np.frombuffer(data, "<u4", 1, 80)[0])
    corners = np.frombuffer(data, row, count, 84)["corners"] * np.array(scale, np.float32)
    points, at = np.unique(corners.reshape(-1, 3), axis=0, return_inverse=True)
    flat = flat_normals(corners.astype(np.float64))
    return _level(points, at.reshape(-1, 3), np.repeat(flat[:, None], 3, 1))


class _Obj(NamedTuple):
    """Points (V, 3), texture places (T, 2), normals (N, 3); triangles (F, 3, 3) as their numbers, place and normal
    from 1 on, 0 where there is none."""

    points: np.ndarray
    places: np.ndarray
    normals: np.ndarray
    faces: np.ndarray


def _obj(path: Path) -> _Obj:
    rows: dict[str, list[list[str]]] = {"v": [], "vt": [["0", "0"]], "vn": [["0", "0", "1"]]}
    faces: list[list[list[int]]] = []
    for line in path.read_text().splitlines():
        kind, *rest = line.split() or [""]
        if kind in rows:
            rows[kind].append(rest[: 2 if kind == "vt" else 3])
        elif kind == "f":
            ring = [_corner(word) for word in rest]
            faces.extend([ring[0], ring[k], ring[k + 1]] for k in range(1, len(ring) - 1))
    points, places, normals = (np.array(rows[k], np.float64) for k in ("v", "vt", "vn"))
    return _Obj(points, places, normals, np.array(faces))


def _corner(word: str) -> list[int]:
    """Returns the numbers of point, texture place and normal of `1/2/3`, `1//3` or `1`."""
    point, place, normal = (*word.split("/"), "", "")[:3]
    return [int(point) - 1, int(place or 0), int(normal or 0)]


def _texture_of(path: Path) -> Path | None:
    """Returns the first texture that the materials of an OBJ file name and that is there; PyBullet too takes one."""
    if path.suffix.lower() != ".obj":
        return None
    named = [line.split(maxsplit=1)[1].strip() for line in _lines(path) if line.startswith("mtllib ")]
    materials = [path.with_name(name) for name in named]
    maps = [line.split()[-1] for file in materials if file.is_file() for line in _lines(file) if "map_Kd" in line]
    found = [path.with_name(name.replace("\\", "/").rpartition("/")[2]) for name in maps]
    return next((image for image in found if image.is_file()), None)


def _lines(path: Path) -> list[str]:
    return path.read_text(errors="replace").splitlines()
