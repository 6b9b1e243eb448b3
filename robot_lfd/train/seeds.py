"""`lfd train`: one run, or with --seeds one for each seed, in turn or on workers, each of which resumes by itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from robot_lfd.checkpoint import finished_checkpoints, read_spec
from robot_lfd.errors import Diverged, LfdError
from robot_lfd.metrics import read_metrics
from robot_lfd.remote import RemoteFolder, local_home, url_of
from robot_lfd.remote_runs import published
from robot_lfd.runs import SEED_FOLDER, seed_folders
from robot_lfd.scale.cluster import is_asked_for
from robot_lfd.scale.jobs import Progress, run_jobs
from robot_lfd.train import trainer
from robot_lfd.train.config import TrainConfig
from robot_lfd.train.far_practice import check_rollouts
from robot_lfd.train.reading import steps_of, with_steps
from robot_lfd.train.recipe import planned_steps
from robot_lfd.train.several_devices import check_shared, started_by_torchrun


def run(config: TrainConfig) -> dict[str, Any]:
    """Trains what `config` asks for and returns how it went; of several seeds, `ok` tells whether all came through."""
    if started_by_torchrun():
        check_shared(config)
    check_rollouts(config)
    shared = is_asked_for(config.workers, config.address) and not config.rollout_workers
    if shared and config.seeds is None:
        raise LfdError("--workers and --address share several runs out; say how many with --seeds")
    if shared:
        return _on_workers(config)
    with published(config.out) as folder:
        here = dataclasses.replace(config, out=folder)
        found = trainer.run(here) if config.seeds is None else _in_turn(here)
    return {**found, "run": url_of(config.out) or found["run"]}


def _in_turn(config: TrainConfig) -> dict[str, Any]:
    _check(config, len(seed_folders(config.out)), (config.out / "checkpoints").exists())
    out = Console(highlight=False)
    rows = []
    for number, one in enumerate(_configs(config), 1):
        out.print(f"seed {one.seed}, {number} of {config.seeds}: {one.out}")
        rows.append(_train(one))
        out.print(_told(rows[-1]))
    return _together(config, rows)


def _on_workers(config: TrainConfig) -> dict[str, Any]:
    if url := url_of(config.out):
        names = RemoteFolder(url).files()
        begun = len({n.split("/")[0] for n in names if n.startswith(SEED_FOLDER)})
        _check(config, begun, any(n.startswith("checkpoints/") for n in names))
    else:
        _check(config, len(seed_folders(config.out)), (config.out / "checkpoints").exists())
    jobs = [TrainJob(one) for one in _configs(config)]
    rows = run_jobs(jobs, workers=config.workers, address=config.address, title=f"training {config.out.name}")
    for row in rows:
        Console(highlight=False).print(_told(row))
    return _together(config, rows)


def _together(config: TrainConfig, rows: list[dict[str, Any]]) -> dict[str, Any]:
    Console(highlight=False).print(f"next: lfd eval {config.out}; lfd compare {config.out}")
    return {"run": str(config.out), "algo": config.algo, "ok": not any("error" in r for r in rows), "seeds": rows}


def _check(config: TrainConfig, begun: int, single: bool) -> None:
    """Raises LfdError where --out cannot hold these runs."""
    assert config.seeds is not None
    if config.seeds < 1:
        raise LfdError(f"--seeds is {config.seeds}, expected at least 1")
    if single:
        raise LfdError(f"'{config.out}' already holds a single run; choose another --out for --seeds {config.seeds}")
    if begun and not config.resume:
        raise LfdError(f"'{config.out}' already holds {begun} seeds; go on with --resume, or choose another --out")


def _configs(config: TrainConfig) -> list[TrainConfig]:
    """Returns the settings of each run. A run that had not come to its first checkpoint begins anew."""
    seeds = [config.seed + i for i in range(config.seeds or 0)]
    runs = [config.out / f"{SEED_FOLDER}{seed}" for seed in seeds]
    alone = dataclasses.replace(config, seeds=None, workers=None, address=None)
    if config.address is not None:  # another machine has another working folder
        alone = dataclasses.replace(alone, demos=tuple(d if url_of(d) else d.resolve() for d in config.demos))
        runs = [r if url_of(r) else r.resolve() for r in runs]
    return [dataclasses.replace(alone, seed=s, out=r) for s, r in zip(seeds, runs, strict=True)]


@dataclasses.dataclass(frozen=True)
class TrainJob:
    """One training; its run folder tells how far it is and is what another worker goes on from."""

    config: TrainConfig

    @property
    def name(self) -> str:
        """The run folder."""
        return self.config.out.name

    def run(self, desk: dict[str, Any]) -> dict[str, Any]:
        """Trains, unless that was done before; one that diverges is a result."""
        with published(self.config.out) as folder:
            return {**_train(dataclasses.replace(self.config, out=folder)), "run": str(self.config.out)}

    def progress(self) -> Progress:
        """Counts steps, by the last record of the metrics."""
        url = url_of(self.config.out)
        folder = local_home(url) / "run" if url else self.config.out
        last = next(reversed(read_metrics(folder)), {"step": 0})
        solved = last.get("eval_success", last.get("practice_success"))
        note = "" if solved is None else f"success {solved:.0%}"
        return Progress(last["step"], planned_steps(self.config, folder), note)

    def again(self) -> TrainJob:
        """Returns the job that goes on from the last checkpoint."""
        return TrainJob(dataclasses.replace(self.config, resume=True))


def _train(config: TrainConfig) -> dict[str, Any]:
    """Trains one seed; one that diverges is a result, and the next has its turn."""
    reached, config = _reached(config.out), with_steps(config)
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
