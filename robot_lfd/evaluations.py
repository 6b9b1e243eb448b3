"""Evaluations of a run, one JSON file each in RUN/evaluations: `lfd eval` writes them, `lfd compare` reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = "evaluations"


def run_folder(path: Path) -> Path:
    """Returns the run folder that a run or checkpoint path belongs to."""
    path = path.resolve()
    return path.parent.parent if path.parent.name == "checkpoints" else path


def write_evaluation(run: Path, found: dict[str, Any]) -> Path | None:
    """Writes `evaluations/<step>-<seed>.json` of a run and returns it; None where the folder cannot be written to.

    Args:
        run: run or checkpoint folder. found: at least `step`, `seed`, `episodes`, `success_rate` and `rows`, one dict
            an episode. An earlier evaluation of the same step from the same seed is replaced.
    """
    file = run_folder(run) / FOLDER / f"{found['step']}-{found['seed']}.json"
    part = file.with_suffix(".part")
    try:
        file.parent.mkdir(exist_ok=True)
        part.write_text(json.dumps(found, indent=1) + "\n")
        part.replace(file)
    except OSError:  # a sample that ships with the program lies where nobody may write
        return None
    return file


def read_evaluations(run: Path) -> list[dict[str, Any]]:
    """Returns all evaluations of a run as `write_evaluation` got them by step and seed; damaged files are left out."""
    found = [_read(file) for file in (run_folder(run) / FOLDER).glob("*.json")]
    return sorted((e for e in found if e), key=lambda e: (e["step"], e["seed"]))


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    needed = {"step", "seed", "episodes", "success_rate", "rows"}
    return content if isinstance(content, dict) and needed <= content.keys() else {}
