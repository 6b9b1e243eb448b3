"""Resuming: what of a run folder a training goes on from, and how long its practice episodes are."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from robot_lfd.checkpoint import finished_checkpoints, load_policy, read_json
from robot_lfd.durable import held
from robot_lfd.envs.registry import time_limit
from robot_lfd.errors import LfdError
from robot_lfd.policy_spec import PolicySpec
from robot_lfd.runs import NOT_A_SETTING
from robot_lfd.train.config import TrainConfig
from robot_lfd.train.reading import may_keep_own
from robot_lfd.train.recipe import Recipe, had

KEPT = (
    "seed", "mode", "success_blind", "divergence", "chi2_alpha", "value_term", "state_only", "learn_temperature",
    "bound_targets", "no_normalisation", "keep_pauses",
)  # fmt: skip
"""Settings that a run keeps to its end: with others its rows would be of two worlds, or its Q of two rewards."""
NOT_NOTED = NOT_A_SETTING - {"seed"} | {"demos", "steps"}
"""What may be otherwise when a run goes on and changes nothing that is learned; demos are known by their statistics."""
LEAST_DECISIONS = 10  # that a practice episode has room for, where demos are of a few steps


def checkpoint_to_resume(config: TrainConfig, recipe: Recipe, spec: PolicySpec) -> Path | None:
    """Returns the checkpoint to continue from. Raises LfdError where --out and --resume contradict what is there.

    Args:
        config: with nothing of the recipe left open. recipe: what was decided where nothing was told.
    """
    finished = finished_checkpoints(config.out)
    if not config.resume:
        if finished or (config.out / "config.json").exists():
            raise LfdError(f"'{config.out}' already holds a run; continue it with --resume, or choose another --out")
        return None
    if not finished:
        return None
    begun = read_json(config.out / "config.json")
    copies, far = int(begun.get("copies", 1)), bool(begun.get("rollout_workers", 0))
    if far != bool(config.rollout_workers):
        how = "with" if far else "without"
        raise LfdError(f"run '{config.out}' was begun {how} --rollout-workers; go on so, or choose another --out")
    if copies != config.copies:
        raise LfdError(
            f"run '{config.out}' was begun with --copies {copies}, found {config.copies}; choose another --out"
        )
    _check_kept(config, begun, recipe)
    _check_own(config, begun)
    before = PolicySpec(**{**dataclasses.asdict(load_policy(finished[-1]).spec), "step": 0})
    if before != spec:
        changed = [f.name for f in dataclasses.fields(spec) if getattr(before, f.name) != getattr(spec, f.name)]
        raise LfdError(f"run '{config.out}' was begun with other {', '.join(changed)}; choose another --out")
    return finished[-1]


@contextmanager
def alone_in(run: Path) -> Iterator[None]:
    """Keeps other trainings out of a run folder meanwhile. Raises LfdError where one is there already."""
    folder = run / "checkpoints"  # not the run itself: that is what a sweep holds
    made = [f for f in (folder, run) if not f.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder, wait=False) as got:
        if not got:
            raise LfdError(f"another lfd train writes to '{run}' just now; wait for it, or choose another --out")
        try:
            yield
        finally:
            with suppress(OSError):  # what was refused before anything was written leaves no folder
                for empty in made:
                    empty.rmdir()


def changes_of(config: TrainConfig, begun: dict[str, Any], recipe: Recipe) -> dict[str, list[Any]]:
    """Returns the settings that a run goes on with otherwise than it had by its config.json, as [before, now].

    Args:
        config, recipe: as of `checkpoint_to_resume`.
    """
    now, before = (
        json.loads(json.dumps(document, default=str))
        for document in (dataclasses.asdict(config), {**begun, **had(begun, recipe)})
    )
    names = [k for k in now if k in before and k not in NOT_NOTED]
    return {k: [before[k], now[k]] for k in names if before[k] != now[k]}


def _check_kept(config: TrainConfig, begun: dict[str, Any], recipe: Recipe) -> None:
    for name, (before, now) in changes_of(config, begun, recipe).items():
        if name in KEPT:
            option = f"--{name.replace('_', '-')}"
            how = f"with {option} {before}, found {now}"
            if isinstance(before, bool):
                how = f"{'with' if before else 'without'} {option}"
            raise LfdError(f"run '{config.out}' was begun {how}; go on so, or choose another --out")


def _check_own(config: TrainConfig, begun: dict[str, Any]) -> None:
    """Raises LfdError where a run that counts its own successes would stop to, or one that does not would begin to.

    Runs of earlier versions did so only where they were told to, with `own_successes`.
    """
    counted = begun.get("own_successes", False) or begun.get("no_own_successes") is False
    if config.obs == "state" and may_keep_own(config) and counted == config.no_own_successes:
        how = "counts its own successes" if counted else "does not count its own successes (--no-own-successes)"
        raise LfdError(f"run '{config.out}' {how}; go on so, or choose another --out")


def check_statistics(checkpoint: Path, stats: dict[str, list[float]]) -> None:
    """Raises LfdError where the demos' statistics, by which networks see, are not those that the run began with."""
    begun = read_json(checkpoint / "stats.json")
    changed = [k for k, v in stats.items() if not _near(begun.get(k, []), v)]
    if changed:
        raise LfdError(
            f"run '{checkpoint.parent.parent}' was begun with other demos, or scaled what it sees otherwise "
            f"({', '.join(changed)}); give it its demos, or choose another --out"
        )


def _near(begun: list[float], now: list[float]) -> bool:
    return len(begun) == len(now) and np.allclose(begun, now, rtol=1e-4, atol=1e-6)


def practice_limit(config: TrainConfig, spec: PolicySpec, mean_steps: float) -> int | None:
    """Returns the longest practice episode: twice a usual demo, so that a lost policy starts afresh soon.

    Raises:
        LfdError: it was asked to be shorter than one decision, of which nothing could be learned.
    """
    row = spec.spans.row
    if config.practice_limit is not None and config.practice_limit < row:
        raise LfdError(f"--practice-limit is {config.practice_limit}, expected at least {row}: a decision's steps")
    if config.practice_limit is not None:
        return config.practice_limit
    registered, usual = time_limit(spec.env_id), max(round(2 * mean_steps), LEAST_DECISIONS * row)
    return usual if registered is None else min(usual, registered)
