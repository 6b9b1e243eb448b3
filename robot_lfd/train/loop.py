"""The loop that every training run goes through: steps, log, checkpoints, and a Ctrl-C that loses nothing."""

from __future__ import annotations

import time
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LOG_EVERY = 100


class Session(Protocol):
    """A training run between two checkpoints. `step` counts the steps done."""

    step: int

    def one_step(self) -> dict[str, float] | None:
        """Does the next step, counts it, and returns what there is to log."""
        ...

    def log(self, scalars: dict[str, float], rate: float) -> dict[str, float]:
        """Writes a record of metrics and returns the scalars that it added."""
        ...

    def save(self) -> None:
        """Writes a checkpoint of this step."""
        ...


def run_steps(session: Session, *, total: int, checkpoint_every: int, title: str) -> dict[str, float]:
    """Runs to step `total`; checkpoints on the way, at the end, and when interrupted. Returns the last scalars."""
    scalars = dict[str, float]()
    began, first = time.perf_counter(), session.step
    with progress_bar() as bar:
        task = bar.add_task(title, total=total, completed=session.step, note="")
        try:
            while session.step < total:
                scalars = session.one_step() or scalars
                if session.step % LOG_EVERY == 0 or session.step == total or "eval_success" in scalars:
                    rate = (session.step - first) / (time.perf_counter() - began)
                    scalars |= session.log(scalars, rate)
                    bar.update(task, completed=session.step, note=_note(scalars, rate))
                if session.step % checkpoint_every == 0 and session.step < total:
                    session.save()
        except KeyboardInterrupt:
            session.save()
            raise
    session.save()
    return {k: v for k, v in scalars.items() if k.startswith(("practice", "eval", "bc_loss", "critic_loss"))}


def progress_bar() -> Progress:
    """Returns a bar on standard error; on anything but a terminal it shows nothing."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:>13}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
    )  # fmt: skip
    return Progress(*columns, console=console, disable=not console.is_terminal)


def _note(scalars: dict[str, float], rate: float) -> str:
    success = scalars.get("practice_success")
    return f"{rate:.0f}/s" + ("" if success is None else f"  success of the last 20: {success:.0%}")
