"""The second half of the software rasteriser, compiled: the colour of each face that is seen.

Written from OpenGL's fixed pipeline, which MuJoCo draws with: ambient, diffuse and specular light, cut at 1, times a
texture with mip-maps between its two nearest sizes. Light is computed where it is seen, not at the corners of faces.
No shadows, no reflections. Nothing here holds Python's lock.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from robot_lfd.envs.raster_faces import CUBE, FACE_BITS, FLAT, PLAIN, UV

_FACE_MASK = (1 << FACE_BITS) - 1
_HALF, _ONE, _ZERO = np.float32(0.5), np.float32(1.0), np.float32(0.0)
_TINY, _BYTE = np.float32(1e-20), np.float32(1.0 / 255.0)
_compiled = njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
# what is called for every face and every pixel: handing 20 arrays over by the stack costs a tenth of a picture
_inlined = njit(cache=True, nogil=True, fastmath=True, error_model="numpy", inline="always")


@_inlined
def _texel(pixels, start, width, height, u, v, wrap, told):
    """Fills `told` with a texture's colour between the four texels around (u, v)."""
    if wrap:
        u, v = u - np.float32(math.floor(u)), v - np.float32(math.floor(v))
    x, y = u * np.float32(width) - _HALF, v * np.float32(height) - _HALF
    left, top = np.int64(math.floor(x)), np.int64(math.floor(y))
    fx, fy = x - np.float32(left), y - np.float32(top)
    right, low = left + 1, top + 1
    if wrap:
        left, right = left + width if left < 0 else left, right - width if right >= width else right
        top, low = top + height if top < 0 else top, low - height if low >= height else low
    left, right = min(max(left, 0), width - 1), min(max(right, 0), width - 1)
    top, low = min(max(top, 0), height - 1), min(max(low, 0), height - 1)
    i, j = start + 3 * (top * width + left), start + 3 * (top * width + right)
    m, n = start + 3 * (low * width + left), start + 3 * (low * width + right)
    for k in range(3):
        upper = np.float32(pixels[i + k]) + fx * (np.float32(pixels[j + k]) - np.float32(pixels[i + k]))
        lower = np.float32(pixels[m + k]) + fx * (np.float32(pixels[n + k]) - np.float32(pixels[m + k]))
        told[k] = (upper + fy * (lower - upper)) * _BYTE


@_inlined
def _filtered(pixels, table, first, count, u_x, v_x, u_y, v_y, u, v, wrap, told):
    """Fills `told` with a texture's colour, between the two sizes of it whose texels are nearest to a pixel's size.

    Args:
        u_x, v_x, u_y, v_y: by how much the place on the texture changes to the next pixel right and below.
    """
    width, height = np.float32(table[first, 1]), np.float32(table[first, 2])
    along = (u_x * width) * (u_x * width) + (v_x * height) * (v_x * height)
    down = (u_y * width) * (u_y * width) + (v_y * height) * (v_y * height)
    size = max(max(along, down), np.float32(1e-12))
    wanted = _HALF * np.float32(math.log2(size))
    low = min(max(np.int64(math.floor(wanted)), 0), count - 1)
    part = min(max(wanted - np.float32(low), _ZERO), _ONE) if low + 1 < count else _ZERO
    one, two, three = _ZERO, _ZERO, _ZERO
    for n in range(2):
        share = part if n else _ONE - part
        if share > np.float32(0.1):  # the other is then nearly all of it
            row = first + low + n
            _texel(pixels, table[row, 0], table[row, 1], table[row, 2], u, v, wrap, told)
            share = _ONE if share > np.float32(0.9) else share
            one, two, three = one + share * told[0], two + share * told[1], three + share * told[2]
    told[0], told[1], told[2] = one, two, three


@_compiled
def _cube_side(x, y, z):
    """Returns which side of a cube a direction points to: right, left, up, down, front, back, as OpenGL has them."""
    a, b, c = abs(x), abs(y), abs(z)
    if a >= b and a >= c:
        return 0 if x > _ZERO else 1
    if b >= c:
        return 2 if y > _ZERO else 3
    return 4 if z > _ZERO else 5


@_compiled
def _on_side(side, x, y, z):
    """Returns the place (u, v) on a side of a cube that a direction points to."""
    if side == 0:
        s, t, m = -z, -y, x
    elif side == 1:
        s, t, m = z, -y, -x
    elif side == 2:
        s, t, m = x, z, y
    elif side == 3:
        s, t, m = x, -z, -y
    elif side == 4:
        s, t, m = x, -y, z
    else:
        s, t, m = -x, -y, -z
    m = _HALF / max(m, np.float32(1e-9))
    return s * m + _HALF, t * m + _HALF


