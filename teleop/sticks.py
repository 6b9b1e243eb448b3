"""From a stick's raw position to 0..1 per half axis: round deadzone, rescaled, with an expo curve. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from teleop.device import TeleopError


@dataclass(frozen=True)
class Curve:
    """How far a stick is pushed -> how fast.

    Attributes:
        deadzone: share of the way around the centre that is rest; what is left is stretched to 0..1.
        expo: 0 straight, towards 1 finer near the centre: (1 - expo) r + expo r^3.
        trigger_deadzone: the same for a trigger.
    """

    deadzone: float = 0.12
    expo: float = 0.4
    trigger_deadzone: float = 0.05

    def stick(self, x: float, y: float) -> tuple[float, float]:
        """Returns the stick's position on the curve: the direction stays, the length (at most 1) is bent."""
        length = math.hypot(x, y)
        if length <= self.deadzone:
            return 0.0, 0.0
        r = min((length - self.deadzone) / (1.0 - self.deadzone), 1.0)
        bent = (1.0 - self.expo) * r + self.expo * r**3
        return x / length * bent, y / length * bent

    def trigger(self, value: float) -> float:
        """Returns a trigger's 0..1 beyond its deadzone."""
        return min(max((value - self.trigger_deadzone) / (1.0 - self.trigger_deadzone), 0.0), 1.0)


def make_curve(table: Mapping[str, Any], source: str) -> Curve:
    """Returns the curve of a bindings table.

    Raises:
        TeleopError: a number is missing its range.
    """
    limits = {"deadzone": 0.9, "expo": 1.0, "trigger_deadzone": 0.9}
    for name, limit in limits.items():
        value = table.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 <= value <= limit:
            raise TeleopError(f"{source}: {name} is {value!r}, expected a number from 0 to {limit}")
    return Curve(**{name: float(table[name]) for name in limits})


def half_axes(raw: Mapping[str, float], sticks: Sequence[tuple[str, str]], curve: Curve) -> dict[str, float]:
    """Returns every input as 0..1: a stick "leftx" becomes "leftx-" and "leftx+"; buttons stay.

    Args:
        raw: axis, trigger, button and hat values by name; axes in -1..1.
        sticks: the pairs of axes that are one stick; other axes are curved by themselves.
    """
    bent: dict[str, float] = {}
    for x, y in sticks:
        if x in raw and y in raw:
            bent[x], bent[y] = curve.stick(raw[x], raw[y])
    for name in raw:
        if name.startswith("axis") and name not in bent:
            bent[name] = curve.stick(raw[name], 0.0)[0]
    values = {n: curve.trigger(v) if n.endswith("trigger") else v for n, v in raw.items() if n not in bent}
    for name, value in bent.items():
        values[f"{name}-"], values[f"{name}+"] = max(-value, 0.0), max(value, 0.0)
    return values
