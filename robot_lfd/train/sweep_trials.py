"""The trials of a sweep under Ray Tune: trained and evaluated rung by rung, stopped by ASHA, retried where they die."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from robot_lfd import evaluate
from robot_lfd.config import EvalConfig
from robot_lfd.durable import held, remove_folder
from robot_lfd.envs.registry import is_ours
from robot_lfd.errors import Diverged, LfdError
from robot_lfd.evaluations import read_evaluations
from robot_lfd.metrics import read_metrics
from robot_lfd.remote import RemoteFolder, url_of
from robot_lfd.remote_runs import published
from robot_lfd.scale.board import Board
from robot_lfd.scale.jobs import ATTEMPTS
from robot_lfd.train import trainer
from robot_lfd.train.config import TrainConfig
from robot_lfd.train.reading import steps_of
from robot_lfd.train.sweep_space import REDUCTION

EVAL_SEED = 1000
WORST = -1e12  # the score of a trial that failed: ASHA works out quantiles, which infinity would spoil
LOOK_S = 1.0  # between looks at the metrics of trials that run

# How Tune has to behave: no files of loggers, no folder of its own as working folder, a Ctrl-C that is one.
TUNE = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_SLOW_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "1000000",
}


@dataclasses.dataclass(frozen=True)
class Trial:
    """One setting.

    Attributes:
        rungs: the steps at which it is evaluated. episodes: of each evaluation.
        was_stopped: before the sweep was continued; then it tells what it came to, and does no more.
    """

    settings: TrainConfig
    rungs: tuple[int, ...]
    episodes: int
    was_stopped: bool

    def reports(self) -> Iterator[dict[str, Any]]:
        """Yields what it has come to at each rung; what is there already is not done again."""
        for step in self.rungs:
            try:
                found = self._reach(step)
            except (Diverged, LfdError) as error:
                yield {"score": WORST, "step": step, "error": str(error)}
                return
            except Exception as error:  # it would fail again: no death that a new worker mends
                text = str(error).splitlines()[0] if str(error) else ""
                yield {"score": WORST, "step": step, "error": f"{type(error).__name__}: {text}"}
                return
            if found is None:
                return
            score = found["success_rate"] if is_ours(found["env"]) else found["return_mean"]
            yield {"score": score, **{k: found[k] for k in ("step", "success_rate", "return_mean")}}

    def _reach(self, step: int) -> dict[str, Any] | None:
        """Trains on to `step`, evaluates there, and returns the evaluation; None where it is not to be trained on."""
        with published(self.settings.out) as folder, _alone(folder):
            known = (step, EVAL_SEED, self.episodes)
            for found in read_evaluations(folder):
                if (found["step"], found["seed"], found["episodes"]) == known:
                    return found
            if self.was_stopped:
                return None
            trainer.run(dataclasses.replace(self.settings, out=folder, resume=True), until=step)
            return evaluate.run(EvalConfig(run=folder, episodes=self.episodes, seed=EVAL_SEED))


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Waits until no other worker writes into the run: one of a killed sweep may live some seconds longer."""
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder):
        yield


@dataclasses.dataclass(frozen=True)
class Search:
    """How trials are searched: all to the end, so many at once, on which cluster; `out` is the sweep's folder."""

    full: bool
    places: int
    address: str | None
    out: Path


def search(
    trials: list[Trial], how: Search, board: Board, on_stop: Callable[[str], None]
) -> list[dict[str, Any]]:  # fmt: skip
    """Returns the last report of each trial, in their order, with `error` where it failed.

    Args:
        on_stop: called with the name of each trial that ASHA stops.

    Raises:
        LfdError: Ray Tune is not installed.
    """
    os.environ.update(TUNE)
    tune = _imported()
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # the table tells of deaths, without their traces
    shown = _watch(tune, trials, board, on_stop)
    here = os.getcwd()
    sent = [_absolute(t) for t in trials] if how.address is not None else trials

    def one(params: dict[str, Any]) -> None:
        if how.address is None:
            os.chdir(here)
        for report in sent[params["number"]].reports():
            tune.report(report)

    with _storage(how) as storage:
        results = tune.Tuner(
            tune.with_resources(one, {"cpu": 1}),
            param_space={"number": tune.grid_search(list(range(len(trials))))},
            tune_config=tune.TuneConfig(
                metric="score", mode="max", scheduler=_scheduler(trials, how.full), max_concurrent_trials=how.places
            ),
            run_config=tune.RunConfig(
                **storage, verbose=0, callbacks=[shown], failure_config=tune.FailureConfig(max_failures=ATTEMPTS - 1)
            ),
        ).fit()  # fmt: skip
    for result in results:
        if result.error is not None and result.config:
            words = str(result.error).strip().splitlines()[-1]
            shown.last[result.config["number"]]["error"] = f"its worker died {ATTEMPTS} times; the last time: {words}"
    return shown.last


