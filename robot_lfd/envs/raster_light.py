"""The second half of the software rasteriser, compiled: the colour of each face that is seen.

Written from OpenGL's fixed pipeline, which MuJoCo draws with: ambient, diffuse and specular light, cut at 1, times a
texture with mip-maps between its two nearest sizes. Light is computed where it is seen, not at the corners of faces.
No shadows, no reflections. Nothing here holds Python's lock.

One long file: what numba keeps on the disk is thrown away when the file of a function changes, not when that of a
function which it calls does.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from robot_lfd.envs.raster_faces import CUBE, FACE_BITS, FLAT, PLAIN, UV

_FACE_MASK = (1 << FACE_BITS) - 1
_HALF, _ONE, _ZERO = np.float32(0.5), np.float32(1.0), np.float32(0.0)
_FACET_PX = np.float32(6.0)  # a face that looks smaller, in samples, has one normal (LOG.md, 2026-11-30)
_TINY, _BYTE = np.float32(1e-20), np.float32(1.0 / 255.0)
_compiled = njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
# what is called for every spot takes numbers, the loops over them take arrays: to hand an array over counts its owners,
# numba does so even where a function is inlined, and that was 200 ns a spot
_inlined = njit(cache=True, nogil=True, fastmath=True, error_model="numpy", forceinline=True)
_ROWS = 4  # of pixels that are coloured at a time: their spots stay in the processor's fastest memory


@_inlined
def _between(a, b, c, d, x, y):
    """Returns what lies between four corners, the first two above the others."""
    a, b, c, d = np.float32(a), np.float32(b), np.float32(c), np.float32(d)
    upper, lower = a + x * (b - a), c + x * (d - c)
    return upper + y * (lower - upper)


@_inlined
def _texel(pixels, start, width, height, u, v, wrap):
    """Returns a texture's colour between the four texels around (u, v), in [0, 255]."""
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
    return (
        _between(pixels[i], pixels[j], pixels[m], pixels[n], fx, fy),
        _between(pixels[i + 1], pixels[j + 1], pixels[m + 1], pixels[n + 1], fx, fy),
        _between(pixels[i + 2], pixels[j + 2], pixels[m + 2], pixels[n + 2], fx, fy),
    )


@_inlined
def _filtered(pixels, table, first, count, u_x, v_x, u_y, v_y, u, v, wrap):
    """Returns a texture's colour, between the two sizes of it whose texels are nearest to a pixel's size.

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
            share = _ONE if share > np.float32(0.9) else share
            a, b, c = _texel(pixels, table[row, 0], table[row, 1], table[row, 2], u, v, wrap)
            one, two, three = one + share * a, two + share * b, three + share * c
    return one * _BYTE, two * _BYTE, three * _BYTE


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
def _sky(column, row, focal, half_w, half_h, step, camera, pixels, table, texture):
    """Returns the sky's colour in the direction of a place on the screen; black where there is no sky."""
    if texture[2] == 0:
        return _ZERO, _ZERO, _ZERO
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
    return _filtered(pixels, table, first, texture[2], u1 - u, v1 - v, u2 - u, v2 - v, u, v, False)


@_inlined
def _neighbour(gx, gy, gz, to_eye, ex, ey, ez, sx, sy, sz):
    """Returns where the ray from the eye past the point, moved by s, meets the plane with normal g, from the point."""
    slope = to_eye - (gx * sx + gy * sy + gz * sz)
    reach = to_eye / slope if abs(slope) > np.float32(1e-3) * abs(to_eye) else _ONE
    return ex + reach * (sx - ex), ey + reach * (sy - ey), ez + reach * (sz - ez)


