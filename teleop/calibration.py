"""Where a pad's sticks really rest: measured once, kept in the user's own folder, by the pad's guid."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from teleop.device import TeleopError

STILL = 0.03  # a stick let go of moves by less than this, of its way of 1
FARTHEST_REST = 0.4  # a stick that rests farther out is broken, or was held


def calibration_file() -> Path:
    """Returns the file of all calibrations: $XDG_CONFIG_HOME/robot-lfd/pads.json."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "robot-lfd" / "pads.json"


def load_centres() -> dict[str, dict[str, float]]:
    """Returns pad guid -> axis -> where it rests; empty where nothing was ever calibrated.

    Raises:
        TeleopError: the file is damaged.
    """
    path = calibration_file()
    try:
        stored = json.loads(path.read_text("utf-8"))
        return {str(g): {str(a): float(v) for a, v in axes.items()} for g, axes in stored.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise TeleopError(
            f"calibration {path} cannot be read: {error}; delete it and run lfd pad --calibrate"
        ) from error


def save_centres(guid: str, centres: Mapping[str, float]) -> Path:
    """Stores where a pad's axes rest, beside those of other pads, and returns the file."""
    path = calibration_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_suffix(".new")
    staged.write_text(json.dumps({**load_centres(), guid: dict(centres)}, indent=2) + "\n", "utf-8")
    staged.replace(path)
    return path


def resting_place(samples: Sequence[Mapping[str, float]], axes: Sequence[str]) -> dict[str, float]:
    """Returns the mean of each axis over samples taken while nobody touched the sticks.

    Raises:
        TeleopError: an axis moved, or rests too far out.
    """
    centres: dict[str, float] = {}
    for axis in axes:
        values = np.array([s[axis] for s in samples if axis in s])
        if not len(values):
            continue
        if np.ptp(values) > STILL:
            raise TeleopError(f"{axis} moved by {np.ptp(values):.2f} while it should rest; let go of all and try again")
        if abs(values.mean()) > FARTHEST_REST:
            raise TeleopError(f"{axis} rests at {values.mean():+.2f}, expected within ±{FARTHEST_REST}; is it held?")
        centres[axis] = round(float(values.mean()), 4)
    return centres
