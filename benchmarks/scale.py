"""Two Ray workers against one process, for evaluation and import: wall time, the same results, Ray's start apart.

    python benchmarks/scale.py --out benchmarks/results/scale.json

The import reads robomimic's Square PH from LFD_DATA or ../shared/data and is left out where that is absent.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measured import machine

from robot_lfd.cli import sample
from robot_lfd.config import EvalConfig
from robot_lfd.demos.config import DataImportConfig
from robot_lfd.demos.imports import run as import_demos
from robot_lfd.demos.store import DemoStore
from robot_lfd.evaluate import run as evaluate
from robot_lfd.evaluations import read_evaluations
from robot_lfd.scale.cluster import joined

ROOT = Path(__file__).parent.parent


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Returns the wall seconds of a piece of work, and what it returned; what it prints is left out."""
    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        found = work()
    return time.perf_counter() - began, found


def row(name: str, alone_s: float, shared_s: float, **more: Any) -> dict[str, Any]:
    """Returns a row of the report."""
    return {"what": name, "serial_s": round(alone_s, 2), "workers_s": round(shared_s, 2),
            "ratio": round(alone_s / shared_s, 3), **more}  # fmt: skip


def evaluation(folder: Path, episodes: int, workers: int) -> dict[str, Any]:
    """Evaluates the sample policy once in this process and once on the workers."""
    run = folder / "run"
    run.mkdir()
    for name in ("config.json", "checkpoints"):
        (run / name).symlink_to(sample("lift-iq") / name)
    rows, seconds = [], []
    for count in (None, workers):
        took, _ = timed(lambda count=count: evaluate(EvalConfig(run=run, episodes=episodes, workers=count)))
        seconds.append(took)
        rows.append(read_evaluations(run)[-1]["rows"])
    steps = sum(r["length"] for r in rows[0])
    return row("evaluation", *seconds, episodes=episodes, steps=steps, equal=rows[0] == rows[1])


def importing(folder: Path, source: Path, demos: int, workers: int) -> dict[str, Any]:
    """Imports the first demos of a file once in this process and once on the workers."""
    seconds, sums = [], []
    for count in (None, workers):
        out = folder / f"demos-{count}"
        config = DataImportConfig(sources=(source,), out=out, max_demos=demos, workers=count)
        took, _ = timed(lambda config=config: import_demos(config))
        seconds.append(took)
        store = DemoStore.open(out)
        sums.append([store.attributes(i)["checksums"] for i in store.ids()])
    return row("import", *seconds, demos=len(sums[0]), equal=sums[0] == sums[1])


def main() -> None:
    """Measures and prints one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--episodes", type=int, default=600)
    parser.add_argument("--demos", type=int, default=40)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    data = Path(os.environ.get("LFD_DATA") or ROOT.parent / "shared" / "data")
    source = data / "robosuite" / "square_ph_low_dim.hdf5"
    began = time.perf_counter()
    with joined(asked.workers, None), tempfile.TemporaryDirectory() as folder:
        started_s = time.perf_counter() - began
        rows = [evaluation(Path(folder), asked.episodes, asked.workers)]
        if source.exists():
            rows.append(importing(Path(folder), source, asked.demos, asked.workers))
        else:
            print(f"no import: '{source}' is not there")
    report = {
        "benchmark": "scale",
        "workers": asked.workers,
        "ray_start_s": round(started_s, 2),
        "rows": rows,
        **machine(),
    }
    print(json.dumps(report))
    if asked.out:
        asked.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
