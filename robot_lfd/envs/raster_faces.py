"""The first half of the software rasteriser, compiled: which face is seen in each sample, and how far away.

Perspective as OpenGL has it: the camera looks along its -z, its angle is the vertical one, faces seen from behind are
left out. A sample keeps 1 / depth and the name of its face, `shape << FACE_BITS | face`. Nothing here holds Python's
lock. No compiled function here calls one of another file: numba would keep a stale copy on the disk.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

FACE_BITS = 20
PLANE, SPHERE, CAPSULE, ELLIPSOID, CYLINDER, BOX, MESH = 0, 2, 3, 4, 5, 6, 7  # MuJoCo's own numbers
PLAIN, UV, FLAT, CUBE = 0, 1, 2, 3  # where the places on a texture come from: nowhere, the mesh, x and y, a direction
LIGHT_COLUMNS = 21
SMALL_PX = 0.2  # a shape of a smaller radius, in samples, is not drawn
OPAQUE = 0.995  # MuJoCo's own bound
_HIDDEN = np.float32(1.0001)  # by so much nearer must be what hides: 1 / depth between corners is rounded
_HALF, _ONE, _ZERO = np.float32(0.5), np.float32(1.0), np.float32(0.0)
_compiled = njit(cache=True, nogil=True, fastmath=True, error_model="numpy")


@_compiled
def _behind(pose):
    """Returns whether the camera is behind a plane: its normal points away."""
    return pose[2] * pose[9] + pose[5] * pose[10] + pose[8] * pose[11] > 0.0


@_compiled
def unchanged(
    shapes, scales, colours, poses, lights, camera, old_scales, old_colours, old_poses, old_lights, old_camera
):
    """Returns whether the shapes, the lights and the camera are as they were."""
    for k in range(12):
        if camera[k] != old_camera[k]:
            return False
    for n in range(len(lights)):
        for k in range(LIGHT_COLUMNS):
            if lights[n, k] != old_lights[n, k]:
                return False
    for s in shapes:
        for k in range(12):
            if poses[s, k] != old_poses[s, k]:
                return False
        for k in range(4):
            if scales[s, k] != old_scales[s, k] or colours[s, k] != old_colours[s, k]:
                return False
    return True


@_compiled
def _outside(pose, scale, box, kind, focal, near, half_w, half_h):
    """Returns whether a shape's box lies wholly on the outer side of a plane of the view's pyramid."""
    cx, cy, cz, hx, hy, hz = box[0], box[1], box[2], box[3], box[4], box[5]
    if kind != MESH:
        hx, hy, hz = scale[0], scale[1], scale[2] + scale[3]
    x = pose[0] * cx + pose[1] * cy + pose[2] * cz + pose[9]
    y = pose[3] * cx + pose[4] * cy + pose[5] * cz + pose[10]
    z = pose[6] * cx + pose[7] * cy + pose[8] * cz + pose[11]
    for plane in range(5):
        a, b, c, d = _ZERO, _ZERO, -_ONE, -near  # in front of the near plane
        if plane == 1 or plane == 2:
            a, c, d = focal if plane == 1 else -focal, -half_w, _ZERO
        elif plane > 2:
            b, c, d = focal if plane == 3 else -focal, -half_h, _ZERO
        reach = (
            hx * abs(a * pose[0] + b * pose[3] + c * pose[6])
            + hy * abs(a * pose[1] + b * pose[4] + c * pose[7])
            + hz * abs(a * pose[2] + b * pose[5] + c * pose[8])
        )
        if a * x + b * y + c * z + d < -reach:
            return True
    return False


@_compiled
def _level(pose, scale, box, kind, radius, first, count, edges, focal, near, wanted_px):
    """Returns the coarsest level whose edges look no longer than `wanted_px`, -1 for a shape too small to be seen."""
    if kind == PLANE:
        return first
    if radius * focal < SMALL_PX * max(-pose[11], near):
        return -1
    away, size = _ZERO, _ONE  # from the camera to the box around the shape, in the shape's axes
    for k in range(3):
        eye = -(pose[k] * pose[9] + pose[3 + k] * pose[10] + pose[6 + k] * pose[11])
        half = box[3 + k] if kind == MESH else scale[k] + (scale[3] if k == 2 else _ZERO)
        out = max(abs(eye - box[k]) - half, _ZERO)
        away += out * out
    if kind != MESH:
        size = max(scale[0], scale[1])
    room = wanted_px * max(np.float32(math.sqrt(away)), near)
    level = first
    for k in range(first, first + count):
        if edges[k] * size * focal <= room:
            level = k
    return level


@_compiled
def _project(pose, scale, vertices, first, count, focal, middle_x, middle_y, points):
    """Fills points (count, 4): place on the screen in samples, 1 / depth, depth."""
    a0, a1, a2, a3 = pose[0] * scale[0], pose[1] * scale[1], pose[2] * scale[2], pose[2] * scale[3]
    b0, b1, b2, b3 = pose[3] * scale[0], pose[4] * scale[1], pose[5] * scale[2], pose[5] * scale[3]
    c0, c1, c2, c3 = pose[6] * scale[0], pose[7] * scale[1], pose[8] * scale[2], pose[8] * scale[3]
    for i in range(count):
        v = first + i
        p, q, r, o = vertices[v, 0], vertices[v, 1], vertices[v, 2], vertices[v, 3]
        depth = -(c0 * p + c1 * q + c2 * r + c3 * o + pose[11])
        inverse = _ONE / depth
        points[i, 0] = middle_x + focal * (a0 * p + a1 * q + a2 * r + a3 * o + pose[9]) * inverse
        points[i, 1] = middle_y - focal * (b0 * p + b1 * q + b2 * r + b3 * o + pose[10]) * inverse
        points[i, 2] = inverse
        points[i, 3] = depth


@_compiled
def _clipped(points, a, b, c, near, middle_x, middle_y, corners):
    """Fills corners (4, 3) with what of a triangle lies beyond the near plane; returns how many corners that has."""
    count = 0
    for k in range(3):
        i = a if k == 0 else b if k == 1 else c
        j = b if k == 0 else c if k == 1 else a
        d, e = points[i, 3], points[j, 3]
        if d >= near:
            corners[count, 0], corners[count, 1], corners[count, 2] = points[i, 0], points[i, 1], points[i, 2]
            count += 1
        if (d >= near) != (e >= near):
            t = (near - d) / (e - d)
            # places on the screen times depth are linear along the edge
            x = (_ONE - t) * (points[i, 0] - middle_x) * d + t * (points[j, 0] - middle_x) * e
            y = (_ONE - t) * (points[i, 1] - middle_y) * d + t * (points[j, 1] - middle_y) * e
            corners[count, 0], corners[count, 1] = middle_x + x / near, middle_y + y / near
            corners[count, 2] = _ONE / near
            count += 1
    return count


@_compiled
def _face_corners(
    piece, first, s, whole, turned, near, middle_x, middle_y, stagger, size, triangles, points, clip, corners, names
):
    """Fills corners (N, 9) with x, y, 1 / depth of the corners of what may cover a sample, names (N,) with its name.

    Corners go round against the clock (y points down, so their area is negative).

    Args:
        whole: no face reaches the near plane. turned: faces are seen from behind. size: rows and columns.

    Returns:
        how many there are.
    """
    total, aside = 0, _HALF - abs(stagger)
    wide, high = np.float32(size[1]) - aside, np.float32(size[0]) - aside
    for f in range(piece[2], piece[2] + piece[3]):
        a, b, c = triangles[f, 0] - first, triangles[f, 1] - first, triangles[f, 2] - first
        if turned:
            a, b = b, a
        count, cut = 3, False
        if not whole:
            beyond = (points[a, 3] >= near) + (points[b, 3] >= near) + (points[c, 3] >= near)
            if beyond == 0:
                continue
            if beyond < 3:
                count, cut = _clipped(points, a, b, c, near, middle_x, middle_y, clip), True
        x0, y0, z0 = points[a, 0], points[a, 1], points[a, 2]
        x1, y1, z1 = points[b, 0], points[b, 1], points[b, 2]
        x2, y2, z2 = points[c, 0], points[c, 1], points[c, 2]
        for k in range(1, count - 1):
            if cut:
                x0, y0, z0 = clip[0, 0], clip[0, 1], clip[0, 2]
                x1, y1, z1 = clip[k, 0], clip[k, 1], clip[k, 2]
                x2, y2, z2 = clip[k + 1, 0], clip[k + 1, 1], clip[k + 1, 2]
            low_x, high_x = min(x0, min(x1, x2)), max(x0, max(x1, x2))
            low_y, high_y = min(y0, min(y1, y2)), max(y0, max(y1, y2))
            corners[total, 0], corners[total, 1], corners[total, 2] = x0, y0, z0
            corners[total, 3], corners[total, 4], corners[total, 5] = x1, y1, z1
            corners[total, 6], corners[total, 7], corners[total, 8] = x2, y2, z2
            names[total] = (s << FACE_BITS) | f
            # one sum instead of branches, which a processor cannot foresee here: half of all faces look away
            total += (
                ((x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0) < _ZERO)
                & (high_x >= aside) & (high_y >= aside) & (low_x <= wide) & (low_y <= high)
                & (np.ceil(low_x - _ONE + aside) <= np.floor(high_x - aside))
                & (np.ceil(low_y - _ONE + aside) <= np.floor(high_y - aside))
            )  # fmt: skip
    return total


@_compiled
def _fill(count, corners, names, stagger, nearest, owner, bounds):
    """Draws triangles, see `_face_corners`."""
    rows, columns = nearest.shape
    aside = _HALF - abs(stagger)
    low_row, high_row, low_column, high_column = bounds[0], bounds[1], bounds[2], bounds[3]
    for n in range(count):
        x0, y0, z0 = corners[n, 0], corners[n, 1], corners[n, 2]
        x1, y1, z1 = corners[n, 3], corners[n, 4], corners[n, 5]
        x2, y2, z2 = corners[n, 6], corners[n, 7], corners[n, 8]
        low_x, high_x = min(x0, min(x1, x2)), max(x0, max(x1, x2))
        low_y, high_y = min(y0, min(y1, y2)), max(y0, max(y1, y2))
        left = np.int64(math.ceil(max(low_x - _ONE + aside, _ZERO)))
        right = np.int64(math.floor(min(high_x - aside, np.float32(columns - 1))))
        top = np.int64(math.ceil(max(low_y - _ONE + aside, _ZERO)))
        bottom = np.int64(math.floor(min(high_y - aside, np.float32(rows - 1))))
        inverse = _ONE / ((x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0))
        # each corner's weight is 1 in it and 0 on the opposite edge, linear on the screen; so is 1 / depth
        u_x, u_y = (y1 - y2) * inverse, (x2 - x1) * inverse
        v_x, v_y = (y2 - y0) * inverse, (x0 - x2) * inverse
        w_x = -u_x - v_x
        z_u, z_v = z0 - z2, z1 - z2
        drawn = False
        for row in range(top, bottom + 1):
            y = np.float32(row) + _HALF - y2
            x = np.float32(left) + (_HALF - stagger if row & 1 else _HALF + stagger) - x2
            u, v = u_x * x + u_y * y, v_x * x + v_y * y
            first, last = left, right
            if right - left > 6:  # a long row: its ends by division, not sample by sample
                span = np.float32(right - left)
                start, end = _ZERO, span
                for k in range(3):
                    value, slope = (u, u_x) if k == 0 else (v, v_x) if k == 1 else (_ONE - u - v, w_x)
                    value += abs(stagger) * abs(u_y if k == 0 else v_y if k == 1 else u_y + v_y)
                    if slope > _ZERO:
                        start = max(start, -value / slope)
                    elif slope < _ZERO:
                        end = min(end, -value / slope)
                    elif value < _ZERO:
                        end = -_ONE
                if start > end:
                    continue
                # a sample more on each side: the exact test below decides
                first = max(left, left + np.int64(start) - 1)
                last = min(right, left + np.int64(end) + 2)
                skipped = np.float32(first - left)
                u, v = u + skipped * u_x, v + skipped * v_x
            lower = stagger if first & 1 else -stagger
            for column in range(first, last + 1):
                a, b = u + lower * u_y, v + lower * v_y
                z = z2 + a * z_u + b * z_v
                if (a >= _ZERO) & (b >= _ZERO) & (a + b <= _ONE) & (z > nearest[row, column]):
                    nearest[row, column] = z
                    owner[row, column] = names[n]
                    drawn = True
                u += u_x
                v += v_x
                lower = -lower
        if drawn:
            low_row, high_row = min(low_row, top), max(high_row, bottom)
            low_column, high_column = min(low_column, left), max(high_column, right)
    bounds[0], bounds[1], bounds[2], bounds[3] = low_row, high_row, low_column, high_column


@_compiled
def _radius(s, radii, scales):
    if radii[s] >= _ZERO:
        return radii[s]
    return np.float32(math.sqrt(scales[s, 0] ** 2 + scales[s, 1] ** 2 + (scales[s, 2] + scales[s, 3]) ** 2))


@_compiled
def _hidden(pose, box, focal, near, middle_x, middle_y, nearest):
    """Returns whether all that a mesh's box could cover is covered already by what is nearer."""
    rows, columns = nearest.shape
    low_x, high_x, low_y, high_y, closest = np.float32(columns), _ZERO, np.float32(rows), _ZERO, np.float32(1e30)
    for corner in range(8):
        p = box[0] + (box[3] if corner & 1 else -box[3])
        q = box[1] + (box[4] if corner & 2 else -box[4])
        r = box[2] + (box[5] if corner & 4 else -box[5])
        depth = -(pose[6] * p + pose[7] * q + pose[8] * r + pose[11])
        if depth < near:
            return False
        x = middle_x + focal * (pose[0] * p + pose[1] * q + pose[2] * r + pose[9]) / depth
        y = middle_y - focal * (pose[3] * p + pose[4] * q + pose[5] * r + pose[10]) / depth
        low_x, high_x, low_y, high_y = min(low_x, x), max(high_x, x), min(low_y, y), max(high_y, y)
        closest = min(closest, depth)
    most = _HIDDEN / closest
    for row in range(max(np.int64(low_y), 0), min(np.int64(high_y) + 1, rows)):
        for column in range(max(np.int64(low_x), 0), min(np.int64(high_x) + 1, columns)):
            if nearest[row, column] < most:
                return False
    return True


