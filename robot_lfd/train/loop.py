"""The loop that every training run goes through: steps, log, checkpoints; a Ctrl-C or `kill` loses nothing."""

from __future__ import annotations

import dataclasses
import json
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from policies.agent import under
from robot_lfd.checkpoint import load_policy, read_json, read_tensors, save_checkpoint
from robot_lfd.errors import LfdError
from robot_lfd.evaluate import evaluate
from robot_lfd.evaluations import write_evaluation
from robot_lfd.metrics import Metrics, NoMetrics
from robot_lfd.policy_spec import PolicySpec
from robot_lfd.runs import LEFT_OPEN
from robot_lfd.train.config import TrainConfig
from robot_lfd.train.recipe import Recipe
from robot_lfd.train.resume import changes_of, check_statistics

LOG_EVERY = 100
WARM_UP_ROWS = 200  # practice steps before the first online update of a soft actor-critic


class Settings(NamedTuple):
    """A run's settings: `now`, none of the recipe's open any more; as they were `asked` for; what was `decided`."""

    now: TrainConfig
    asked: TrainConfig
    decided: Recipe


class Session(ABC):
    """A training run between two checkpoints: agent, practice, metrics and random state.

    Subclasses set `spec`, `agent`, `practice` (None where there is none), `rng` and `metrics`, and call
    `continue_from` where there is a checkpoint.
    """

    config: TrainConfig
    spec: PolicySpec
    agent: Any
    practice: Any
    rng: np.random.Generator
    metrics: Metrics | NoMetrics
    writes = True  # False in the further processes of one training: they write nothing

    def __init__(self, settings: Settings) -> None:
        self.config, self.settings = settings.now, settings
        self.step, self.seconds_before, self.began = 0, 0.0, time.perf_counter()  # step: counts the steps done

    @abstractmethod
    def one_step(self) -> dict[str, float] | None:
        """Does the next step, counts it, and returns what there is to log."""

    @abstractmethod
    def make_env(self, **changes: Any) -> gym.Env:
        """Returns a new environment as the policy sees it, but for `changes`."""

    @abstractmethod
    def stats(self) -> dict[str, list[float]]:
        """Returns mean and std of what is normalised, and the actions' std: a checkpoint's stats.json."""

    def clone_first(self, step: Callable[[], object]) -> None:
        """Does the gradient steps before the first one that counts."""

        steps = self.config.pretrain_steps or 0

        def all_steps(told: Callable[[], object]) -> None:
            for _ in range(steps):
                step()
                told()

        self.with_bar("cloning first", steps, all_steps)

    def with_bar(self, title: str, steps: int, work: Callable[[Callable[[], object]], None]) -> None:
        """Does `work`, which calls what it is given after each of its `steps`."""
        with progress_bar(shown=self.writes) as bar:
            task = bar.add_task(title, total=steps, note="")
            work(lambda: bar.advance(task))

    def write_config(self, read: dict[str, Any]) -> None:
        """Writes the settings, what those left open came to, what was read, and `changes` since the run began."""
        if not self.writes:
            return
        file = self.config.out / "config.json"
        begun = read_json(file) if self.step and file.exists() else {}
        decided = self.settings.decided
        changed, noted = changes_of(self.config, begun, decided), begun.get("changes", [])
        noted = [*noted, {"step": self.step, **changed}] if changed else noted
        for name, (before, now) in changed.items():
            Console().print(f"from step {self.step} on --{name.replace('_', '-')} is {now}; before {before}")
        policy = {field: getattr(self.spec, field) for field in LEFT_OPEN.values()}
        came_to = {"policy": policy, "recipe": dataclasses.asdict(decided)}
        told = {"read": read, **came_to, **({"changes": noted} if noted else {})}
        asked = dataclasses.asdict(self.settings.asked)
        told_before = {k: begun[k] for k in came_to["recipe"] if asked[k] is None and k != "steps" and k in begun}
        document = {"command": "train", **asked, **told_before, **told}
        (self.config.out / "config.json").write_text(json.dumps(document, indent=1, default=str) + "\n")

    def is_evaluated(self) -> bool:
        """Whether this is a step at which the user wants to know how the policy does."""
        return bool(self.config.eval_every) and self.step % self.config.eval_every == 0

    def evaluate(self) -> float:
        """Returns the success of the policy as it stands, over fixed starts, and writes down every episode."""
        if not self.writes:
            return float("nan")  # the process that writes looks, and the others wait for it in the next step
        env = self.make_env()
        self.save()
        result = evaluate(env, load_policy(self.config.out), episodes=self.config.eval_episodes, seed=1000)
        env.close()
        rows = [dataclasses.asdict(r) for r in result.rows]
        found = {**result.summary(), "seed": 1000, "step": self.step, "algo": self.config.algo, "rows": rows}
        write_evaluation(self.config.out, found)
        return result.success_rate

    def log(self, scalars: dict[str, float], rate: float) -> dict[str, float]:
        """Writes a record of metrics and returns the scalars that it added."""
        extra = self.practice.scalars() if self.practice else {}
        self.metrics.write(self.step, {**scalars, **extra, "steps_per_s": rate, "train_s": self.seconds()})
        return extra

    def seconds(self) -> float:
        """Returns how long this run has been training, over all its sessions."""
        return self.seconds_before + time.perf_counter() - self.began

    def save(self) -> None:
        """Writes a checkpoint of this step."""
        if not self.writes:
            return
        training = {f"agent.{k}": v for k, v in self.agent.state_dict().items()}
        if self.practice:
            training |= {f"practice.{k}": v for k, v in self.practice.state_dict().items()}
        progress = {"step": self.step, "seconds": round(self.seconds(), 1), "rng": self.rng.bit_generator.state}
        spec = dataclasses.replace(self.spec, step=self.step)
        save_checkpoint(self.config.out, spec, self.stats(), self.agent.deployed(), training, progress)

    def continue_from(self, checkpoint: Path) -> None:
        """Takes up where a checkpoint stopped. Raises LfdError where another version wrote it, or demos are others."""
        check_statistics(checkpoint, self.stats())
        training = read_tensors(checkpoint / "training.safetensors")
        progress = read_json(checkpoint / "progress.json")
        try:
            self.agent.load_state_dict(under(training, "agent"))
            if self.practice:
                self.practice.load_state_dict(under(training, "practice"))
            self.step, self.seconds_before = int(progress["step"]), float(progress.get("seconds", 0.0))
            self.rng.bit_generator.state = progress["rng"]
        except (KeyError, RuntimeError) as error:
            missing = str(error).strip("'\"").splitlines()[0]
            raise LfdError(
                f"checkpoint '{checkpoint}' cannot be continued: {missing} is not as this lfd writes it; lfd eval and"
                " deploy still take it; to train on, begin anew with another --out"
            ) from error

    def close(self) -> None:
        """Closes the environment and the metrics."""
        self.metrics.close()
        if self.practice:
            self.practice.close()


