"""Environment steps until a policy solves its task: IQ-Learn beside SQIL and DAC, from the same demos and networks.

Every run stops to be evaluated each --every steps, always from the same starts, and is over once two evaluations in a
row reach --target: the first of the two is what counts. Step 1 is the clone that all but the plain rows begin with. One
JSON line a run, all of them in --out with a summary; an interrupted benchmark goes on where it stopped.

    python benchmarks/interactions.py --demos demos/lift --seeds 0 1 2 3 4 --work runs/interactions --out found.json
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import statistics
from pathlib import Path
from typing import Any

from measured import machine, measure_all

from robot_lfd.checkpoint import finished_checkpoints, read_spec
from robot_lfd.config import EvalConfig
from robot_lfd.demos.spec import software_versions
from robot_lfd.evaluate import run as evaluate
from robot_lfd.evaluations import read_evaluations
from robot_lfd.train.config import TrainConfig
from robot_lfd.train.trainer import run as train

# From nothing: no clone to begin with, no cloning on the way, an actor of numbers, no successes of its own as demos.
PLAIN: dict[str, Any] = {"candidates": 0, "bc_weight": 0.0, "pretrain_steps": 0, "no_own_successes": True}
ROWS: dict[str, dict[str, Any]] = {
    "iq": {"algo": "iq"},
    "sqil": {"algo": "sqil"},
    "dac": {"algo": "dac"},
    "iq-blind": {"algo": "iq", "success_blind": True},  # control: success is hidden from the learner
    "iq-numbers": {"algo": "iq", "candidates": 0},  # an actor that says numbers, as DAC's does
    "sqil-numbers": {"algo": "sqil", "candidates": 0},
    "iq-plain": {"algo": "iq", **PLAIN},
    "sqil-plain": {"algo": "sqil", **PLAIN},
    "dac-plain": {"algo": "dac", **PLAIN},
}
Point = tuple[int, float]  # steps of the environment, success


def steps_to(target: float, curve: list[Point]) -> int | None:
    """Returns the steps at the first of two evaluations in a row that reach `target`; None where there are none."""
    for (step, success), (_, following) in itertools.pairwise(curve):
        if success >= target and following >= target:
            return step
    return None


def curve_of(run: Path, episodes: int) -> list[Point]:
    """Returns the evaluations that a run has, in order of the steps."""
    return [(e["step"], e["success_rate"]) for e in read_evaluations(run) if e["episodes"] == episodes]


def measure(row: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Trains and evaluates one run until it is over; returns what is reported of it."""
    run = args.work / f"{row}-{seed}"
    marks = [1, *range(args.every, args.steps + 1, args.every)]
    for mark in marks:
        if steps_to(args.target, curve_of(run, args.episodes)) is not None:
            break
        if mark in [step for step, _ in curve_of(run, args.episodes)]:
            continue
        finished = finished_checkpoints(run)
        if not finished or read_spec(finished[-1]).step < mark:
            settings = {**ROWS[row], **args.options, "steps": mark, "checkpoint_every": args.every}
            train(TrainConfig(demos=tuple(args.demos), out=run, seed=seed, resume=run.exists(), **settings))
        evaluate(EvalConfig(run=run, episodes=args.episodes))
    curve = curve_of(run, args.episodes)
    reached = steps_to(args.target, curve)
    return {"row": row, "seed": seed, "steps_to_target": reached, "budget": args.steps, "curve": curve}


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns each method's steps by seed, their median, and its ratio to IQ-Learn's; None: not within the budget."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(r["row"] for r in rows):
        steps = [r["steps_to_target"] for r in rows if r["row"] == name]
        beyond = [r["budget"] + 1 if s is None else s for r, s in zip(_of(rows, name), steps, strict=True)]
        middle = statistics.median(beyond)
        found[name] = {"steps": steps, "median": None if middle > rows[0]["budget"] else middle}
    base = found.get("iq", {}).get("median")
    for numbers in found.values():
        known = base is not None and numbers["median"] is not None
        numbers["times_iq"] = round(numbers["median"] / base, 2) if known else None
    return found


def _of(rows: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [r for r in rows if r["row"] == name]


def main() -> None:
    """Runs all rows and seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demos", type=Path, nargs="+", required=True)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=["iq", "sqil", "dac"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--every", type=int, default=500)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--target", type=float, default=0.9)
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--options", type=json.loads, default={}, help="JSON of further lfd train settings")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    measuring = machine()
    settings = {k: getattr(args, k) for k in ("every", "steps", "target", "episodes", "options")}

    def document(rows: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "benchmark": "interactions", "demos": [p.name for p in args.demos], **settings, "machine": measuring,
            "versions": software_versions(), "summary": summary(rows), "rows": rows,
        }  # fmt: skip

    todo = [functools.partial(measure, row, seed, args) for seed in args.seeds for row in args.rows]
    rows = measure_all(todo, document, args.out)
    print(json.dumps(summary(rows)), flush=True)


if __name__ == "__main__":
    main()