@_compiled
def _sky(column, row, focal, half_w, half_h, step, camera, pixels, table, texture, told):
    """Fills `told` with the sky's colour in the direction of a place on the screen; black where there is no sky."""
    told[0], told[1], told[2] = _ZERO, _ZERO, _ZERO
    if texture[2] == 0:
        return
    x, y = (column - half_w) / focal, (half_h - row) / focal
    step /= focal
    d0 = camera[3] * x + camera[4] * y - camera[5]
    d1 = camera[6] * x + camera[7] * y - camera[8]
    d2 = camera[9] * x + camera[10] * y - camera[11]
    x0, y0, z0 = d0, d2, -d1  # MuJoCo turns the sky by a quarter about x
    side = _cube_side(x0, y0, z0)
    u, v = _on_side(side, x0, y0, z0)
    u1, v1 = _on_side(side, x0 + step * camera[3], y0 + step * camera[9], z0 - step * camera[6])
    u2, v2 = _on_side(side, x0 - step * camera[4], y0 - step * camera[10], z0 + step * camera[7])
    first = texture[1] + (side * texture[2] if texture[3] else 0)
    _filtered(pixels, table, first, texture[2], u1 - u, v1 - v, u2 - u, v2 - v, u, v, False, told)


@_inlined
def _lit(s, point, normal, eye, lights, local, shine, colour, told):
    """Fills `told` with the light that a point sends to the eye, cut at 1. All directions in the shape's own axes."""
    even0, even1, even2 = shine[0], shine[0], shine[0]  # what shines by itself
    bright0, bright1, bright2 = _ZERO, _ZERO, _ZERO
    for n in range(len(lights)):
        lx, ly, lz, share = local[n, 0], local[n, 1], local[n, 2], _ONE
        if lights[n, 15] > _ZERO:  # a spot
            lx, ly, lz = local[n, 3] - point[0], local[n, 4] - point[1], local[n, 5] - point[2]
            far = np.float32(math.sqrt(lx * lx + ly * ly + lz * lz))
            lx, ly, lz = lx / far, ly / far, lz / far
            aim = lx * local[n, 0] + ly * local[n, 1] + lz * local[n, 2]
            if aim < lights[n, 19]:
                continue
            share = aim ** lights[n, 20] / (lights[n, 16] + lights[n, 17] * far + lights[n, 18] * far * far)
        facing = max(normal[0] * lx + normal[1] * ly + normal[2] * lz, _ZERO)
        even0 += share * (lights[n, 6] + facing * lights[n, 9])
        even1 += share * (lights[n, 7] + facing * lights[n, 10])
        even2 += share * (lights[n, 8] + facing * lights[n, 11])
        if facing > _ZERO and shine[1] > _ZERO:
            hx, hy, hz = lx + eye[0], ly + eye[1], lz + eye[2]
            along = normal[0] * hx + normal[1] * hy + normal[2] * hz
            mirrored = along / np.float32(math.sqrt(max(hx * hx + hy * hy + hz * hz, _TINY)))
            if mirrored > shine[3]:  # less could not be seen
                glint = share * shine[1] * mirrored ** shine[2]
                bright0 += glint * lights[n, 12]
                bright1 += glint * lights[n, 13]
                bright2 += glint * lights[n, 14]
    told[0] *= min(_ONE, even0 * colour[0] + bright0)
    told[1] *= min(_ONE, even1 * colour[1] + bright1)
    told[2] *= min(_ONE, even2 * colour[2] + bright2)


