"""How a MuJoCo simulation looks at this instant, compiled: its arrays become those of the rasteriser."""

from __future__ import annotations

import math

from numba import njit

from robot_lfd.envs.raster_faces import CAPSULE, CYLINDER, FLAT, MESH, PLANE, SPHERE

_BEHIND_ALPHA = 0.3  # so much of a plane is left when the camera is behind it
_compiled = njit(cache=True, nogil=True, fastmath=True, error_model="numpy")


@_compiled
def arrange(
    camera, head, suns, geoms, sites, mat_rgba, kinds, names, is_site, materials, repeat, uniform, textures,
    scales, colours, poses, repeats, lights,
):  # fmt: skip
    """Fills, for each of S shapes, scale (S, 4), colour (S, 4), pose (S, 12), repeats (S, 3), and the lights (L, 21).

    A pose is the rotation from the shape to the camera and its place seen from there. A scale's last number says how
    far apart a capsule's halves are. A light is: place, direction towards it, ambient, diffuse, specular, whether it is
    a spot, three attenuations, cosine of the cone's half angle, exponent.

    Args:
        camera: (12,) its position and rotation. head: (10,) whether it has a light, its three colours.
        suns, geoms, sites: arrays of MuJoCo.

    Returns:
        how many lights are on.
    """
    for s in range(len(kinds)):
        position, rotation, size, rgba = sites if is_site[s] else geoms
        i, kind = names[s], kinds[s]
        a, b, c, extra = size[i, 0], size[i, 1], size[i, 2], 0.0
        for k in range(3):
            repeats[s, k] = size[i, k] if uniform[s] else 1.0
        if textures[s, 0] == FLAT:
            for k in range(2):
                repeats[s, k] = repeat[s, k]
                if kind == MESH and size[i, k] > 0.0:
                    repeats[s, k] /= size[i, k]
                if uniform[s] and size[i, k] > 0.0:
                    repeats[s, k] *= size[i, k]
        if kind == SPHERE:
            b, c = a, a
        elif kind == CAPSULE:
            b, c, extra = a, a, b
        elif kind == CYLINDER:
            b, c = a, b
        elif kind == PLANE:
            c = 1.0
        elif kind == MESH:
            a, b, c = 1.0, 1.0, 1.0
        scales[s, 0], scales[s, 1], scales[s, 2], scales[s, 3] = a, b, c, extra
        usual = rgba[i, 0] == 0.5 and rgba[i, 1] == 0.5 and rgba[i, 2] == 0.5 and rgba[i, 3] == 1.0
        for k in range(4):
            colours[s, k] = mat_rgba[materials[s], k] if materials[s] >= 0 and usual else rgba[i, k]
        for row in range(3):
            for column in range(3):
                total = 0.0
                for k in range(3):
                    total += camera[3 + 3 * k + row] * rotation[i, 3 * k + column]
                poses[s, 3 * row + column] = total
            total = 0.0
            for k in range(3):
                total += camera[3 + 3 * k + row] * (position[i, k] - camera[k])
            poses[s, 9 + row] = total
        away = poses[s, 2] * poses[s, 9] + poses[s, 5] * poses[s, 10] + poses[s, 8] * poses[s, 11]
        if kind == PLANE and away > 0.0:  # its normal points away from the camera
            colours[s, 3] *= _BEHIND_ALPHA
    return _light(camera, head, suns, lights)


@_compiled
def _light(camera, head, suns, lights):
    position, direction, active, ambient, diffuse, specular, kind, attenuation, cutoff, exponent = suns
    lights[:] = 0.0
    count = 0
    if head[0] > 0.0:
        lights[0, 5] = 1.0
        for k in range(9):
            lights[0, 6 + k] = head[1 + k]
        count = 1
    for n in range(len(kind)):
        if not active[n] or count == len(lights):
            continue
        for row in range(3):
            for k in range(3):
                lights[count, row] += camera[3 + 3 * k + row] * (position[n, k] - camera[k])
                lights[count, 3 + row] -= camera[3 + 3 * k + row] * direction[n, k]
            lights[count, 6 + row], lights[count, 9 + row] = ambient[n, row], diffuse[n, row]
            lights[count, 12 + row], lights[count, 16 + row] = specular[n, row], attenuation[n, row]
        lights[count, 15] = 1.0 if kind[n] == 0 else 0.0
        lights[count, 19] = math.cos(math.radians(cutoff[n])) if cutoff[n] < 180.0 else -1.0
        lights[count, 20] = exponent[n]
        count += 1
    return count
