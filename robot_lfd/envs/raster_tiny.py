"""The second half of the software rasteriser for PyBullet: faces' names become colours as its TinyRenderer has them.

One sample a pixel, one light far away, c * (ambient + diffuse n.l + glint r.z^2) with r the mirrored light and z the
world's upward direction, whatever the eye; numbers are cut to whole ones where TinyRenderer cuts them. Nothing here
holds Python's lock.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from robot_lfd.envs.raster_faces import FACE_BITS

AMBIENT, DIFFUSE, GLINT = 0.6, 0.35, 0.05
_FACE_MASK = (1 << FACE_BITS) - 1
_HALF, _ONE, _ZERO, _TINY = np.float32(0.5), np.float32(1.0), np.float32(0.0), np.float32(1e-20)
_AMBIENT, _DIFFUSE, _GLINT = np.float32(AMBIENT), np.float32(DIFFUSE), np.float32(GLINT)
_compiled = njit(cache=True, nogil=True, fastmath=True, error_model="numpy")


@_compiled
def _smooth_normal(s, f, x, y, z, vertices, triangles, normals, scales, poses, told):
    """Fills `told` with the normal, in the shape's own axes, where a point seen from the camera lies on a face."""
    pose, scale = poses[s], scales[s]
    x, y, z = x - pose[9], y - pose[10], z - pose[11]
    p = pose[0] * x + pose[3] * y + pose[6] * z
    q = pose[1] * x + pose[4] * y + pose[7] * z
    r = pose[2] * x + pose[5] * y + pose[8] * z
    i, j, k = triangles[f, 0], triangles[f, 1], triangles[f, 2]
    ax, ay, az = vertices[i, 0] * scale[0], vertices[i, 1] * scale[1], vertices[i, 2] * scale[2]
    az += vertices[i, 3] * scale[3]
    bx, by = vertices[j, 0] * scale[0] - ax, vertices[j, 1] * scale[1] - ay
    bz = vertices[j, 2] * scale[2] + vertices[j, 3] * scale[3] - az
    cx, cy = vertices[k, 0] * scale[0] - ax, vertices[k, 1] * scale[1] - ay
    cz = vertices[k, 2] * scale[2] + vertices[k, 3] * scale[3] - az
    bb, bc, cc = bx * bx + by * by + bz * bz, bx * cx + by * cy + bz * cz, cx * cx + cy * cy + cz * cz
    whole = _ONE / max(bb * cc - bc * bc, np.float32(1e-30))
    db, dc = (p - ax) * bx + (q - ay) * by + (r - az) * bz, (p - ax) * cx + (q - ay) * cy + (r - az) * cz
    v = min(max((cc * db - bc * dc) * whole, _ZERO), _ONE)
    w = min(max((bb * dc - bc * db) * whole, _ZERO), _ONE)
    u = _ONE - v - w
    for n in range(3):
        told[n] = u * normals[f, n] + v * normals[f, 3 + n] + w * normals[f, 6 + n]


@_compiled
def _is_flat(f, normals):
    for n in range(3):
        if normals[f, n] != normals[f, 3 + n] or normals[f, n] != normals[f, 6 + n]:
            return False
    return True


@_compiled
def resolve(
    nearest, owner, bounds, focal, aside, has_behind, background, vertices, triangles, normals, paint, painted,
    paint_from, scales, colours, poses, light, used, local, picture,
):  # fmt: skip
    """Writes the pixels of picture (H, W, 3) uint8 within bounds.

    Args:
        nearest, owner: (H, W) 1 / depth and names of faces, from `cover`. has_behind: pixels without a face stay.
        background: (3,) uint8, the colour of pixels without a face. paint: (N, 3) colours of faces: where
            painted[s], that of face f of shape s is in row paint_from[s] + f.
        light: (6,) the directions towards the light and upwards, as the camera sees them. used: (S,) shapes drawn.
        local: (S, 6) is filled with `light` in each shape's axes.
    """
    for s in range(len(poses)):
        if used[s]:
            for row in range(3):
                for n in range(2):
                    total = _ZERO
                    for column in range(3):
                        total += poses[s, 3 * column + row] * light[3 * n + column]
                    local[s, 3 * n + row] = total
    middle_x = _HALF * np.float32(picture.shape[1]) + aside[0]
    middle_y = _HALF * np.float32(picture.shape[0]) + aside[1]
    normal = np.zeros(3, np.float32)
    last, red, green, blue = np.int32(-1), np.uint8(0), np.uint8(0), np.uint8(0)
    for row in range(bounds[0], bounds[1] + 1):
        for column in range(bounds[2], bounds[3] + 1):
            name = owner[row, column]
            if name < 0:
                if not has_behind:
                    for k in range(3):
                        picture[row, column, k] = background[k]
                continue
            if name != last:
                s, f = name >> FACE_BITS, name & _FACE_MASK
                flat = _is_flat(f, normals)
                if flat:
                    for k in range(3):
                        normal[k] = normals[f, k]
                else:
                    depth = _ONE / nearest[row, column]
                    x = (np.float32(column) + _HALF - middle_x) * depth / focal
                    y = (middle_y - np.float32(row) - _HALF) * depth / focal
                    _smooth_normal(s, f, x, y, -depth, vertices, triangles, normals, scales, poses, normal)
                nx, ny, nz = normal[0] / scales[s, 0], normal[1] / scales[s, 1], normal[2] / scales[s, 2]
                one = _ONE / np.float32(math.sqrt(max(nx * nx + ny * ny + nz * nz, _TINY)))
                facing = one * (nx * local[s, 0] + ny * local[s, 1] + nz * local[s, 2])
                upward = one * (nx * local[s, 3] + ny * local[s, 4] + nz * local[s, 5])
                level = local[s, 0] * local[s, 3] + local[s, 1] * local[s, 4] + local[s, 2] * local[s, 5]
                mirrored = max(np.float32(2.0) * facing * upward - level, _ZERO)
                bright = _AMBIENT + _DIFFUSE * max(facing, _ZERO) + _GLINT * mirrored * mirrored
                a, b, c = np.float32(255.0), np.float32(255.0), np.float32(255.0)
                if painted[s]:
                    at = paint_from[s] + f
                    a, b, c = a * paint[at, 0], b * paint[at, 1], c * paint[at, 2]
                a, b, c = (
                    np.float32(math.floor(a * colours[s, 0])),
                    np.float32(math.floor(b * colours[s, 1])),
                    np.float32(math.floor(c * colours[s, 2])),
                )
                most = np.float32(255.0)
                red, green, blue = (
                    np.uint8(min(a * bright, most)),
                    np.uint8(min(b * bright, most)),
                    np.uint8(min(c * bright, most)),
                )
                last = name if flat else np.int32(-1)  # its next pixel has the same colour
            picture[row, column, 0], picture[row, column, 1], picture[row, column, 2] = red, green, blue
