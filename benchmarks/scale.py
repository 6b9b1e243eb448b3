"""Two Ray workers against one process, for evaluation and import: wall time, and the same results.

    python benchmarks/scale.py --out benchmarks/results/scale.json

Steady work is compared: starting Ray, and each side's first small piece, which loads simulators and compiled code and
starts the workers, are timed apart (`ray_start_s`, `first_serial_s`, `first_workers_s`). `--rounds` take turns; a ratio
is of one round. The import reads robomimic's Square PH from LFD_DATA or ../shared/data and is left out where that is
absent.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
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


def compared(name: str, work: Callable[[int | None, bool], Any], workers: int, rounds: int) -> dict[str, Any]:
    """Returns a row of the report: `work` done alone (None) and by workers, in turn; `equal` if all results are.

    Args:
        work: does it, or only a small piece of it to warm up, and returns what it came to.
    """
    first = [timed(lambda count=count: work(count, True))[0] for count in (None, workers)]
    alone, shared, results = [], [], []
    for _ in range(rounds):
        for count, seconds in ((None, alone), (workers, shared)):
            took, found = timed(lambda count=count: work(count, False))
            seconds.append(took)
            results.append(found)
    ratios = sorted(a / b for a, b in zip(alone, shared, strict=True))
    return {
        "what": name, "serial_s": round(statistics.median(alone), 2), "workers_s": round(statistics.median(shared), 2),
        "ratio": round(statistics.median(ratios), 3), "ratios": [round(r, 3) for r in ratios],
        "first_serial_s": round(first[0], 2), "first_workers_s": round(first[1], 2),
        "equal": all(r == results[0] for r in results),
    }  # fmt: skip


def evaluation(folder: Path, episodes: int, workers: int, rounds: int) -> dict[str, Any]:
    """Evaluates the sample policy."""
    run = folder / "run"
    run.mkdir()
    for name in ("config.json", "checkpoints"):
        (run / name).symlink_to(sample("lift-iq") / name)

    def work(count: int | None, warm_up: bool) -> list[dict[str, Any]]:
        evaluate(EvalConfig(run=run, episodes=2 * workers if warm_up else episodes, workers=count))
        return read_evaluations(run)[-1]["rows"]

    found = compared("evaluation", work, workers, rounds)
    return {**found, "episodes": episodes, "steps": sum(r["length"] for r in read_evaluations(run)[-1]["rows"])}


def importing(folder: Path, source: Path, demos: int, workers: int, rounds: int) -> dict[str, Any]:
    """Imports the first demos of a file."""

    def work(count: int | None, warm_up: bool) -> list[dict[str, str]]:
        with tempfile.TemporaryDirectory(dir=folder) as out:
            some = 2 * workers if warm_up else demos
            import_demos(DataImportConfig(sources=(source,), out=Path(out) / "demos", max_demos=some, workers=count))
            store = DemoStore.open(Path(out) / "demos")
            return [store.attributes(i)["checksums"] for i in store.ids()]

    return {**compared("import", work, workers, rounds), "demos": demos}


def main() -> None:
    """Measures and prints one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--episodes", type=int, default=600)
    parser.add_argument("--demos", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    data = Path(os.environ.get("LFD_DATA") or ROOT.parent / "shared" / "data")
    source = data / "robosuite" / "square_ph_low_dim.hdf5"
    began = time.perf_counter()
    with joined(asked.workers, None), tempfile.TemporaryDirectory() as folder:
        started_s = time.perf_counter() - began
        rows = [evaluation(Path(folder), asked.episodes, asked.workers, asked.rounds)]
        if source.exists():
            rows.append(importing(Path(folder), source, asked.demos, asked.workers, asked.rounds))
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