@_compiled
def _look(
    count, names, spots, focal, half_w, half_h, step, vertices, triangles, normals, facets, places, place_from, scales,
    poses, textures, repeats, pixels, table, surface,
):  # fmt: skip
    """Fills surface (N, 6) with the normal of each spot as the camera sees it, and its texture's colour; 1 without."""
    for at in range(count):
        s, f = names[at] >> FACE_BITS, names[at] & _FACE_MASK
        nx, ny, nz, red, green, blue = facets[f, 0], facets[f, 1], facets[f, 2], _ONE, _ONE, _ONE
        if textures[s, 0] != PLAIN or facets[f, 3] * focal * spots[at, 3] > _FACET_PX:
            depth = _ONE / spots[at, 3]
            x, y, z = (spots[at, 1] - half_w) * depth / focal, (half_h - spots[at, 2]) * depth / focal, -depth
            aside = step * depth / focal  # to the next pixel
            x, y, z = x - poses[s, 9], y - poses[s, 10], z - poses[s, 11]
            p = poses[s, 0] * x + poses[s, 3] * y + poses[s, 6] * z  # the point in the shape's own axes
            q = poses[s, 1] * x + poses[s, 4] * y + poses[s, 7] * z
            r = poses[s, 2] * x + poses[s, 5] * y + poses[s, 8] * z
            i, j, k = triangles[f, 0], triangles[f, 1], triangles[f, 2]
            ax, ay, az = (
                vertices[i, 0] * scales[s, 0],
                vertices[i, 1] * scales[s, 1],
                vertices[i, 2] * scales[s, 2] + vertices[i, 3] * scales[s, 3],
            )
            bx, by = vertices[j, 0] * scales[s, 0] - ax, vertices[j, 1] * scales[s, 1] - ay
            bz = vertices[j, 2] * scales[s, 2] + vertices[j, 3] * scales[s, 3] - az
            cx, cy = vertices[k, 0] * scales[s, 0] - ax, vertices[k, 1] * scales[s, 1] - ay
            cz = vertices[k, 2] * scales[s, 2] + vertices[k, 3] * scales[s, 3] - az
            bb, bc, cc = bx * bx + by * by + bz * bz, bx * cx + by * cy + bz * cz, cx * cx + cy * cy + cz * cz
            whole = _ONE / max(bb * cc - bc * bc, np.float32(1e-30))
            db, dc = (p - ax) * bx + (q - ay) * by + (r - az) * bz, (p - ax) * cx + (q - ay) * cy + (r - az) * cz
            v = min(max((cc * db - bc * dc) * whole, _ZERO), _ONE)
            w = min(max((bb * dc - bc * db) * whole, _ZERO), _ONE)
            u = _ONE - v - w  # weights of the corners
            nx = (u * normals[f, 0] + v * normals[f, 3] + w * normals[f, 6]) / scales[s, 0]
            ny = (u * normals[f, 1] + v * normals[f, 4] + w * normals[f, 7]) / scales[s, 1]
            nz = (u * normals[f, 2] + v * normals[f, 5] + w * normals[f, 8]) / scales[s, 2]
            one = _ONE / np.float32(math.sqrt(max(nx * nx + ny * ny + nz * nz, _TINY)))
            if textures[s, 0] != PLAIN:
                # from the point to the eye
                ex = -(poses[s, 0] * poses[s, 9] + poses[s, 3] * poses[s, 10] + poses[s, 6] * poses[s, 11]) - p
                ey = -(poses[s, 1] * poses[s, 9] + poses[s, 4] * poses[s, 10] + poses[s, 7] * poses[s, 11]) - q
                ez = -(poses[s, 2] * poses[s, 9] + poses[s, 5] * poses[s, 10] + poses[s, 8] * poses[s, 11]) - r
                # where the rays of the next pixels meet the plane of the face, from the point
                gx, gy, gz = by * cz - bz * cy, bz * cx - bx * cz, bx * cy - by * cx
                to_eye = gx * ex + gy * ey + gz * ez
                x1, y1, z1 = _neighbour(
                    gx, gy, gz, to_eye, ex, ey, ez, aside * poses[s, 0], aside * poses[s, 1], aside * poses[s, 2]
                )
                x2, y2, z2 = _neighbour(
                    gx, gy, gz, to_eye, ex, ey, ez, -aside * poses[s, 3], -aside * poses[s, 4], -aside * poses[s, 5]
                )
                tu, tv, u1, v1, u2, v2 = _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO
                first = textures[s, 1]
                if textures[s, 0] == UV:
                    row = place_from[s] + f
                    b0, b1 = places[row, 2] - places[row, 0], places[row, 3] - places[row, 1]
                    c0, c1 = places[row, 4] - places[row, 0], places[row, 5] - places[row, 1]
                    tu, tv = places[row, 0] + v * b0 + w * c0, places[row, 1] + v * b1 + w * c1
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
                    a, b = _HALF * repeats[s, 0] / scales[s, 0], -_HALF * repeats[s, 1] / scales[s, 1]
                    tu, tv, u1, v1, u2, v2 = a * p - _HALF, b * q - _HALF, a * x1, b * y1, a * x2, b * y2
                else:
                    a, b, c = repeats[s, 0] / scales[s, 0], repeats[s, 1] / scales[s, 1], repeats[s, 2] / scales[s, 2]
                    side = _cube_side(p * a, q * b, r * c)
                    tu, tv = _on_side(side, p * a, q * b, r * c)
                    u1, v1 = _on_side(side, (p + x1) * a, (q + y1) * b, (r + z1) * c)
                    u2, v2 = _on_side(side, (p + x2) * a, (q + y2) * b, (r + z2) * c)
                    u1, v1, u2, v2 = u1 - tu, v1 - tv, u2 - tu, v2 - tv
                    if textures[s, 3]:
                        first += side * textures[s, 2]
                red, green, blue = _filtered(
                    pixels, table, first, textures[s, 2], u1, v1, u2, v2, tu, tv, textures[s, 0] != CUBE
                )
            nx, ny, nz = nx * one, ny * one, nz * one
        surface[at, 0] = poses[s, 0] * nx + poses[s, 1] * ny + poses[s, 2] * nz
        surface[at, 1] = poses[s, 3] * nx + poses[s, 4] * ny + poses[s, 5] * nz
        surface[at, 2] = poses[s, 6] * nx + poses[s, 7] * ny + poses[s, 8] * nz
        surface[at, 3], surface[at, 4], surface[at, 5] = red, green, blue


