"""What the training benchmarks share: one row after the other, all of them written down each time."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def commit() -> str:
    """Returns the commit that is measured, empty outside a repository."""
    return subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()


def machine() -> dict[str, Any]:
    """Returns what a number depends on beside the code."""
    return {"cpus": os.cpu_count(), "python": platform.python_version(), "commit": commit()}


def measure_all(rows: Iterable[Callable[[], Row]], document: Callable[[list[Row]], Row], out: Path | None) -> list[Row]:
    """Returns every row, printed as soon as it is there; `document` of those so far is written to `out`."""
    done: list[Row] = []
    for measure in rows:
        done.append(measure())
        print(json.dumps(done[-1]), flush=True)
        if out:
            out.write_text(json.dumps(document(done), indent=1) + "\n")
    return done
