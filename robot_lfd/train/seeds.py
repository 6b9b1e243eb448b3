"""`lfd train`: one run, or with --seeds one for each seed, one after the other, each of which resumes by itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from robot_lfd.checkpoint import finished_checkpoints, read_spec
from robot_lfd.config import TrainConfig
from robot_lfd.errors import Diverged, LfdError
from robot_lfd.runs import SEED_FOLDER, seed_folders
from robot_lfd.train import trainer
from robot_lfd.train.reading import steps_of


def run(config: TrainConfig) -> dict[str, Any]:
    """Trains what `config` asks for and returns how it went; of several seeds, `ok` tells whether all came through."""
    if config.seeds is None:
        return trainer.run(config)
    _check(config)
    out = Console(highlight=False)
    rows = []
    for number, one in enumerate(_configs(config), 1):
        out.print(f"seed {one.seed}, {number} of {config.seeds}: {one.out}")
        rows.append(_train(one))
        out.print(_told(rows[-1]))
    out.print(f"next: lfd eval {config.out}; lfd compare {config.out}")
    return {"run": str(config.out), "algo": config.algo, "ok": not any("error" in r for r in rows), "seeds": rows}


def _check(config: TrainConfig) -> None:
    """Raises LfdError where --out cannot hold these runs."""
    assert config.seeds is not None
    if config.seeds < 1:
        raise LfdError(f"--seeds is {config.seeds}, expected at least 1")
    if (config.out / "checkpoints").exists():
        raise LfdError(f"'{config.out}' already holds a single run; choose another --out for --seeds {config.seeds}")
    begun = seed_folders(config.out)
    if begun and not config.resume:
        raise LfdError(f"'{config.out}' already holds {len(begun)} seeds; go on with --resume, or choose another --out")


def _configs(config: TrainConfig) -> list[TrainConfig]:
    """Returns the settings of each run. A run that had not come to its first checkpoint begins anew."""
    seeds = [config.seed + i for i in range(config.seeds or 0)]
    runs = [config.out / f"{SEED_FOLDER}{seed}" for seed in seeds]
    pairs = zip(seeds, runs, strict=True)
    return [dataclasses.replace(config, seed=s, seeds=None, out=r, resume=config.resume) for s, r in pairs]


def _train(config: TrainConfig) -> dict[str, Any]:
    """Trains one seed; one that diverges is a result, and the next has its turn."""
    reached = _reached(config.out)
    if reached >= steps_of(config):
        return {"run": str(config.out), "seed": config.seed, "steps": reached, "already": True}
    try:
        return {"seed": config.seed, **trainer.run(config)}
    except Diverged as error:
        return {"run": str(config.out), "seed": config.seed, "steps": _reached(config.out), "error": str(error)}


def _reached(run: Path) -> int:
    finished: Sequence[Path] = finished_checkpoints(run)
    return read_spec(finished[-1]).step if finished else 0


def _told(row: dict[str, Any]) -> str:
    if "error" in row:
        return f"seed {row['seed']}: {row['error']}; its last checkpoint is of step {row['steps']}"
    return f"seed {row['seed']}: {row['steps']} steps" + (" were done before" if row.get("already") else "")