def run_steps(session: Session, *, total: int, checkpoint_every: int, title: str) -> dict[str, float]:
    """Runs to step `total`; checkpoints on the way, at the end, and when interrupted. Returns the last scalars.

    Whoever interrupts waits for the step to end, so that what is kept is whole; who does so twice does not wait, and
    the checkpoint before is what is left.
    """
    scalars = dict[str, float]()
    began, first = time.perf_counter(), session.step
    with progress_bar(shown=session.writes) as bar, _asked_to_end() as asked:
        task = bar.add_task(title, total=total, completed=session.step, note="")
        while session.step < total and not asked:
            scalars = session.one_step() or scalars
            if session.step % LOG_EVERY == 0 or session.step == total or "eval_success" in scalars:
                rate = (session.step - first) / (time.perf_counter() - began)
                scalars |= session.log(scalars, rate)
                bar.update(task, completed=session.step, note=_note(scalars, rate))
            if session.step % checkpoint_every == 0 and session.step < total:
                session.save()
                if bar.disable and session.writes:  # into a file: a line where a terminal has a bar
                    note = _note(scalars, (session.step - first) / (time.perf_counter() - began))
                    bar.console.print(f"{title}: step {session.step} of {total}, {note}")
        session.save()
        if session.step < total:
            raise KeyboardInterrupt
    return {k: v for k, v in scalars.items() if k.startswith(("practice", "eval", "bc_loss", "critic_loss"))}


class _Asked:
    """Whether somebody asked for the end, by a signal; at the second one the program ends as it usually does."""

    def __init__(self) -> None:
        self._told = False

    def __bool__(self) -> bool:
        return self._told

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Takes a signal."""
        if self._told:
            raise KeyboardInterrupt
        self._told = True


@contextmanager
def _asked_to_end() -> Iterator[_Asked]:
    """Takes Ctrl-C, and SIGTERM by which schedulers and `kill` end a program, as a wish to end after this step."""
    asked, before = _Asked(), dict[signal.Signals, Any]()
    if threading.current_thread() is threading.main_thread():  # only the main one is told of signals
        for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
            if signal.getsignal(number) is usual:  # Ray's processes have a way of their own, `nohup` ignores Ctrl-C
                before[number] = signal.signal(number, asked)
    try:
        yield asked
    finally:
        for number, usual in before.items():
            signal.signal(number, usual)


def progress_bar(*, shown: bool = True) -> Progress:
    """Returns a bar on standard error; on anything but a terminal it shows nothing."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:>13}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
    )  # fmt: skip
    return Progress(*columns, console=console, disable=not (shown and console.is_terminal))


def _note(scalars: dict[str, float], rate: float) -> str:
    success = scalars.get("practice_success")
    return f"{rate:.0f}/s" + ("" if success is None else f"  success of the last 20: {success:.0%}")
