"""PolicySpec: what a policy is, beside its weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from policies.networks import Magnifier, Normaliser

FORMAT_VERSION = 1


class Spans(NamedTuple):
    """Over how many control steps one thing goes."""

    decided: int = 1  # actions that the agent decides on at once
    seen: int = 1  # steps that it sees at once
    n_step: int = 1  # steps that a row is about where its action is but the first one's

    @property
    def row(self) -> int:
        """Steps that a reward, and a row of what is learned from, is about; see `train.windows.decisions`."""
        return self.decided * self.n_step

    def actions(self, decision: np.ndarray) -> Sequence[np.ndarray]:
        """Returns the actions of one decision, in order."""
        return np.split(decision, self.decided) if self.decided > 1 else [decision]


@dataclass(frozen=True)
class PolicySpec:
    """All that is needed, beside the weights, to let a policy act; stored as the checkpoint's config.json.

    Attributes:
        features: observation keys in the order in which they are put side by side; sizes: the width of each.
        action_size: A, or how many actions there are where they are `discrete`.
        most_noise: of a Gaussian actor, beside the spread of the demos' actions; 0: that spread alone.
        absorbing_value: V of the state after the task's end; None: that of the last observation.
        actor: the kind of network that acts; a discrete policy is its critics' softmax.
        candidates: how many a state has, where the actor chooses among them.
        window: how many steps the actor looks at, or says actions for, at once; a Gaussian one does all that it said.
        head, execute, blend: of actors that only clone, see `policies.sequence_cloning`.
        encoder: of actors that see; `images/<camera>` are then the last of the features.
        near_m: scale of the magnifying glass over distances, metres, see `policies.networks.Magnifier`; 0: none.
        state_only: its reward is V(s) - gamma V(s'): the demos' actions were not looked at.
        n_step: how many steps each reward is about where one action is decided on at a time.
        frame_stack: how many steps are seen at once: pictures of each camera, or where there are none, all features.
    """

    algo: str
    env_id: str
    env_kwargs: dict[str, Any]
    control_hz: float
    features: tuple[str, ...]
    sizes: tuple[int, ...]
    action_size: int
    hidden: tuple[int, ...]
    critics: int
    gamma: float
    temperature: float
    absorbing_value: float | None
    actor: str = "gaussian"
    candidates: int = 0
    discrete: bool = False
    layer_norm: bool = True
    head: str = "mse"
    window: int = 1
    execute: int = 1
    blend: bool = False
    encoder: str = ""
    frame_stack: int = 1
    n_step: int = 1
    near_m: float = 0.0
    most_noise: float = 0.0
    state_only: bool = False
    step: int = 0
    format_version: int = FORMAT_VERSION

    @property
    def chooses(self) -> bool:
        """Whether it acts by the softmax of its critics' table: of discrete actions, or of candidates."""
        return self.discrete or self.candidates > 0

    @property
    def clones_windows(self) -> bool:
        """Whether it is a clone of pieces of demos on state; others learn from one row, a decision, at a time."""
        return self.actor not in ("gaussian", "candidates", "pixels")

    @property
    def decided(self) -> int:
        """How many actions one decision has where it is one row of numbers; chunks of state are cloned as windows."""
        return 1 if self.clones_windows else self.window

    @property
    def decided_size(self) -> int:
        """How many numbers one decision has."""
        return self.action_size * self.decided

    @property
    def decision_gamma(self) -> float:
        """The discount over the steps that a reward is about."""
        return self.gamma**self.spans.row

    @property
    def absorbing_reward(self) -> float:
        """The reward, over as many steps as any other, of being in the state after the task's end; 0 where none is."""
        return (1.0 - self.decision_gamma) * (self.absorbing_value or 0.0)

    @property
    def spans(self) -> Spans:
        """Over how many steps what it decides, sees and is rewarded for goes."""
        return Spans(self.decided, self.frame_stack, self.n_step)

    @property
    def width(self) -> int:
        """How many numbers are seen at once where no pictures are: the features of all steps that are stacked."""
        return sum(self.sizes) * self.frame_stack

    def sight(self, of: Normaliser) -> Normaliser:
        """Returns what networks see of features that `of` normalises: under the magnifying glass, if there is one."""
        return Magnifier(of, distance_columns(self.features, self.sizes), self.near_m) if self.near_m else of

    @property
    def cameras(self) -> tuple[str, ...]:
        """The cameras that the policy looks through."""
        return tuple(k.removeprefix("images/") for k in self.features if k.startswith("images/"))

    @property
    def size_px(self) -> int:
        """Height and width of each of their pictures."""
        return math.isqrt(self.sizes[-1] // 3)


def distance_columns(features: Sequence[str], sizes: Sequence[int]) -> list[int]:
    """Returns which columns are distances between two things, metres: relative positions and heights."""
    begins = np.cumsum([0, *sizes])
    named = zip(features, begins, sizes, strict=False)
    return [c for key, at, size in named if _is_distance(key) for c in range(at, at + size)]


def _is_distance(key: str) -> bool:
    return key.endswith("_height") or (key.endswith("_rel") and not key.endswith("_rot_rel"))