def _imported() -> Any:
    try:
        from ray import tune
    except ImportError as error:
        raise LfdError(f"a sweep needs Ray Tune ({error}): pip install 'robot-lfd[ray]'") from error
    return tune


def _scheduler(trials: list[Trial], full: bool) -> Any:
    from ray.tune.schedulers import ASHAScheduler, FIFOScheduler

    if full:
        return FIFOScheduler()
    first, longest = min(t.rungs[0] for t in trials), max(t.rungs[-1] for t in trials)
    return ASHAScheduler(time_attr="step", max_t=longest, grace_period=first, reduction_factor=REDUCTION)


def _absolute(trial: Trial) -> Trial:
    """Returns the same trial for a machine with another working folder."""
    s = trial.settings
    demos = tuple(d if url_of(d) else d.resolve() for d in s.demos)
    return dataclasses.replace(
        trial, settings=dataclasses.replace(s, demos=demos, out=s.out if url_of(s.out) else s.out.resolve())
    )


@contextlib.contextmanager
def _storage(how: Search) -> Iterator[dict[str, Any]]:
    """Gives Tune a place for its notes, and removes it: here, or on a cluster beside the runs, where all see it."""
    url = url_of(how.out)
    if how.address is None:
        with tempfile.TemporaryDirectory(prefix="lfd-tune-") as folder:
            yield {"storage_path": folder}
    elif url is None:
        folder = how.out.resolve() / ".tune"
        try:
            yield {"storage_path": str(folder)}
        finally:
            remove_folder(folder)
    else:
        import fsspec
        import pyarrow.fs

        files, path = fsspec.core.url_to_fs(f"{url}/.tune")
        handler = pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(files))
        try:
            yield {"storage_path": path, "storage_filesystem": handler}
        finally:
            remote = RemoteFolder(f"{url}/.tune")
            for name in remote.files():
                remote.remove(name)


def _watch(tune: Any, trials: list[Trial], board: Board, on_stop: Callable[[str], None]) -> Any:
    class Watch(tune.Callback):
        """Feeds the table, and keeps the last report of each trial."""

        def __init__(self) -> None:
            self.last: list[dict[str, Any]] = [{} for _ in trials]
            self._looked = 0.0

        def __reduce__(self) -> Any:
            """Tune writes its callbacks into its notes, which nobody reads: this one cannot travel, and need not."""
            return tune.Callback, ()

        def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            board.began(trial.config["number"], 1 + trial.num_failures)

        def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
            kept = ("score", "step", "success_rate", "return_mean", "error")
            self.last[trial.config["number"]] = {k: result[k] for k in kept if k in result}

        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            number = trial.config["number"]
            last, mine = self.last[number], known[number].settings
            early = last.get("step", 0) < steps_of(mine) and "error" not in last
            if early:
                on_stop(mine.out.name)
            self._look(number)
            board.ended(number, ok="error" not in last, early=early)

        def on_trial_recover(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            board.died(trial.config["number"])

        def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            board.ended(trial.config["number"], ok=False)

        def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
            if time.monotonic() - self._looked < LOOK_S:
                return
            self._looked = time.monotonic()
            for trial in trials:
                if trial.status == "RUNNING":
                    self._look(trial.config["number"])
            board.show()

        def _look(self, number: int) -> None:
            mine, last = known[number].settings, self.last[number]
            logged = {} if url_of(mine.out) else next(reversed(read_metrics(mine.out)), {})
            rate = last.get("success_rate")
            note = "" if rate is None else f"success {rate:.0%} at {last['step']}"
            board.looked(number, max(logged.get("step", 0), last.get("step", 0)), steps_of(mine), note)

    known = trials
    return Watch()
