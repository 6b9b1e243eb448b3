"""A robot's URDF with fewer triangles to draw: made once from its own meshes, then kept in the user's cache folder.

The collision shapes and masses stay, so the physics is the same bit for bit; only pictures change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from robot_lfd.envs.stored_once import stored_once
from robot_lfd.errors import LfdError

QUALITIES = ("reference", "fast")
VERSION = 1
CELL_M = 0.012  # vertices that share a cube of this side become one
FINE_CELLS = {"hand": 0.008}  # the wrist camera sees it from near
FEW_TRIANGLES = 1000  # a mesh of no more stays as it is
_VISUAL_MESH = re.compile(r'(<visual>(?:(?!</visual>).)*?<mesh filename=")([^"]+\.obj)"', re.DOTALL)


def drawn_urdf(urdf: Path, quality: str) -> Path:
    """Returns `urdf` itself for the quality "reference", for "fast" the one with coarse visual meshes.

    Making that takes about three seconds, once: 101,000 triangles of the Panda become 11,000 (LOG.md).

    Raises:
        LfdError: there is no such quality.
    """
    if quality not in QUALITIES:
        raise LfdError(f"picture quality is '{quality}', expected one of: {', '.join(QUALITIES)}")
    return urdf if quality == "reference" else _low_poly(urdf)


def _low_poly(urdf: Path) -> Path:
    text = urdf.read_text()
    recipe = f"{VERSION} {CELL_M} {FINE_CELLS} {FEW_TRIANGLES} {urdf} {text}"
    return stored_once("low-poly", recipe, lambda: _made(urdf, text)) / urdf.name


def _made(urdf: Path, text: str) -> dict[str, bytes]:
    """Returns the URDF and the files that it needs, by their names."""
    files: dict[str, bytes] = {}
    for name in sorted({name for _, name in _VISUAL_MESH.findall(text)}):
        mesh = urdf.parent / name.removeprefix("package://")
        whole = _read(mesh)
        if sum(map(len, whole.faces_of.values())) <= FEW_TRIANGLES:
            continue
        text = _VISUAL_MESH.sub(lambda m, old=name, new=mesh.name: m[0].replace(old, new), text)
        files[mesh.name] = "\n".join(_coarse(mesh.stem, whole)).encode()
        files |= _materials(mesh.with_suffix(".mtl"))
    files[urdf.name] = text.replace("package://", f"{urdf.parent}/").encode()
    return files


def _materials(path: Path) -> dict[str, bytes]:
    """Returns the material file and the textures that it names; it names them on the disk of whoever made it."""
    lines, files = [], {}
    for line in path.read_text().splitlines():
        if line.startswith("map_"):
            kind, _, where = line.partition(" ")
            texture = path.with_name(where.replace("\\", "/").rpartition("/")[2])
            line = f"{kind} {texture.name}"
            files[texture.name] = texture.read_bytes()
        lines.append(line)
    return {**files, path.name: "\n".join(lines).encode()}


class _Mesh(NamedTuple):
    """Points (V, 3), texture places (T, 2), normals (N, 3); per material line, triangles (F, 3, 3) as their numbers."""

    points: np.ndarray
    places: np.ndarray
    normals: np.ndarray
    faces_of: dict[str, np.ndarray]


def _read(path: Path) -> _Mesh:
    """Returns what a Wavefront OBJ file holds. A corner without texture place gets number 0, at (0, 0)."""
    rows: dict[str, list[list[str]]] = {"v": [], "vt": [["0", "0"]], "vn": [["0", "0", "1"]]}
    faces_of: dict[str, list[list[list[int]]]] = {}
    material = ""
    for line in path.read_text().splitlines():
        kind, *rest = line.split() or [""]
        if kind in rows:
            rows[kind].append(rest[: 2 if kind == "vt" else 3])
        elif kind == "usemtl":
            material = line.strip()
        elif kind == "f":
            ring = [_corner(c) for c in rest]
            faces_of.setdefault(material, []).extend([ring[0], ring[k], ring[k + 1]] for k in range(1, len(ring) - 1))
    arrays = {name: np.array(faces) for name, faces in faces_of.items()}
    points, places, normals = (np.array(rows[k], np.float64) for k in ("v", "vt", "vn"))
    return _Mesh(points, places, normals, arrays)


def _corner(word: str) -> list[int]:
    """Returns the numbers of point, texture place and normal of `1/2/3`, `1//3` or `1`."""
    point, place, normal = (*word.split("/"), "", "")[:3]
    return [int(point) - 1, int(place or 0), int(normal or 0)]


def _coarse(name: str, mesh: _Mesh) -> Iterator[str]:
    """Yields the lines of the mesh with all vertices of one material in one cube of space made one."""
    cell_m = FINE_CELLS.get(name, CELL_M)
    yield f"mtllib {name}.mtl"
    first = 1
    for material, faces in mesh.faces_of.items():
        corners = faces.reshape(-1, 3)
        p, n = mesh.points[corners[:, 0]], mesh.normals[corners[:, 2]]
        cells, cell_of = _groups(np.floor(p / cell_m))
        sides, side_of = _groups(np.concatenate([np.floor(p / cell_m), np.round(0.75 * n)], 1))  # thin parts: two sides
        one_of = np.zeros(sides, np.int64)
        one_of[side_of] = np.arange(len(corners))  # some corner of each side
        triangles = _without_slivers(side_of.reshape(-1, 3), cell_of.reshape(-1, 3))
        if not len(triangles):
            continue
        yield from _lines("v", _means(p, cell_of, cells)[cell_of[one_of]])
        yield from _lines("vt", mesh.places[corners[one_of, 1]])
        yield from _lines("vn", _means(n, side_of, sides))
        yield material
        yield from ("f " + " ".join(f"{i}/{i}/{i}" for i in row) for row in triangles + first)
        first += sides


def _lines(kind: str, rows: np.ndarray) -> Iterator[str]:
    return (kind + "".join(f" {x:.5f}" for x in row) for row in rows)


def _without_slivers(sides: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Returns the triangles (F, 3) whose corners lie in three cells, each once."""
    a, b, c = cells.T
    whole = (a != b) & (b != c) & (a != c)
    _, kept = np.unique(np.sort(cells[whole], 1), axis=0, return_index=True)
    return sides[whole][np.sort(kept)]


def _groups(keys: np.ndarray) -> tuple[int, np.ndarray]:
    """Returns how many different rows there are, and the number of each row's group."""
    found, number = np.unique(keys.astype(np.int64), axis=0, return_inverse=True)
    return len(found), number.ravel()


def _means(rows: np.ndarray, group: np.ndarray, count: int) -> np.ndarray:
    sums = np.stack([np.bincount(group, column, count) for column in rows.T], 1)
    return sums / np.bincount(group, minlength=count)[:, None]
