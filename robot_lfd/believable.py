"""What a checkpoint may claim of its policy: checked before memory is taken for it, for anybody may have written it."""

from __future__ import annotations

import itertools
import math
from typing import Any

COUNTS = {
    "action_size": 4096, "critics": 64, "window": 4096, "execute": 4096, "frame_stack": 64, "n_step": 4096,
    "candidates": 4096, "step": 10**15,
}  # fmt: skip
NUMBERS = {"control_hz": 1e5, "gamma": 1.0, "temperature": 1e6, "near_m": 1e6, "most_noise": 1e6}  # from 0 on
LEAST = {"critics": 0, "candidates": 0, "step": 0}  # else 1
WORDS = ("algo", "env_id")
ACTORS = ("gaussian", "candidates", "plain", "lstm", "gru", "chunk", "pixels")
LISTS = {"features": 1024, "sizes": 1024, "hidden": 32}  # their most entries
LARGEST = 2**24  # columns of one feature: a picture of 2000 x 2000
FLOAT_BYTES = 4


def check_claims(claims: dict[str, Any], weight_bytes: int) -> None:
    """Checks the fields of a checkpoint's config.json that say how large its networks are.

    Args:
        weight_bytes: size of the file of weights; a network larger than it is not believed.

    Raises:
        ValueError: one of them makes no sense.
    """
    for name, most in COUNTS.items():
        _check(name, claims, lambda x, n=name, m=most: _whole(x, LEAST.get(n, 1), m))
    for name, most in NUMBERS.items():
        _check(name, claims, lambda x, m=most: _number(x) and 0 <= x <= m)
    for name in WORDS:
        _check(name, claims, lambda x: isinstance(x, str))
    _check("control_hz", claims, lambda x: x > 0)
    _check("actor", claims, lambda x: x in ACTORS)
    _check("absorbing_value", claims, lambda x: x is None or _number(x))
    _check("env_kwargs", claims, lambda x: isinstance(x, dict))
    _check("state_only", claims, lambda x: isinstance(x, bool))
    for name, most in LISTS.items():
        _check(name, claims, lambda x, m=most: isinstance(x, (list, tuple)) and len(x) <= m)
    _check("features", claims, lambda x: bool(x) and all(isinstance(k, str) for k in x))
    _check("sizes", claims, lambda x: len(x) == len(claims["features"]) and all(_whole(n, 1, LARGEST) for n in x))
    room = weight_bytes // FLOAT_BYTES
    decided = claims.get("window", 1) * claims.get("action_size", 1)
    _check("candidates", claims, lambda x: (x > 0) == (claims.get("actor") == "candidates") and x * decided <= room)
    _check("hidden", claims, lambda x: all(_whole(n, 1, room) for n in x) and _weights(x) <= room)


def _check(name: str, claims: dict[str, Any], fits: Any) -> None:
    if name in claims and not fits(claims[name]):
        raise ValueError(f"'{name}' cannot be {str(claims[name])[:60]!r}")


def _weights(hidden: list[int]) -> int:
    """Returns how many weights there are at least between hidden layers."""
    return sum(a * b for a, b in itertools.pairwise(hidden))


def _whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
