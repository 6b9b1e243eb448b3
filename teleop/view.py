"""ViewModel: all that the window shows, as plain data. The window knows no environment and no session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from teleop.device import Control

STATES = ("READY", "COUNTDOWN", "REC", "PAUSED", "ENDED", "SAVING", "REPLAY")


@dataclass(frozen=True)
class VerdictLine:
    """One line about the episode just kept: its value beside the dataset's median.

    Attributes:
        rating: "good", "plain" or "bad": bad where an operator should think twice about keeping it.
    """

    name: str
    value: str
    median: str = ""
    rating: str = "plain"


@dataclass(frozen=True)
class ViewModel:
    """What the window draws in one frame.

    Attributes:
        state: one of STATES. pictures: (H, W, 3) uint8 RGB by camera name; the first is the main view, the second
            the inset. no_picture: what stands in their place while there are none. seconds, step: of the running
            episode. jitter_ms: how late each tick of the last seconds began. held_s: how long the task has been
            solved, of the hold_s after which the episode ends by itself; 0: the environment ends it.
        saving: what is being written just now, "" for nothing.
        controls: every bound key or button with its value. does: function -> what it does right now; "" or missing:
            nothing. level: speed level from 0. disk_gb: free space, GB (10^9 bytes).
        message: one line for the operator; message_kind: "info", "good", "warn".
    """

    state: str = "READY"
    title: str = ""
    dataset: str = ""
    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)
    no_picture: str = "no picture: this environment draws nothing"
    picture_hz: float = float("nan")
    seconds: float = 0.0
    step: int = 0
    episode: int = 1
    episodes: int = 1
    kept: int = 0
    saving: str = ""
    success: bool = False
    held_s: float = 0.0
    hold_s: float = 0.0
    achieved_hz: float = float("nan")
    control_hz: float = 20.0
    jitter_ms: tuple[float, ...] = ()
    late: int = 0
    device: str = "keyboard"
    device_title: str = ""
    controls: tuple[Control, ...] = ()
    does: Mapping[str, str] = field(default_factory=dict)
    gripper_width_m: float | None = None
    gripper_command: float = 0.0
    level: int = 0
    levels: int = 1
    speed: str = ""
    frame: str = "world"
    frames: tuple[str, ...] = ("world",)
    locked: frozenset[str] = frozenset()
    disk_gb: float = float("nan")
    facts: tuple[tuple[str, str], ...] = ()
    verdict: tuple[VerdictLine, ...] = ()
    verdict_title: str = ""
    message: str = ""
    message_kind: str = "info"
    countdown_s: float = 0.0
    note: str | None = None
    help: bool = False
    muted: bool = False