@_compiled
def _light(count, names, spots, focal, half_w, half_h, surface, lights, shine, colours, shown):
    """Fills shown (N, 3) with the colours of the first `count` spots; see `_gather` and `_look`."""
    for at in range(count):
        s = names[at] >> FACE_BITS
        depth = _ONE / spots[at, 3]
        x, y, z = (spots[at, 1] - half_w) * depth / focal, (half_h - spots[at, 2]) * depth / focal, -depth
        away = _ONE / np.float32(math.sqrt(x * x + y * y + z * z))
        ex, ey, ez = -x * away, -y * away, -z * away
        nx, ny, nz = surface[at, 0], surface[at, 1], surface[at, 2]
        even0, even1, even2 = shine[s, 0], shine[s, 0], shine[s, 0]  # what shines by itself
        bright0, bright1, bright2 = _ZERO, _ZERO, _ZERO
        for n in range(len(lights)):
            lx, ly, lz, share = lights[n, 3], lights[n, 4], lights[n, 5], _ONE
            if lights[n, 15] > _ZERO:  # a spot
                lx, ly, lz = lights[n, 0] - x, lights[n, 1] - y, lights[n, 2] - z
                far = np.float32(math.sqrt(lx * lx + ly * ly + lz * lz))
                lx, ly, lz = lx / far, ly / far, lz / far
                aim = lx * lights[n, 3] + ly * lights[n, 4] + lz * lights[n, 5]
                if aim < lights[n, 19]:
                    continue
                share = aim ** lights[n, 20] / (lights[n, 16] + lights[n, 17] * far + lights[n, 18] * far * far)
            facing = max(nx * lx + ny * ly + nz * lz, _ZERO)
            even0 += share * (lights[n, 6] + facing * lights[n, 9])
            even1 += share * (lights[n, 7] + facing * lights[n, 10])
            even2 += share * (lights[n, 8] + facing * lights[n, 11])
            if facing > _ZERO and shine[s, 1] > _ZERO:
                hx, hy, hz = lx + ex, ly + ey, lz + ez
                along = max(nx * hx + ny * hy + nz * hz, _ZERO)
                length = max(hx * hx + hy * hy + hz * hz, _TINY)
                if along * along > shine[s, 3] * shine[s, 3] * length:  # less could not be seen
                    glint = share * shine[s, 1] * (along * along / length) ** (_HALF * shine[s, 2])
                    bright0 += glint * lights[n, 12]
                    bright1 += glint * lights[n, 13]
                    bright2 += glint * lights[n, 14]
        shown[at, 0] = surface[at, 3] * min(_ONE, even0 * colours[s, 0] + bright0)
        shown[at, 1] = surface[at, 4] * min(_ONE, even1 * colours[s, 1] + bright1)
        shown[at, 2] = surface[at, 5] * min(_ONE, even2 * colours[s, 2] + bright2)


