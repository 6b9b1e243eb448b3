"""`lfd eval`: of one run, or of every seed in a folder of lfd train --seeds, and then of all of them together."""

from __future__ import annotations

import dataclasses
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from robot_lfd import evaluate
from robot_lfd.config import EvalConfig
from robot_lfd.errors import LfdError
from robot_lfd.evaluations import read_evaluations
from robot_lfd.remote import RemoteFolder, url_of
from robot_lfd.runs import SEED_FOLDER, Score, score, seed_folders
from robot_lfd.scale.cluster import is_asked_for, joined


def run(config: EvalConfig) -> dict[str, Any]:
    """Evaluates, prints, and returns the numbers; those of several seeds stand under `seeds`, pooled ones beside."""
    folders = _seeds_at(config.run)
    if not folders:
        return evaluate.run(config)
    if config.video is not None:
        raise LfdError(f"--video: '{config.run}' holds {len(folders)} seeds; film one of them, such as {folders[0]}")
    with joined(config.workers, config.address) if is_asked_for(config.workers, config.address) else nullcontext():
        found = [evaluate.run(dataclasses.replace(config, run=folder)) for folder in folders]
    rows = [_rows(each, config) for each in found]
    pooled = score(rows)
    if pooled is None:
        raise LfdError(f"no seed of '{config.run}' kept its evaluation; is the folder writable?")
    together = _together(pooled, config, found)
    text = json.dumps(together, indent=1) + "\n"
    if url := url_of(config.run):
        RemoteFolder(url).write("evaluation.json", text.encode())
    else:
        (config.run / "evaluation.json").write_text(text)
    _print(together)
    return together


def _seeds_at(run: Path) -> list[Path]:
    """Returns the runs of the seeds in a folder, or at a URL."""
    url = url_of(run)
    if url is None:
        return seed_folders(run)
    names = {n.split("/")[0] for n in RemoteFolder(url).files()}
    numbers = sorted(int(n.removeprefix(SEED_FOLDER)) for n in names if n.removeprefix(SEED_FOLDER).isdigit())
    return [run / f"{SEED_FOLDER}{k}" for k in numbers]


def _rows(found: dict[str, Any], config: EvalConfig) -> list[dict[str, Any]]:
    """Returns the episodes of the evaluation that has just been written."""
    from robot_lfd.remote_runs import fetched  # late: it brings torch

    folder = fetched(Path(found["run"]))
    mine = [e for e in read_evaluations(folder) if (e["step"], e["seed"]) == (found["step"], config.seed)]
    return mine[0]["rows"] if mine else []


def _together(pooled: Score, config: EvalConfig, found: list[dict[str, Any]]) -> dict[str, Any]:
    numbers = dataclasses.asdict(pooled)
    return {"run": str(config.run), "seed": config.seed, **numbers, "seeds": found}


def _print(together: dict[str, Any]) -> None:
    from rich.console import Console

    low, high = together["interval"]
    rates = " ".join(f"{100 * r:.0f}" for r in together["rates"])
    returns = " ".join(f"{r:.2f}" for r in together["returns"])
    Console(highlight=False).print(
        f"{len(together['seeds'])} seeds, {together['episodes']} episodes: success "
        f"{100 * together['success_rate']:.1f} % (95 %: {100 * low:.1f} to {100 * high:.1f}; seeds {rates}), "
        f"return {together['return_mean']:.2f} (seeds {returns})"
    )
