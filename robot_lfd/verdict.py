"""Verdict: what there is to say about a demo the moment it is kept, beside the median of its dataset. Pure numpy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from robot_lfd.demos.episode import Episode

IDLE_SPEED_M = 0.005  # m/s: slower counts as standing still
METRICS = ("rate_hz", "late_share", "seconds", "path_m", "smoothness", "idle_share", "success")


@dataclass(frozen=True)
class Verdict:
    """Measured on one episode; NaN where a number has no meaning.

    Attributes:
        replays: re-simulated bit for bit (False: it differs, None: not tried).
        rate_hz: ticks per second while it ran; NaN without a wall clock. late_share: of ticks, begun more than half a
            period late. path_m: way of the gripper. smoothness: minus the log of the dimensionless jerk of the
            gripper's speed, the higher the smoother. idle_share: of the time, standing still.

    Source of the smoothness: Balasubramanian, Melendez-Calderon, Burdet 2012, "A robust and sensitive metric for
    quantifying movement smoothness", eq. 4 with its logarithm (LDLJ).
    """

    replays: bool | None
    rate_hz: float
    late_share: float
    seconds: float
    path_m: float
    smoothness: float
    idle_share: float
    success: bool

    def to_json(self) -> dict[str, Any]:
        """Returns the numbers, None where they are NaN."""
        return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in asdict(self).items()}


def judge(episode: Episode, control_hz: float, replays: bool | None) -> Verdict:
    """Returns the verdict on an episode."""
    rate, late = tick_rate(episode.time, control_hz)
    position = episode.obs.get("eef_pos")
    speed = np.empty(0)
    if position is not None:
        speed = np.linalg.norm(np.diff(np.asarray(position, np.float64), axis=0), axis=1) * control_hz  # (T,)
    return Verdict(
        replays=replays,
        rate_hz=rate,
        late_share=late,
        seconds=len(episode) / control_hz,
        path_m=float(speed.sum() / control_hz) if len(speed) else math.nan,
        smoothness=_smoothness(speed, control_hz),
        idle_share=float(np.mean(speed < IDLE_SPEED_M)) if len(speed) else math.nan,
        success=episode.success,
    )


def path_smoothness(position: np.ndarray, control_hz: float) -> float:
    """Returns how smooth a path (T + 1, 3) of the gripper is, as `Verdict` tells it; NaN where nothing moves."""
    steps = np.linalg.norm(np.diff(np.asarray(position, np.float64), axis=0), axis=1)
    return _smoothness(steps * control_hz, control_hz)


def tick_rate(time: np.ndarray, control_hz: float) -> tuple[float, float]:
    """Returns the achieved rate, pauses left out, and the share of late ticks, of (T, 2) times.

    The rate is NaN where time is simulated.
    """
    scheduled, actual = time[:, 0], time[:, 1]
    running = np.diff(scheduled) < 1.5 / control_hz  # longer: a pause or an undo lay between
    if len(time) < 2 or np.array_equal(scheduled, actual) or not running.any():
        return math.nan, 0.0
    rate = running.sum() / np.diff(actual)[running].sum()
    return float(rate), float(np.mean(actual - scheduled > 0.5 / control_hz))


def medians(verdicts: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Returns the median of each number over `Verdict.to_json()` of other episodes (the mean for success)."""
    result: dict[str, float] = {}
    for name in METRICS:
        values = [float(v[name]) for v in verdicts if v.get(name) is not None]
        if values:
            result[name] = float(np.mean(values) if name == "success" else np.median(values))
    return result


def _smoothness(speed: np.ndarray, control_hz: float) -> float:
    """Returns the LDLJ of a speed profile (T,), m/s; NaN where nothing moves."""
    if len(speed) < 4 or speed.max() <= 0.0:
        return math.nan
    dt = 1.0 / control_hz
    jerk = np.diff(speed, 2) / dt**2
    total = float((jerk**2).sum() * dt) * (len(speed) * dt) ** 3 / float(speed.max()) ** 2
    return -math.log(total) if total > 0.0 else math.nan