@_compiled
def _draw(
    s, kind, radius, piece, box, several, vertices, triangles, scales, poses,
    focal, near, half_w, half_h, middle_x, middle_y, stagger, points, clip, corners, names, nearest, owner,
    bounds,
):  # fmt: skip
    """Draws a piece of a shape; returns how many triangles were looked at."""
    pose = poses[s]
    if several and (
        _outside(pose, scales[s], box, kind, focal, near, half_w, half_h)
        or _hidden(pose, box, focal, near, middle_x, middle_y, nearest)
    ):
        return 0
    first = piece[0]
    _project(pose, scales[s], vertices, first, piece[1], focal, middle_x, middle_y, points)
    whole = -pose[11] - radius > near and kind != PLANE
    count = _face_corners(
        piece, first, s, whole, kind == PLANE and _behind(pose), near, middle_x, middle_y, stagger, nearest.shape,
        triangles, points, clip, corners, names,
    )  # fmt: skip
    _fill(count, corners, names, stagger, nearest, owner, bounds)
    return piece[3]


@_compiled
def cover(
    drawn, veils, finest, kinds, radii, boxes, level_from, level_count, level_edges, level_pieces, pieces, piece_boxes,
    vertices, triangles, scales, colours, poses, focal, near, far, aside, wanted_px, stagger, points, clip, corners,
    names, start, started, nearest, owner, bounds, used,
):  # fmt: skip
    """Draws those of the shapes `drawn` that are opaque, or (`veils`) those that are not, into `nearest` and `owner`.

    Args:
        aside: (2,) how far right and down of the screen's middle the camera looks, in samples.
        stagger: see Scene in raster.py. points, clip, corners, names: room for one piece of a mesh.
        start: what `nearest` begins as where `started`; otherwise 1 / far.
        bounds: (4,) is filled with the first and last row and column that were drawn to.
        used: (S,) marks the shapes that were looked at.

    Returns:
        how many triangles were looked at.
    """
    rows, columns = nearest.shape
    middle_x, middle_y = np.float32(0.5 * columns) + aside[0], np.float32(0.5 * rows) + aside[1]
    half_w, half_h = np.float32(0.5 * columns) + abs(aside[0]), np.float32(0.5 * rows) + abs(aside[1])
    owner[:] = -1
    if started:
        nearest[:] = start
    else:
        nearest[:] = _ONE / far
    bounds[0], bounds[1], bounds[2], bounds[3] = rows, -1, columns, -1
    total = 0
    for s in drawn:
        if colours[s, 3] <= 0.0 or (colours[s, 3] < OPAQUE) != veils:
            continue
        if kinds[s] != PLANE and _outside(poses[s], scales[s], boxes[s], kinds[s], focal, near, half_w, half_h):
            continue
        radius = _radius(s, radii, scales)
        count = 1 if finest else level_count[s]
        level = _level(
            poses[s], scales[s], boxes[s], kinds[s], radius, level_from[s], count, level_edges, focal, near, wanted_px
        )
        if level < 0:
            continue
        for n in range(level_pieces[level, 0], level_pieces[level, 0] + level_pieces[level, 1]):
            total += _draw(
                s, kinds[s], radius, pieces[n], piece_boxes[n], level_pieces[level, 1] > 1, vertices, triangles, scales,
                poses, focal, near, half_w, half_h, middle_x, middle_y, stagger, points, clip, corners, names,
                nearest, owner, bounds,
            )  # fmt: skip
        used[s] = True
    return total


@_compiled
def visible_veils(shapes, kinds, radii, boxes, scales, colours, poses, focal, near, rows, columns, told):
    """Fills `told` with the transparent shapes that are in view, the farthest first; returns how many there are."""
    half_w, half_h = np.float32(0.5 * columns), np.float32(0.5 * rows)
    count = 0
    for s in shapes:
        if not (0.0 < colours[s, 3] < OPAQUE):
            continue
        if kinds[s] != PLANE and _outside(poses[s], scales[s], boxes[s], kinds[s], focal, near, half_w, half_h):
            continue
        at = count
        away = _distance(s, kinds, radii, scales, poses)
        while at > 0 and _distance(told[at - 1], kinds, radii, scales, poses) < away:
            told[at] = told[at - 1]
            at -= 1
        told[at] = s
        count += 1
    return count


@_compiled
def _distance(s, kinds, radii, scales, poses):
    if kinds[s] == PLANE:
        return np.float32(1e10)
    pose = poses[s]
    return np.float32(math.sqrt(pose[9] ** 2 + pose[10] ** 2 + pose[11] ** 2)) - _radius(s, radii, scales)
