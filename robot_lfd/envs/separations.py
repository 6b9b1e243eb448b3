"""Pairs of geoms that provably do not touch, so that MuJoCo need not look at them: the same contacts, sooner.

Most of a physics step of an arm is spent on finding out that its links, which are near each other for good, still do
not touch. A plane between two convex bodies proves it for far less, and how far the bodies have moved since says for
how long the proof holds. Pairs without a proof collide as ever. MuJoCo is told by the collision masks of its geoms.
"""

# pyright: reportAttributeAccessIssue=false
# mujoco is a compiled module without types

from __future__ import annotations

from typing import NamedTuple

import mujoco
import numpy as np
from numba import njit

from robot_lfd.envs.mujoco_calls import geom_distance

SLACK_M = 1e-4  # proofs hold with this to spare; MuJoCo's own search stops at 1e-6
_LONGEST_WAIT = 64  # substeps until a pair that touched is tried again
_LOOK_M = 0.3
_BITS = 31
_CUBE = np.array([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])
_SIDES = 16  # a cylinder lies within a prism of so many sides


class Separations(NamedTuple):
    """G geoms that can collide, P pairs of them, V corners of their hulls.

    Attributes:
        geom: (G,) its number in the model. moves: (G,). corners: (V, 3) in the geom's frame, first: (G + 1,) where a
            geom's begin; radius: (G,) what is around them. reach: (G,) the farthest point from the geom's origin.
        pos, mat, path: (G, 3), (G, 9), (G,) the last pose, and a bound of how far any of its points has come since.
        a, b: (P,) the pair, as numbers among the G. plane: (P,) a is an infinite plane.
        way: (P, 3) from a to b, normal to a plane between them, in a's frame.
        until: (P,) while path[a] + path[b] is less, they are apart. wait, patience: (P,) substeps to the next try.
        touching: (P,) has no proof, so MuJoCo looks at it.
        contype, conaffinity: (ngeom,) MuJoCo's masks, in its own memory.
        known: (1,) whether the masks are those of `touching`.
    """

    geom: np.ndarray
    moves: np.ndarray
    corners: np.ndarray
    first: np.ndarray
    radius: np.ndarray
    reach: np.ndarray
    pos: np.ndarray
    mat: np.ndarray
    path: np.ndarray
    a: np.ndarray
    b: np.ndarray
    plane: np.ndarray
    way: np.ndarray
    until: np.ndarray
    wait: np.ndarray
    patience: np.ndarray
    touching: np.ndarray
    contype: np.ndarray
    conaffinity: np.ndarray
    usual: np.ndarray  # (2, ngeom): the masks as compiled
    margin: np.ndarray  # (P,)
    known: np.ndarray


def separations_of(model: mujoco.MjModel) -> Separations:
    """Returns the pairs of a compiled model, none of them proven apart yet."""
    geoms = [g for g in range(model.ngeom) if model.geom_contype[g] or model.geom_conaffinity[g]]
    hulls = [_hull(model, g) for g in geoms]
    index = {g: i for i, g in enumerate(geoms)}
    pairs = [(g, h) for i, g in enumerate(geoms) for h in geoms[i + 1 :] if _may_collide(model, g, h)]
    is_plane = [model.geom_type[g] == mujoco.mjtGeom.mjGEOM_PLANE for g in range(model.ngeom)]
    pairs = [(h, g) if is_plane[h] else (g, h) for g, h in pairs]
    hidden = np.array([hulls[index[g]] is None or hulls[index[h]] is None for g, h in pairs], bool)
    corners = [np.zeros((1, 3)) if hull is None else hull[0] for hull in hulls]
    radius = np.array([0.0 if hull is None else hull[1] for hull in hulls])
    count, total = len(geoms), len(pairs)
    way = np.zeros((total, 3))
    way[:, 2] = 1.0
    return Separations(
        geom=np.array(geoms, np.intp),
        moves=np.array([model.body_weldid[model.geom_bodyid[g]] != 0 for g in geoms], bool),
        corners=np.concatenate([*corners, np.zeros((0, 3))]).astype(np.float64),
        first=np.cumsum([0, *map(len, corners)]).astype(np.intp),
        radius=radius,
        reach=np.array([np.linalg.norm(c, axis=1).max() for c in corners]) + radius,
        pos=np.zeros((count, 3)), mat=np.zeros((count, 9)), path=np.zeros(count),
        a=np.array([index[g] for g, _ in pairs], np.intp), b=np.array([index[h] for _, h in pairs], np.intp),
        plane=np.array([is_plane[g] for g, _ in pairs], bool),
        way=way, until=np.full(total, -np.inf), wait=np.where(hidden, -1, 0),
        patience=np.ones(total, np.intp), touching=np.ones(total, bool),
        contype=model.geom_contype, conaffinity=model.geom_conaffinity,
        usual=np.array([model.geom_contype, model.geom_conaffinity]),
        margin=np.array([model.geom_margin[[g, h]].sum() + model.geom_gap[[g, h]].sum() for g, h in pairs]),
        known=np.zeros(1, bool),
    )  # fmt: skip


