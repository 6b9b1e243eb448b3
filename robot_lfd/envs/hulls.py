"""Convex hulls of MuJoCo's geoms, and how far two of them lie apart along a direction: what proves them separate."""

# pyright: reportAttributeAccessIssue=false
# mujoco is a compiled module without types

from __future__ import annotations

from typing import Any, NamedTuple

import mujoco
import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from robot_lfd.envs.mujoco_calls import geom_distance

_LOOK_M = 0.3  # geoms farther apart are not searched for their nearest points
CUBE = np.array([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])
_SIDES = 16  # a cylinder lies within a prism of so many sides


class Hulls(NamedTuple):
    """Bodies within which G geoms lie: V corners, and what is within a radius around them.

    Attributes:
        geom: (G,) its number in the model. corners: (3, V) in the geom's frame, first: (G + 1,) where a geom's begin.
        radius: (G,).
    """

    geom: np.ndarray
    corners: np.ndarray
    first: np.ndarray
    radius: np.ndarray


def hull_of(model: mujoco.MjModel, g: int) -> tuple[np.ndarray, float] | None:
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
        return size * CUBE, 0.0
    return (_mesh_hull(model, int(model.geom_dataid[g])), 0.0) if kind == mujoco.mjtGeom.mjGEOM_MESH else None


def _mesh_hull(model: mujoco.MjModel, mesh: int) -> np.ndarray:
    first, graph = model.mesh_vertadr[mesh], model.mesh_graphadr[mesh]
    corners = model.mesh_vert[first : first + model.mesh_vertnum[mesh]].astype(np.float64)
    if graph < 0:
        return corners
    count = model.mesh_graph[graph]
    return corners[model.mesh_graph[graph + 2 + count : graph + 2 + 2 * count]]


def _larger(typingctx, a, b):
    """Returns the larger of two numbers that are none of them NaN, so that a loop of it runs over several at once."""

    def codegen(context, builder, signature, args):
        flags = ("fast",)
        return builder.select(builder.fcmp_ordered(">", *args, flags=flags), *args, flags=flags)

    return types.float64(types.float64, types.float64), codegen


_larger_of: Any = intrinsic(_larger)  # numba hands it the first argument


@njit(cache=True, nogil=True, fastmath=True)  # the slack is far above what another order of adding changes
def _farthest(corners, first, last, u, v, w):
    """Returns how far some corners reach along (u, v, w); numba's own max takes them one by one, six times as long."""
    far = -1e300
    for i in range(np.uint64(first), np.uint64(last)):  # unsigned: no check for an index from the end
        far = _larger_of(far, u * corners[0, i] + v * corners[1, i] + w * corners[2, i])
    return far


@njit(cache=True, nogil=True)
def _reach(hulls, k, sign, xpos, xmat, x, y, z):
    """Returns how far geom k reaches along sign * (x, y, z), a unit vector of the world."""
    g = hulls.geom[k]
    r = xmat[g]
    u = sign * (r[0] * x + r[3] * y + r[6] * z)
    v = sign * (r[1] * x + r[4] * y + r[7] * z)
    w = sign * (r[2] * x + r[5] * y + r[8] * z)
    far = _farthest(hulls.corners, hulls.first[k], hulls.first[k + 1], u, v, w)
    return far + hulls.radius[k] + sign * (xpos[g, 0] * x + xpos[g, 1] * y + xpos[g, 2] * z)


@njit(cache=True, nogil=True)
def _tried(hulls, a, b, way, xpos, xmat, x, y, z):
    """Returns how far a and b lie apart along a direction of any length, and keeps that direction in `way`.

    Negative where they do not.
    """
    length = np.sqrt(x * x + y * y + z * z)
    if length < 1e-12:
        return -1.0
    x, y, z = x / length, y / length, z / length
    r = xmat[hulls.geom[a]]
    way[0] = r[0] * x + r[3] * y + r[6] * z
    way[1] = r[1] * x + r[4] * y + r[7] * z
    way[2] = r[2] * x + r[5] * y + r[8] * z
    return -_reach(hulls, a, 1.0, xpos, xmat, x, y, z) - _reach(hulls, b, -1.0, xpos, xmat, x, y, z)


@njit(cache=True, nogil=True)
def _searched(hulls, a, b, way, distance, model, data, xpos, xmat, enough):
    """Returns the gap along the direction between the nearest points, or between the centres where that does."""
    g, h = hulls.geom[a], hulls.geom[b]
    between = xpos[h, 0] - xpos[g, 0], xpos[h, 1] - xpos[g, 1], xpos[h, 2] - xpos[g, 2]
    gap = _tried(hulls, a, b, way, xpos, xmat, between[0], between[1], between[2])
    if gap > enough:
        return gap
    line = np.zeros(6)
    low, high = min(g, h), max(g, h)
    if geom_distance(distance, model, data, low, high, _LOOK_M, line.ctypes.data) <= 0.0:
        return gap
    sign = 1.0 if g == low else -1.0
    x, y, z = sign * (line[3] - line[0]), sign * (line[4] - line[1]), sign * (line[5] - line[2])
    return _tried(hulls, a, b, way, xpos, xmat, x, y, z)


@njit(cache=True, nogil=True)
def room_between(hulls, a, b, way, plane, enough, distance, model, data, xpos, xmat):
    """Returns how far a and b may move before they might touch; not above 0 where that is not known."""
    r = xmat[hulls.geom[a]]
    x = r[0] * way[0] + r[1] * way[1] + r[2] * way[2]
    y = r[3] * way[0] + r[4] * way[1] + r[5] * way[2]
    z = r[6] * way[0] + r[7] * way[1] + r[8] * way[2]
    gap = -_reach(hulls, a, 1.0, xpos, xmat, x, y, z) - _reach(hulls, b, -1.0, xpos, xmat, x, y, z)
    if not gap > enough and not plane:
        gap = _searched(hulls, a, b, way, distance, model, data, xpos, xmat, enough)
    return gap - enough
