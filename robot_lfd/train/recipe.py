"""The recipe: what of a run's settings is decided by the demos where nothing was told. LOG.md has the measurements.

Two things are asked of people's demos on an arm: are they long, and are they many? A task of many steps is decided on
in longer pieces and looks further ahead; many rows are worth larger networks and longer training.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robot_lfd.checkpoint import finished_checkpoints, read_json
from robot_lfd.errors import LfdError
from robot_lfd.train.config import TrainConfig
from robot_lfd.train.pixel_options import pixel_steps

LONG_STEPS = 100.0  # of a mean demo, pauses left out; five seconds on arms
MANY_ROWS = 5_000
MOST_STEPS, MOST_PRETRAIN_STEPS = 90_000, 6_000
BC_STEPS = 5_000
GAIT_GAMMA = 0.99
GAIT_PRACTICE = 4  # practice steps a gradient step outside arms: what a gait wants, and they cost little beside it


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


@dataclass(frozen=True)
class Task:
    """What a recipe hangs on.

    Attributes:
        arm: whether a person drove one. candidates: whether the policy chooses among what people did. rows: steps of
            all demos, pauses left out, each counted once. mean_steps: of one demo; both 0: the demos are not asked.
    """

    arm: bool
    discrete: bool = False
    candidates: bool = False
    rows: int = 0
    mean_steps: float = 0.0


def recipe_of(task: Task) -> Recipe:
    """Returns the recipe for a task and its demos."""
    if task.arm and task.candidates:
        return _of_people(task)
    chunk = Recipe.chunk if task.candidates else 1
    if task.arm:
        return Recipe(chunk=chunk)
    practice = 1 if task.discrete or task.candidates else GAIT_PRACTICE
    return Recipe(chunk=chunk, gamma=GAIT_GAMMA, practice_per_update=practice)


def _of_people(task: Task) -> Recipe:
    found = Recipe()
    if task.mean_steps > LONG_STEPS:
        found = dataclasses.replace(found, chunk=8, gamma=0.99)
    if task.rows > MANY_ROWS:
        steps = min(max(3 * task.rows, found.steps), MOST_STEPS)
        found = dataclasses.replace(
            found, steps=steps, pretrain_steps=min(steps // 10, MOST_PRETRAIN_STEPS), hidden=(256, 256),
            practice_per_update=4, bc_fall_at=2 * steps // 3,
        )  # fmt: skip
    return found


def decided(config: TrainConfig, task: Task) -> Recipe:
    """Returns what is taken where nothing is told; a run that goes on has decided before.

    What does not practise, or whose rate of practice others decide, has no choice of that; cloning, offline training
    and a weight that falls another way have none that falls at once.
    """
    begun = begun_with(config)
    if begun and "recipe" not in begun:  # of a version that did not ask the demos
        task = dataclasses.replace(task, rows=0, mean_steps=0.0)
    recipe = recipe_of(task)
    recipe = dataclasses.replace(
        recipe,
        steps=BC_STEPS if config.algo == "bc" else recipe.steps,
        bc_fall_at=recipe.bc_fall_at * config.updates_per_step,
    )
    recipe = dataclasses.replace(recipe, **_known(begun.get("recipe", {})))
    online = config.mode == "online" and config.algo != "bc"
    if not online or config.rollout_workers or config.updates_per_step > 1:
        recipe = dataclasses.replace(recipe, practice_per_update=1)
    if not online or config.bc_decay_steps or config.bc_weight == 0.0:
        recipe = dataclasses.replace(recipe, bc_fall_at=0)
    return recipe


def filled(config: TrainConfig, recipe: Recipe) -> TrainConfig:
    """Returns the settings with those of `recipe` that nobody told; a run that goes on keeps all but the steps."""
    kept = had(begun_with(config), recipe)
    usual = {**dataclasses.asdict(recipe), **{k: v for k, v in kept.items() if k != "steps"}}
    if config.updates_per_step > 1:  # two ends of one choice, and the other one was told now
        usual["practice_per_update"] = 1
    if config.bc_decay_steps:
        usual["bc_fall_at"] = 0
    return dataclasses.replace(config, **{k: v for k, v in usual.items() if getattr(config, k) is None})


def had(begun: dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    """Returns what the run with the config.json `begun` had of a recipe, {} of none."""
    if not begun:
        return {}
    found = dataclasses.asdict(recipe) | _known(begun.get("recipe", {})) | _known(begun)
    return found if "practice_per_update" in begun else {**found, "practice_per_update": 1}  # before it was a setting


def _known(document: dict[str, Any]) -> dict[str, Any]:
    """Returns what a JSON object says of a recipe's settings; what is null is left open."""
    said = {f.name: document.get(f.name) for f in dataclasses.fields(Recipe)}
    return {k: tuple(v) if isinstance(v, list) else v for k, v in said.items() if v is not None}


def begun_with(config: TrainConfig) -> dict[str, Any]:
    """Returns the config.json of the run that goes on; {} where one begins."""
    return read_json(config.out / "config.json") if config.resume and finished_checkpoints(config.out) else {}


def planned_steps(config: TrainConfig, run: Path) -> int:
    """Returns how many steps a run is going to take, as far as it can be known without its demos."""
    if config.steps is not None:
        return config.steps
    if config.obs == "pixels":
        return pixel_steps(config)
    try:
        noted = read_json(run / "config.json").get("recipe", {}).get("steps")
    except LfdError:  # not there yet, or just being written
        noted = None
    return noted or (BC_STEPS if config.algo == "bc" else Recipe.steps)


def told(config: TrainConfig) -> str:
    """Returns in words what a recipe came to."""
    widths = " ".join(map(str, config.hidden or ()))
    text = f"networks of {widths}, {config.chunk} actions a decision, gamma {config.gamma}"
    if config.algo != "bc" and config.mode == "online":
        count = config.practice_per_update or 1
        text += f", {count} practice step{'s' if count > 1 else ''} a gradient step"
    if config.bc_fall_at and config.bc_fall_at < (config.steps or 0) * config.updates_per_step:
        text += f", cloning a fifth as much from step {config.bc_fall_at // config.updates_per_step} on"
    return text
