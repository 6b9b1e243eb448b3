"""The recipe: what of a run's settings is decided by the demos where nothing was told. LOG.md has the measurements.

Two things are asked of people's demos on an arm: are they long, and are they many? A task of many steps is decided on
in longer pieces and looks further ahead; many rows are worth larger networks and longer training.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from robot_lfd.checkpoint import read_json
from robot_lfd.train.config import TrainConfig

LONG_STEPS = 100.0  # of a mean demo, pauses left out; five seconds on arms
MANY_ROWS = 5_000
MOST_STEPS, MOST_PRETRAIN_STEPS = 90_000, 6_000
BC_STEPS = 5_000
GAIT_GAMMA = 0.99
GAIT_PRACTICE = 4  # practice steps a gradient step outside arms: what a gait wants, and they cost little beside it


NOTHING = {"rows": 0, "mean_steps": 0.0}  # what the demos come to where they are not asked


@dataclass(frozen=True)
class Recipe:
    """The settings that may be left open, named as in `TrainConfig`: those of few, short demos on an arm."""

    steps: int = 25_000
    pretrain_steps: int = 1_500
    hidden: tuple[int, ...] = (128, 128)
    practice_per_update: int = 1
    bc_fall_at: int = 0
    chunk: int = 4
    gamma: float = 0.97


def recipe_of(*, arm: bool, discrete: bool, candidates: bool, rows: int, mean_steps: float) -> Recipe:
    """Returns the recipe for a task and its demos.

    Args:
        arm: whether a person drove one. candidates: whether the policy chooses among what people did. rows: steps of
            all demos, pauses left out. mean_steps: of one demo.
    """
    if arm and candidates:
        return _of_people(rows, mean_steps)
    chunk = Recipe.chunk if candidates else 1
    if arm:
        return Recipe(chunk=chunk)
    return Recipe(chunk=chunk, gamma=GAIT_GAMMA, practice_per_update=1 if discrete or candidates else GAIT_PRACTICE)


def _of_people(rows: int, mean_steps: float) -> Recipe:
    found = Recipe()
    if mean_steps > LONG_STEPS:
        found = dataclasses.replace(found, chunk=8, gamma=0.99)
    if rows > MANY_ROWS:
        steps = min(max(3 * rows, found.steps), MOST_STEPS)
        found = dataclasses.replace(
            found, steps=steps, pretrain_steps=min(steps // 10, MOST_PRETRAIN_STEPS), hidden=(256, 256),
            practice_per_update=4, bc_fall_at=2 * steps // 3,
        )  # fmt: skip
    return found


def filled(config: TrainConfig, recipe: Recipe) -> TrainConfig:
    """Returns the settings with those of `recipe` that nobody told; a run that goes on keeps all but the steps.

    What does not practise, or whose rate of practice others decide, has no choice of that; cloning and offline
    training have no weight that falls.
    """
    usual = dataclasses.asdict(recipe)
    if config.algo == "bc":
        usual["steps"] = BC_STEPS
    online = config.mode == "online" and config.algo != "bc"
    if not online or config.rollout_workers or config.updates_per_step > 1:
        usual["practice_per_update"] = 1
    if not online or config.bc_decay_steps:
        usual["bc_fall_at"] = 0
    usual |= _begun_with(config)
    return dataclasses.replace(config, **{k: v for k, v in usual.items() if getattr(config, k) is None})


def asks_demos(config: TrainConfig) -> bool:
    """Whether the demos decide: not where a run goes on that a version began which did not ask them."""
    begun = _begun(config)
    return not begun or "bc_fall_at" in begun


def told(config: TrainConfig) -> str:
    """Returns in words what a recipe came to."""
    widths = " ".join(map(str, config.hidden or ()))
    text = f"networks of {widths}, {config.chunk} actions a decision, gamma {config.gamma}"
    if config.algo != "bc" and config.mode == "online":
        text += f", {config.practice_per_update} practice steps a gradient step"
    if config.bc_fall_at:
        text += f", cloning a fifth as much from step {config.bc_fall_at} on"
    return text


def _begun_with(config: TrainConfig) -> dict[str, Any]:
    """Returns what the run that goes on was begun with; old ones took one practice step everywhere."""
    begun = _begun(config)
    names = [f.name for f in dataclasses.fields(Recipe) if f.name != "steps"]
    had = {k: begun[k] for k in names if begun.get(k) is not None}
    if begun and "practice_per_update" not in begun:
        had["practice_per_update"] = 1
    return {k: tuple(v) if isinstance(v, list) else v for k, v in had.items()}


def _begun(config: TrainConfig) -> dict[str, Any]:
    file = config.out / "config.json"
    return read_json(file) if config.resume and file.exists() else {}
