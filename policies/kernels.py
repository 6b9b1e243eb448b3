"""Compiled loops over the rows of a layer: what torch does in several passes over memory, each here in one.

They run between the matrix products of `fused`, on one thread, and work in place. numba keeps the machine code on the
disk: only the first training on a machine waits for it, some seconds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

LAYER_NORM_EPS = 1e-5  # torch's own
_HOW: Any = {
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "nsz"},
}  # not "nnan": NaN must show


@njit(**_HOW)
def bias_norm_relu(h, bias, gain, shift, out, deviation):
    """Writes relu(LayerNorm(h + bias)) to `out` and 1 / std to `deviation` (N, B); h becomes the normalised h + bias.

    h and `out` are (N, B, W) and two arrays (in place it is no vector loop); bias, gain and shift (N, 1, W).
    """
    members, rows, width = h.shape
    share, zero = np.float32(1.0 / width), np.float32(0.0)
    for n in range(members):
        for r in range(rows):
            total = zero
            for c in range(width):
                h[n, r, c] += bias[n, 0, c]
                total += h[n, r, c]
            mean = total * share
            squares = zero
            for c in range(width):
                h[n, r, c] -= mean
                squares += h[n, r, c] * h[n, r, c]
            scale = np.float32(1.0) / np.sqrt(squares * share + np.float32(LAYER_NORM_EPS))
            deviation[n, r] = scale
            for c in range(width):
                normal = h[n, r, c] * scale
                h[n, r, c] = normal
                value = normal * gain[n, 0, c] + shift[n, 0, c]
                out[n, r, c] = zero if value <= zero else value


@njit(**_HOW)
def bias_norm_relu_backward(slope, normal, out, gain, deviation, d_bias, d_gain, d_shift):
    """Turns the slope of `out` into that of h, in place, and adds up those of bias, gain and shift (N, 1, W)."""
    members, rows, width = normal.shape
    share, zero = np.float32(1.0 / width), np.float32(0.0)
    for n in range(members):
        for r in range(rows):
            mean, along = zero, zero
            for c in range(width):
                d = slope[n, r, c] if out[n, r, c] > zero else zero
                d_shift[n, 0, c] += d
                d_gain[n, 0, c] += d * normal[n, r, c]
                d *= gain[n, 0, c]
                slope[n, r, c] = d
                mean += d
                along += d * normal[n, r, c]
            mean, along = mean * share, along * share
            for c in range(width):
                d = deviation[n, r] * (slope[n, r, c] - mean - along * normal[n, r, c])
                slope[n, r, c] = d
                d_bias[n, 0, c] += d


@njit(**_HOW)
def bias_relu(h, bias):
    """Turns h (N, B, W) into relu(h + bias), in place."""
    members, rows, width = h.shape
    for n in range(members):
        for r in range(rows):
            for c in range(width):
                value = h[n, r, c] + bias[n, 0, c]
                h[n, r, c] = np.float32(0.0) if value <= np.float32(0.0) else value


@njit(**_HOW)
def bias_relu_backward(slope, out, d_bias):
    """Turns the slope of relu(h + bias) into that of h, in place, and adds up that of bias (N, 1, W)."""
    members, rows, width = out.shape
    for n in range(members):
        for r in range(rows):
            for c in range(width):
                d = slope[n, r, c] if out[n, r, c] > np.float32(0.0) else np.float32(0.0)
                slope[n, r, c] = d
                d_bias[n, 0, c] += d


@njit(**_HOW)
def adam(value, gradient, mean, square, rate, correction, beta_2, rest_1, rest_2, eps):
    """Moves `value` and both moments (P,) by one step of Adam: Kingma and Ba 2015, Algorithm 1.

    `rate` is the learning rate over 1 - beta_1^t, `correction` is 1 / sqrt(1 - beta_2^t), the rests are 1 - beta from
    double: in float32, 1 - 0.999 has but five digits.
    """
    for i in range(len(value)):
        g = gradient[i]
        m = mean[i] + rest_1 * (g - mean[i])
        v = beta_2 * square[i] + rest_2 * g * g
        mean[i], square[i] = m, v
        value[i] -= rate * m / (np.sqrt(v) * correction + eps)
