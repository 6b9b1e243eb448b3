"""`lfd sweep`: many settings of `lfd train` on workers; ASHA through Ray Tune stops those that fall behind.

A trial is a run like any other and goes on from its own checkpoints and evaluations: Tune decides who continues. What
Tune writes is thrown away, and no file of it is ever read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from robot_lfd import compare
from robot_lfd.config import CompareConfig
from robot_lfd.durable import replace_file
from robot_lfd.errors import LfdError
from robot_lfd.remote import RemoteFolder, url_of
from robot_lfd.scale.board import Board
from robot_lfd.scale.cluster import joined
from robot_lfd.train.config import SweepConfig, TrainConfig
from robot_lfd.train.reading import steps_of
from robot_lfd.train.recipe import planned_steps
from robot_lfd.train.sweep_space import rungs_of, trials_of
from robot_lfd.train.sweep_trials import Search, Trial, search

NOTE = "sweep.json"


def run(config: SweepConfig) -> dict[str, Any]:
    """Tries the settings that `config` spans and returns how far each came, the best first.

    Raises:
        LfdError: settings that cannot be, --out holds something else, no trial could begin, or there is no Ray.
    """
    if config.eval_episodes < 1:
        raise LfdError(f"--eval-episodes is {config.eval_episodes}, expected at least 1")
    settings = trials_of(config)
    note = Note.begun(config, settings)
    settings = [dataclasses.replace(s, steps=planned_steps(s, s.out)) for s in settings]
    rungs = rungs_of(settings, full=config.full)
    trials = [
        Trial(s, tuple(r), config.eval_episodes, s.out.name in note.stopped)
        for s, r in zip(settings, rungs, strict=True)
    ]
    title = f"sweep {config.out.name}"
    with joined(config.workers, config.address) as cluster, Board(title, [s.out.name for s in settings]) as board:
        cluster.free()  # Tune starts workers of its own
        wanted = Search(config.full, cluster.places(config.workers), config.address, config.out)
        reports = search(trials, wanted, board, on_stop=note.add)
    rows = [_row(t, r) for t, r in zip(settings, reports, strict=True)]
    rows.sort(key=lambda r: (r["error"] is not None, -r["step"], -r["score"]))
    if all(r["error"] for r in rows):
        raise LfdError(f"no trial came through: {rows[0]['error']}")
    return {"out": str(config.out), "ok": not any(r["error"] for r in rows), "trials": rows, **_shown(config, rows)}


@dataclasses.dataclass
class Note:
    """What a sweep tries and whom it has stopped, as it stands in its `sweep.json`: a continued one keeps to it."""

    out: Path
    document: dict[str, Any]

    @classmethod
    def begun(cls, config: SweepConfig, settings: list[TrainConfig]) -> Note:
        """Returns the note of a new sweep, or of the one that goes on. Raises LfdError where --out holds another."""
        told = json.loads(json.dumps([dataclasses.asdict(s) for s in settings], default=str))
        asked = {"command": "sweep", "eval_episodes": config.eval_episodes, "full": config.full, "trials": told}
        found = _read(config.out)
        if found is None:
            note = cls(config.out, {**asked, "stopped": []})
            note._write()
            return note
        if not config.resume:
            raise LfdError(f"'{config.out}' already holds a sweep; go on with --resume, or choose another --out")
        if any(found.get(k) != v for k, v in asked.items()):
            raise LfdError(f"'{config.out}' holds a sweep of other settings; choose another --out")
        return cls(config.out, found)

    @property
    def stopped(self) -> list[str]:
        """Names of the trials that fell behind."""
        return self.document["stopped"]

    def add(self, name: str) -> None:
        """Writes down that a trial was stopped."""
        if name not in self.stopped:
            self.stopped.append(name)
            self._write()

    def _write(self) -> None:
        data = (json.dumps(self.document, indent=1) + "\n").encode()
        _put(self.out, NOTE, data)


def _read(out: Path) -> dict[str, Any] | None:
    url = url_of(out)
    if url:
        remote = RemoteFolder(url)
        return json.loads(remote.read(NOTE)) if NOTE in remote.files() else None
    if (out / NOTE).exists():
        return json.loads((out / NOTE).read_text())
    if out.is_dir() and any(out.iterdir()):
        raise LfdError(f"'{out}' is not empty and holds no sweep; choose another --out")
    return None


def _put(out: Path, name: str, data: bytes) -> None:
    url = url_of(out)
    if url:
        RemoteFolder(url).write(name, data)
    else:
        out.mkdir(parents=True, exist_ok=True)
        replace_file(out / name, data)


def _row(settings: TrainConfig, report: dict[str, Any]) -> dict[str, Any]:
    """Returns how far a trial came, by its last report."""
    row = {"run": url_of(settings.out) or str(settings.out), "step": 0, "score": 0.0, "success_rate": None}
    row |= {"return_mean": None, "error": None, **report}
    return {**row, "stopped_early": row["error"] is None and row["step"] < steps_of(settings)}


def _shown(config: SweepConfig, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Prints who came how far, the best first, writes the page that compares them, and returns where it lies."""
    console = Console(highlight=False)
    for row in rows:
        if row["error"]:
            console.print(f"{Path(row['run']).name}: {row['error']}", markup=False)
    page = config.out / "compare.html"
    evaluated = tuple(Path(r["run"]) for r in rows if r["success_rate"] is not None)
    if not evaluated:
        return {"page": None}
    with contextlib.ExitStack() as stack:
        local = page
        if url_of(config.out):
            import tempfile

            local = Path(stack.enter_context(tempfile.TemporaryDirectory())) / page.name
        compare.run(CompareConfig(runs=evaluated, out=local))
        if local != page:
            _put(config.out, page.name, local.read_bytes())
    best = rows[0]["run"]
    console.print(
        f"best of {len(rows)}: {best}\nit was chosen by these very episodes, so measure it on fresh ones: "
        f"lfd eval {best} --seed 5000",
        markup=False, soft_wrap=True,
    )  # fmt: skip
    return {"page": url_of(page) or str(page)}