def begin(s: Separations, model: mujoco.MjModel) -> None:
    """Forgets every proof: an episode begins, with other poses and perhaps other sizes of its boxes."""
    for k, g in enumerate(s.geom):
        if model.geom_type[g] == mujoco.mjtGeom.mjGEOM_BOX:
            s.corners[s.first[k] : s.first[k + 1]] = model.geom_size[g] * _CUBE
            s.reach[k] = np.linalg.norm(model.geom_size[g])
    s.path[:], s.until[:], s.known[:] = 0.0, -np.inf, False
    s.wait[:] = np.minimum(s.wait, 0)
    s.patience[:] = 1


def _may_collide(model: mujoco.MjModel, g: int, h: int) -> bool:
    masks = model.geom_contype, model.geom_conaffinity
    if not (masks[0][g] & masks[1][h] or masks[0][h] & masks[1][g]):
        return False
    one, other = (int(model.body_weldid[model.geom_bodyid[i]]) for i in (g, h))
    above = [int(model.body_weldid[model.body_parentid[i]]) for i in (one, other)]
    return one != other and not (one and other and (above[0] == other or above[1] == one))


def _hull(model: mujoco.MjModel, g: int) -> tuple[np.ndarray, float] | None:
    """Returns points and a radius around them within which a geom lies, in its frame; None for kinds not known here."""
    kind, size = mujoco.mjtGeom(model.geom_type[g]), model.geom_size[g]
    if kind == mujoco.mjtGeom.mjGEOM_PLANE:
        return np.zeros((1, 3)), 0.0
    if kind == mujoco.mjtGeom.mjGEOM_SPHERE:
        return np.zeros((1, 3)), float(size[0])
    if kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
        return np.array([[0.0, 0.0, size[1]], [0.0, 0.0, -size[1]]]), float(size[0])
    if kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        turn = 2 * np.pi * np.arange(_SIDES) / _SIDES
        ring = size[0] / np.cos(np.pi / _SIDES) * np.stack([np.cos(turn), np.sin(turn)], 1)
        return np.concatenate([np.insert(ring, 2, z, axis=1) for z in (size[1], -size[1])]), 0.0
    if kind in (mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_ELLIPSOID):
        return size * _CUBE, 0.0
    return (_mesh_hull(model, int(model.geom_dataid[g])), 0.0) if kind == mujoco.mjtGeom.mjGEOM_MESH else None


def _mesh_hull(model: mujoco.MjModel, mesh: int) -> np.ndarray:
    first, graph = model.mesh_vertadr[mesh], model.mesh_graphadr[mesh]
    corners = model.mesh_vert[first : first + model.mesh_vertnum[mesh]].astype(np.float64)
    if graph < 0:
        return corners
    count = model.mesh_graph[graph]
    return corners[model.mesh_graph[graph + 2 + count : graph + 2 + 2 * count]]


@njit(cache=True, nogil=True)
def _gap(s, p, xpos, xmat, x, y, z):
    """Returns how far pair p lies apart along the unit vector (x, y, z) of the world; negative where it does not."""
    ends = np.zeros(2)
    for side in range(2):
        k, sign = (s.a[p], 1.0) if side == 0 else (s.b[p], -1.0)
        g = s.geom[k]
        r = xmat[g]
        u = sign * (r[0] * x + r[3] * y + r[6] * z)
        v = sign * (r[1] * x + r[4] * y + r[7] * z)
        w = sign * (r[2] * x + r[5] * y + r[8] * z)
        far = -1e300
        for i in range(s.first[k], s.first[k + 1]):
            reached = u * s.corners[i, 0] + v * s.corners[i, 1] + w * s.corners[i, 2]
            far = max(far, reached)
        ends[side] = far + s.radius[k] + sign * (xpos[g, 0] * x + xpos[g, 1] * y + xpos[g, 2] * z)
    return -ends[1] - ends[0]


@njit(cache=True, nogil=True)
def _tried(s, p, xpos, xmat, x, y, z):
    """Returns the gap along a direction of any length, and keeps that direction."""
    length = np.sqrt(x * x + y * y + z * z)
    if length < 1e-12:
        return -1.0
    x, y, z = x / length, y / length, z / length
    r = xmat[s.geom[s.a[p]]]
    s.way[p, 0] = r[0] * x + r[3] * y + r[6] * z
    s.way[p, 1] = r[1] * x + r[4] * y + r[7] * z
    s.way[p, 2] = r[2] * x + r[5] * y + r[8] * z
    return _gap(s, p, xpos, xmat, x, y, z)


