"""Expert rows: which recorded steps a learner imitates: all of a demo, of a policy's rollout only the corrections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from robot_lfd.demos.cache import FlatDemos
from robot_lfd.demos.store import DemoStore
from robot_lfd.errors import LfdError
from robot_lfd.train.rows import Rows, asked_for, demo_rows, features, moving, something_moves, stretches, taken


class Expert(NamedTuple):
    """The rows to imitate; `demos` demos gave `shown` of them, corrections gave `corrected`, each counted once."""

    rows: Rows
    demos: int
    shown: int
    corrected: int


def expert_rows(
    demos: FlatDemos,
    stores: Sequence[DemoStore],
    keys: Sequence[str],
    *,
    success_blind: bool = False,
    keep_pauses: bool = False,
    correction_weight: int | None = None,
    frames: int = 1,
    action_names: Sequence[str] = (),
) -> Expert:
    """Returns what a person showed: every step of a demo, and of a policy's rollout the steps driven by hand.

    The steps that the policy itself drove are nobody's example, even where they ended well. Corrections are few beside
    the demos, so they are repeated.

    Args:
        correction_weight: how many times a corrected step counts; None: so often that corrections together weigh as
            much as the demos, at least once. frames: how many steps are seen at once. action_names: of an arm; then
            a step at which nothing was asked for is a pause too, unless the gripper was still on its way.

    Source: Kelly et al. 2019, HG-DAgger (only human-driven steps are added); Mandlekar et al. 2020, Human-in-the-Loop
    Imitation Learning using Remote Teleoperation (interventions weigh as much as the rest).

    Raises:
        LfdError: no step was shown by a person.
    """
    steps = np.arange(len(demos))
    rollout = _rollouts(demos, stores)
    by_policy = rollout[demos.episode_of(steps)]
    shown = ~by_policy | demos.intervention
    if not shown.any():
        raise LfdError("the rollouts hold no corrections: no step was driven by hand; give the demos as well")
    rows, corrected = taken(demo_rows(demos, keys, success_blind=success_blind, frames=frames), shown), by_policy[shown]
    rows = replace(rows, stretch=stretches(rows.step))  # what the policy itself drove breaks a piece in two
    if not keep_pauses:
        kept = moving(rows, frames=frames)
        if action_names:
            grips = _gripper_moves(demos, rows.step)
            kept &= asked_for(rows, action_names) | grips | rows.terminated
        rows, corrected = taken(rows, kept), corrected[kept]
    count = int(corrected.sum())
    often = np.where(corrected, _weight(len(rows) - count, count, correction_weight), 1)
    weighted = taken(rows, np.repeat(np.arange(len(rows)), often))
    return Expert(weighted, int((~rollout).sum()), len(rows) - count, count)


def _gripper_moves(demos: FlatDemos, step: np.ndarray) -> np.ndarray:
    """Returns at which `Rows.step` (N,) the gripper is still on its way: it closes while nothing is asked."""
    named = [k for k in demos.obs if k.startswith("gripper")]
    if not named:
        return np.zeros(len(step), bool)
    columns = features({k: demos.obs[k].reshape(len(demos.obs[k]), -1) for k in named}, named)
    return something_moves(columns[step], columns[step + 1], still=0.1)


def _rollouts(demos: FlatDemos, stores: Sequence[DemoStore]) -> np.ndarray:
    """Returns which episodes (E,) a policy drove, at least in part."""
    home = {i: store for store in stores for i in store.ids()}
    return np.array(["policy" in home[i].attributes(i).get("meta", {}) for i in demos.ids])


def _weight(shown: int, corrected: int, asked: int | None) -> int:
    if asked is not None:
        if asked < 1:
            raise LfdError(f"--correction-weight is {asked}, expected at least 1")
        return asked
    return max(1, round(shown / corrected)) if corrected else 1


def told(expert: Expert) -> str:
    """Returns in words what there is to imitate."""
    text = f"{expert.demos} demos, {expert.shown} steps"
    if not expert.corrected:
        return text
    weight = (len(expert.rows) - expert.shown) // expert.corrected
    return f"{text}, and {expert.corrected} corrected steps of rollouts, each counted {weight} times,"


def usual_steps(expert: Expert) -> float:
    """Returns the mean length of a demo, pauses left out."""
    return expert.shown / expert.demos if expert.demos else float(expert.corrected)