@_inlined
def _byte(part):
    """Returns a part of 1 as a number of 0 to 255."""
    return np.uint8(min(max(part, _ZERO), _ONE) * np.float32(255.0) + _HALF)


@_compiled
def _gather(first, last, nearest, owner, bounds, behind, has_behind, has_sky, stagger, names, spots, place, bare, sums):
    """Lists what is seen in rows of pixels: a spot for each face in each pixel.

    Args:
        names, spots, place: (N,), (N, 4), (N,) are filled with each spot's face; its share of the pixel, the mean place
            of its samples and their 1 / depth; and which pixel it is of, counted from the first row on.
        bare: (P,) is filled with the share of each pixel in which nothing was drawn; 2 where it needs no colour.
        sums: (P, 3) with what is seen there.

    Returns:
        how many spots there are.
    """
    total, quarter = 0, np.float32(0.25)
    right, up = np.zeros(4, np.float32), np.zeros(4, np.float32)  # of a pixel's samples, from the first one's corner
    for n in range(4):
        right[n] = _HALF + np.float32(n % 2) + (stagger if n < 2 else -stagger)
        up[n] = _HALF + np.float32(n // 2) + (stagger if n % 2 else -stagger)
    for row in range(first, last + 1):
        for column in range(bounds[2] // 2, bounds[3] // 2 + 1):
            i, j, at = 2 * row, 2 * column, (row - first) * (owner.shape[1] // 2) + column
            bare[at] = np.float32(2.0)
            if not has_sky and owner[i, j] & owner[i, j + 1] & owner[i + 1, j] & owner[i + 1, j + 1] < 0:
                continue
            bare[at], sums[at, 0], sums[at, 1], sums[at, 2] = _ZERO, _ZERO, _ZERO, _ZERO
            begin = total
            for n in range(4):
                y, x = i + n // 2, j + n % 2
                name = owner[y, x]
                if name < 0:
                    bare[at] += quarter
                    if has_behind:
                        for k in range(3):
                            sums[at, k] += quarter * _BYTE * np.float32(behind[y, x, k])
                    continue
                known = begin
                while known < total and names[known] != name:
                    known += 1
                if known == total:
                    names[known], place[known], total = name, at, total + 1
                    for k in range(4):
                        spots[known, k] = _ZERO
                spots[known, 0] += quarter
                spots[known, 1] += right[n]
                spots[known, 2] += up[n]
                spots[known, 3] += nearest[y, x]
            for known in range(begin, total):
                count = quarter / spots[known, 0]
                spots[known, 1] = np.float32(j) + spots[known, 1] * count
                spots[known, 2] = np.float32(i) + spots[known, 2] * count
                spots[known, 3] *= count
    return total


@_compiled
def _add_sky(
    first, last, bounds, focal, half_w, half_h, step, camera, pixels, table, texture, owner, bare, sums, samples
):
    """Adds the sky's colour to sums (P, 3) where pixels are bare."""
    for row in range(first, last + 1):
        for column in range(bounds[2] // 2, bounds[3] // 2 + 1):
            at = (row - first) * (owner.shape[1] // 2) + column
            if bare[at] == _ZERO:
                continue
            told = _sky(
                np.float32(2 * column + 1), np.float32(2 * row + 1), focal, half_w, half_h, step, camera, pixels,
                table, texture,
            )  # fmt: skip
            for k in range(3):
                sums[at, k] += bare[at] * told[k]
            if len(samples):
                _keep(-1, *told, owner, 2 * row, 2 * column, samples)


@_compiled
def _keep(name, red, green, blue, owner, i, j, samples):
    """Writes a colour to those samples of a pixel in which a face is seen."""
    for y in range(i, i + 2):
        for x in range(j, j + 2):
            if owner[y, x] == name:
                samples[y, x, 0], samples[y, x, 1], samples[y, x, 2] = _byte(red), _byte(green), _byte(blue)


@_compiled
def _blend(
    first, last, bounds, count, names, spots, place, shown, is_veil, colours, owner, bare, sums, picture, samples
):
    """Writes pixels: of rows of them, the sums of what is seen there."""
    width = picture.shape[1]
    for at in range(count):
        for k in range(3):
            sums[place[at], k] += spots[at, 0] * shown[at, k]
        if len(samples):
            row, column = first + place[at] // width, place[at] % width
            _keep(names[at], shown[at, 0], shown[at, 1], shown[at, 2], owner, 2 * row, 2 * column, samples)
    share, left = _ONE, _ZERO
    if is_veil and count:
        through = _ONE - colours[names[0] >> FACE_BITS, 3]
        share = _ONE - through * through
    for row in range(first, last + 1):
        for column in range(bounds[2] // 2, bounds[3] // 2 + 1):
            at = (row - first) * width + column
            if bare[at] > _ONE:
                continue
            if is_veil:
                left = _BYTE * (_ONE - share * (_ONE - bare[at]))
            for k in range(3):
                picture[row, column, k] = _byte(share * sums[at, k] + left * np.float32(picture[row, column, k]))


@_compiled
def resolve(
    nearest, owner, bounds, focal, step, camera, behind, has_behind, is_veil, sky_texture, vertices, triangles, normals,
    facets, places, place_from, scales, colours, poses, lights, shine, textures, repeats, pixels, table, stagger,
    picture, samples,
):  # fmt: skip
    """Turns faces' names into colours: pixels of picture (H, W, 3) uint8 within bounds, each the mean of 2 x 2 samples.

    Args:
        step: how many samples it is to the next pixel.
        behind: (2H, 2W, 3) uint8, what is seen in samples where nothing was drawn; the sky where not `has_behind`.
        is_veil: what was drawn is one transparent shape, to be laid over the picture, twice as MuJoCo does.
        stagger: see Scene in raster.py.
        samples: (2H, 2W, 3) uint8 is filled with the colour of each sample; no rows where nobody asks for it.
    """
    half_w, half_h = np.float32(picture.shape[1]), np.float32(picture.shape[0])
    size, has_sky = _ROWS * picture.shape[1], not (has_behind or is_veil)
    names, place = np.empty(4 * size, np.int32), np.empty(4 * size, np.int32)
    spots, surface = np.empty((4 * size, 4), np.float32), np.empty((4 * size, 6), np.float32)
    shown, bare = np.empty((4 * size, 3), np.float32), np.empty(size, np.float32)
    sums = np.empty((size, 3), np.float32)
    for first in range(bounds[0] // 2, bounds[1] // 2 + 1, _ROWS):
        last = min(first + _ROWS - 1, bounds[1] // 2)
        count = _gather(
            first, last, nearest, owner, bounds, behind, has_behind, has_sky, stagger, names, spots, place, bare, sums
        )
        if has_sky:
            _add_sky(
                first, last, bounds, focal, half_w, half_h, step, camera, pixels, table, sky_texture, owner, bare, sums,
                samples,
            )  # fmt: skip
        _look(
            count, names, spots, focal, half_w, half_h, step, vertices, triangles, normals, facets, places, place_from,
            scales, poses, textures, repeats, pixels, table, surface,
        )  # fmt: skip
        _light(count, names, spots, focal, half_w, half_h, surface, lights, shine, colours, shown)
        _blend(
            first, last, bounds, count, names, spots, place, shown, is_veil, colours, owner, bare, sums, picture,
            samples,
        )  # fmt: skip