@njit(cache=True, nogil=True)
def _searched(s, p, distance, model, data, xpos, xmat, enough):
    """Returns the gap along the direction between the nearest points, or between the centres where that does."""
    g, h = s.geom[s.a[p]], s.geom[s.b[p]]
    gap = _tried(s, p, xpos, xmat, xpos[h, 0] - xpos[g, 0], xpos[h, 1] - xpos[g, 1], xpos[h, 2] - xpos[g, 2])
    if gap > enough:
        return gap
    line = np.zeros(6)
    low, high = min(g, h), max(g, h)
    if geom_distance(distance, model, data, low, high, _LOOK_M, line.ctypes.data) <= 0.0:
        return gap
    sign = 1.0 if g == low else -1.0
    return _tried(s, p, xpos, xmat, sign * (line[3] - line[0]), sign * (line[4] - line[1]), sign * (line[5] - line[2]))


@njit(cache=True, nogil=True)
def _move(s, xpos, xmat):
    """Adds to each geom's path what it has come since the last call."""
    for k in range(len(s.geom)):
        if not s.moves[k] and s.known[0]:
            continue
        g = s.geom[k]
        along, about = 0.0, 0.0
        for i in range(3):
            along += (xpos[g, i] - s.pos[k, i]) ** 2
            s.pos[k, i] = xpos[g, i]
        for i in range(9):
            about += (xmat[g, i] - s.mat[k, i]) ** 2
            s.mat[k, i] = xmat[g, i]
        s.path[k] += np.sqrt(along) + s.reach[k] * np.sqrt(about)


@njit(cache=True, nogil=True)
def separate(s, distance, model, data, xpos, xmat):
    """Lets MuJoCo look only at the pairs that may touch where the geoms stand now.

    Args:
        distance: the address of mj_geomDistance. model, data: addresses of the structs. xpos, xmat: MuJoCo's own.
    """
    _move(s, xpos, xmat)
    changed = not s.known[0]
    for p in range(len(s.a)):
        come = s.path[s.a[p]] + s.path[s.b[p]]
        if come < s.until[p] or s.wait[p] < 0:
            continue
        touches = True
        if s.wait[p] > 0:
            s.wait[p] -= 1
        else:
            r, enough = xmat[s.geom[s.a[p]]], SLACK_M + s.margin[p]
            x = r[0] * s.way[p, 0] + r[1] * s.way[p, 1] + r[2] * s.way[p, 2]
            y = r[3] * s.way[p, 0] + r[4] * s.way[p, 1] + r[5] * s.way[p, 2]
            z = r[6] * s.way[p, 0] + r[7] * s.way[p, 1] + r[8] * s.way[p, 2]
            gap = _gap(s, p, xpos, xmat, x, y, z)
            if not gap > enough and not s.plane[p]:
                gap = _searched(s, p, distance, model, data, xpos, xmat, enough)
            touches = not gap > enough
            if touches:
                s.wait[p] = s.patience[p]
                s.patience[p] = min(2 * s.patience[p], _LONGEST_WAIT)
            else:
                s.until[p], s.patience[p] = come + gap - enough, 1
        if touches != s.touching[p]:
            s.touching[p] = touches
            changed = True
    if changed:
        _tell(s)
        s.known[0] = True


@njit(cache=True, nogil=True)
def _tell(s):
    """Sets the masks: a bit for every geom that is first in a touching pair, and for whom it touches."""
    for k in range(len(s.geom)):
        s.contype[s.geom[k]] = 0
        s.conaffinity[s.geom[k]] = 0
    bit = 0
    for p in range(len(s.a)):
        if not s.touching[p]:
            continue
        g, h = s.geom[s.a[p]], s.geom[s.b[p]]
        if s.contype[g] == 0 and s.contype[h] != 0:
            g, h = h, g
        if s.contype[g] == 0:
            if bit == _BITS:  # more geoms touch than there are bits: all pairs then, as compiled
                s.contype[:], s.conaffinity[:] = s.usual[0], s.usual[1]
                return
            s.contype[g] = 1 << bit
            bit += 1
        s.conaffinity[h] |= s.contype[g]


@njit(cache=True, nogil=True)
def forget(s):
    """Sets the masks as compiled; what was proven stays proven."""
    s.contype[:], s.conaffinity[:] = s.usual[0], s.usual[1]
    s.known[0] = False