@_inlined
def _shade(
    name, column, row, inverse, focal, half_w, half_h, step, vertices, triangles, normals, places, place_from,
    scales, colours, poses, lights, local, shine, textures, repeats, pixels, table, told,
):  # fmt: skip
    """Fills `told` (3,) with the colour in [0, 1] of the face `name`, seen at a place of the screen, at a depth."""
    s, f = name >> FACE_BITS, name & _FACE_MASK
    pose, scale = poses[s], scales[s]
    depth = _ONE / inverse
    x, y, z = (column - half_w) * depth / focal - pose[9], (half_h - row) * depth / focal - pose[10], -depth - pose[11]
    p = pose[0] * x + pose[3] * y + pose[6] * z  # the point in the shape's own axes
    q = pose[1] * x + pose[4] * y + pose[7] * z
    r = pose[2] * x + pose[5] * y + pose[8] * z
    i, j, k = triangles[f, 0], triangles[f, 1], triangles[f, 2]
    ax, ay, az = (
        vertices[i, 0] * scale[0],
        vertices[i, 1] * scale[1],
        vertices[i, 2] * scale[2] + vertices[i, 3] * scale[3],
    )
    bx, by = vertices[j, 0] * scale[0] - ax, vertices[j, 1] * scale[1] - ay
    bz = vertices[j, 2] * scale[2] + vertices[j, 3] * scale[3] - az
    cx, cy = vertices[k, 0] * scale[0] - ax, vertices[k, 1] * scale[1] - ay
    cz = vertices[k, 2] * scale[2] + vertices[k, 3] * scale[3] - az
    bb, bc, cc = bx * bx + by * by + bz * bz, bx * cx + by * cy + bz * cz, cx * cx + cy * cy + cz * cz
    whole = _ONE / max(bb * cc - bc * bc, np.float32(1e-30))
    db, dc = (p - ax) * bx + (q - ay) * by + (r - az) * bz, (p - ax) * cx + (q - ay) * cy + (r - az) * cz
    v = min(max((cc * db - bc * dc) * whole, _ZERO), _ONE)
    w = min(max((bb * dc - bc * db) * whole, _ZERO), _ONE)
    u = _ONE - v - w  # weights of the corners
    nx = (u * normals[f, 0] + v * normals[f, 3] + w * normals[f, 6]) / scale[0]
    ny = (u * normals[f, 1] + v * normals[f, 4] + w * normals[f, 7]) / scale[1]
    nz = (u * normals[f, 2] + v * normals[f, 5] + w * normals[f, 8]) / scale[2]
    one = _ONE / np.float32(math.sqrt(max(nx * nx + ny * ny + nz * nz, _TINY)))
    # from the point to the eye
    ex = -(pose[0] * pose[9] + pose[3] * pose[10] + pose[6] * pose[11]) - p
    ey = -(pose[1] * pose[9] + pose[4] * pose[10] + pose[7] * pose[11]) - q
    ez = -(pose[2] * pose[9] + pose[5] * pose[10] + pose[8] * pose[11]) - r
    away = _ONE / np.float32(math.sqrt(max(ex * ex + ey * ey + ez * ez, _TINY)))
    told[0], told[1], told[2] = _ONE, _ONE, _ONE
    if textures[s, 0] != PLAIN:
        # where the rays of the next pixels meet the plane of the face, from the point
        gx, gy, gz = by * cz - bz * cy, bz * cx - bx * cz, bx * cy - by * cx
        to_eye = gx * ex + gy * ey + gz * ez
        aside = step * depth / focal
        x1, y1, z1 = _neighbour(gx, gy, gz, to_eye, ex, ey, ez, aside * pose[0], aside * pose[1], aside * pose[2])
        x2, y2, z2 = _neighbour(gx, gy, gz, to_eye, ex, ey, ez, -aside * pose[3], -aside * pose[4], -aside * pose[5])
        tu, tv, u1, v1, u2, v2 = _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO
        first = textures[s, 1]
        if textures[s, 0] == UV:
            at = place_from[s] + f
            b0, b1 = places[at, 2] - places[at, 0], places[at, 3] - places[at, 1]
            c0, c1 = places[at, 4] - places[at, 0], places[at, 5] - places[at, 1]
            tu, tv = places[at, 0] + v * b0 + w * c0, places[at, 1] + v * b1 + w * c1
            db, dc = (x1 * bx + y1 * by + z1 * bz) * whole, (x1 * cx + y1 * cy + z1 * cz) * whole
            u1, v1 = (
                (cc * db - bc * dc) * b0 + (bb * dc - bc * db) * c0,
                (cc * db - bc * dc) * b1 + (bb * dc - bc * db) * c1,
            )
            db, dc = (x2 * bx + y2 * by + z2 * bz) * whole, (x2 * cx + y2 * cy + z2 * cz) * whole
            u2, v2 = (
                (cc * db - bc * dc) * b0 + (bb * dc - bc * db) * c0,
                (cc * db - bc * dc) * b1 + (bb * dc - bc * db) * c1,
            )
        elif textures[s, 0] == FLAT:
            a, b = _HALF * repeats[s, 0] / scale[0], -_HALF * repeats[s, 1] / scale[1]
            tu, tv, u1, v1, u2, v2 = a * p - _HALF, b * q - _HALF, a * x1, b * y1, a * x2, b * y2
        else:
            a, b, c = repeats[s, 0] / scale[0], repeats[s, 1] / scale[1], repeats[s, 2] / scale[2]
            side = _cube_side(p * a, q * b, r * c)
            tu, tv = _on_side(side, p * a, q * b, r * c)
            u1, v1 = _on_side(side, (p + x1) * a, (q + y1) * b, (r + z1) * c)
            u2, v2 = _on_side(side, (p + x2) * a, (q + y2) * b, (r + z2) * c)
            u1, v1, u2, v2 = u1 - tu, v1 - tv, u2 - tu, v2 - tv
            if textures[s, 3]:
                first += side * textures[s, 2]
        _filtered(pixels, table, first, textures[s, 2], u1, v1, u2, v2, tu, tv, textures[s, 0] != CUBE, told)
    _lit(
        s, (p, q, r), (nx * one, ny * one, nz * one), (ex * away, ey * away, ez * away), lights, local[s], shine[s],
        colours[s], told,
    )  # fmt: skip


@_inlined
def _neighbour(gx, gy, gz, to_eye, ex, ey, ez, sx, sy, sz):
    """Returns where the ray from the eye past the point, moved by s, meets the plane with normal g, from the point."""
    slope = to_eye - (gx * sx + gy * sy + gz * sz)
    reach = to_eye / slope if abs(slope) > np.float32(1e-3) * abs(to_eye) else _ONE
    return ex + reach * (sx - ex), ey + reach * (sy - ey), ez + reach * (sz - ez)


@_compiled
def _local_lights(lights, poses, used, local):
    """Fills local (S, L, 6) with the lights' directions and places in the axes of each shape that is used."""
    for s in range(len(poses)):
        if not used[s]:
            continue
        for n in range(len(lights)):
            for row in range(3):
                towards, place = _ZERO, _ZERO
                for column in range(3):
                    towards += poses[s, 3 * column + row] * lights[n, 3 + column]
                    place += poses[s, 3 * column + row] * (lights[n, column] - poses[s, 9 + column])
                local[s, n, row], local[s, n, 3 + row] = towards, place


@_compiled
def resolve(
    nearest, owner, bounds, focal, step, camera, behind, has_behind, is_veil, sky_texture, vertices, triangles, normals,
    places, place_from, scales, colours, poses, lights, local, used, shine, textures, repeats, pixels, table, picture,
):  # fmt: skip
    """Turns faces' names into colours: pixels of picture (H, W, 3) uint8 within bounds, each the mean of 2 x 2 samples.

    Args:
        step: how many samples it is to the next pixel of the picture that is wanted in the end.
        behind: (2H, 2W, 3) uint8, what is seen in samples where nothing was drawn; the sky where not `has_behind`.
        is_veil: what was drawn is one transparent shape, to be laid over the picture, twice as MuJoCo does.
    """
    half_w, half_h = np.float32(picture.shape[1]), np.float32(picture.shape[0])
    quarter = np.float32(0.25)
    _local_lights(lights, poses, used, local)
    told, total = np.zeros(3, np.float32), np.zeros(3, np.float32)
    names, weights = np.zeros(4, np.int64), np.zeros(4, np.float32)
    xs, ys, zs = np.zeros(4, np.float32), np.zeros(4, np.float32), np.zeros(4, np.float32)
    for row in range(bounds[0] // 2, bounds[1] // 2 + 1):
        for column in range(bounds[2] // 2, bounds[3] // 2 + 1):
            i, j = 2 * row, 2 * column
            empty = owner[i, j] < 0 and owner[i, j + 1] < 0 and owner[i + 1, j] < 0 and owner[i + 1, j + 1] < 0
            if empty and (has_behind or is_veil):
                continue
            found, bare = 0, 0
            total[0], total[1], total[2] = _ZERO, _ZERO, _ZERO
            for n in range(4):
                y, x = i + n // 2, j + n % 2
                name = owner[y, x]
                if name < 0:
                    bare += 1
                    if has_behind:
                        for k in range(3):
                            total[k] += np.float32(behind[y, x, k]) * (quarter * _BYTE)
                    continue
                known = 0
                while known < found and names[known] != name:
                    known += 1
                if known == found:
                    names[known], weights[known], xs[known], ys[known], zs[known] = name, _ZERO, _ZERO, _ZERO, _ZERO
                    found += 1
                weights[known] += quarter
                xs[known] += np.float32(x) + _HALF
                ys[known] += np.float32(y) + _HALF
                zs[known] += nearest[y, x]
            if bare and not (has_behind or is_veil):
                _sky(
                    np.float32(j + 1), np.float32(i + 1), focal, half_w, half_h, step, camera, pixels, table,
                    sky_texture, told,
                )  # fmt: skip
                for k in range(3):
                    total[k] += quarter * np.float32(bare) * told[k]
            for n in range(found):
                count = quarter / weights[n]
                _shade(
                    names[n], xs[n] * count, ys[n] * count, zs[n] * count, focal, half_w, half_h, step, vertices,
                    triangles, normals, places, place_from, scales, colours, poses, lights, local, shine, textures,
                    repeats, pixels, table, told,
                )  # fmt: skip
                for k in range(3):
                    total[k] += weights[n] * told[k]
            if is_veil:
                through = _ONE - colours[names[0] >> FACE_BITS, 3]
                share = _ONE - through * through
                left = _ONE - share * (_ONE - quarter * np.float32(bare))
                for k in range(3):
                    total[k] = share * total[k] + left * _BYTE * np.float32(picture[row, column, k])
            for k in range(3):
                picture[row, column, k] = np.uint8(min(max(total[k], _ZERO), _ONE) * np.float32(255.0) + _HALF)
