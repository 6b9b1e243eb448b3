"""Success of IQ-Learn beside clones of several kinds, SQIL, DAC and ValueDICE, from the same demos and features.

Prints one JSON line a policy and writes all of them to --out. Every row names its command's settings, final checkpoint,
episodes and Wilson 95 % interval; with --last 10 also those of the last ten checkpoints, their mean and their best.
An interrupted benchmark goes on where it stopped: finished runs are not done again.

    python benchmarks/imitation.py --demos demos/lift --rows bc iq sqil iq-blind --seeds 0 1 2 --work runs/bench
"""

from __future__ import annotations

import argparse
import functools
import json
import os
from pathlib import Path
from typing import Any

from measured import machine, measure_all

from robot_lfd.checkpoint import finished_checkpoints
from robot_lfd.config import EvalConfig
from robot_lfd.demos.spec import software_versions
from robot_lfd.evaluate import run as evaluate
from robot_lfd.train.config import TrainConfig
from robot_lfd.train.trainer import run as train

ROWS: dict[str, dict[str, Any]] = {
    "bc": {"algo": "bc"},
    "iq": {"algo": "iq"},
    "iq-offline": {"algo": "iq", "mode": "offline"},
    "iq-blind": {"algo": "iq", "success_blind": True},  # control: success is hidden from the learner
    "sqil": {"algo": "sqil"},
    "dac": {"algo": "dac"},
    "valuedice": {"algo": "valuedice"},
    "valuedice-offline": {"algo": "valuedice", "mode": "offline"},
    "bc-gmm": {"algo": "bc", "bc_head": "gmm"},
    "bc-rnn": {"algo": "bc", "bc_head": "gmm", "memory": "lstm"},  # robomimic's BC-RNN, at the width of the others
    "bc-chunk": {"algo": "bc", "chunk": 8},
    "bc-candidates": {"algo": "bc", "candidates": 16},
    # what the default recipe consists of, one thing left out at a time
    "iq-numbers": {"algo": "iq", "candidates": 0},
    "iq-far": {"algo": "iq", "near_m": 0.0},
    "iq-forgets": {"algo": "iq", "no_own_successes": True},
    "sqil-numbers": {"algo": "sqil", "candidates": 0},
}


def measure(row: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Trains and evaluates one policy; returns what is reported of it."""
    run = args.work / f"{row}-{seed}"
    settings = {**ROWS[row], **({} if ROWS[row]["algo"] == "bc" else {"steps": args.steps}), **args.options}
    trained: dict[str, Any] = {}
    result = run / "benchmark.json"
    if result.exists():
        return json.loads(result.read_text())
    if not (run / "finished").exists():
        resume = run.exists()
        trained = train(TrainConfig(demos=tuple(args.demos), out=run, seed=seed, resume=resume, **settings))
        (run / "finished").write_text("")
    found = evaluate(EvalConfig(run=run, episodes=args.episodes))
    kept = {k: found[k] for k in ("success_rate", "interval", "length_mean", "step", "env", "episodes")}
    kept |= _last(run, args.last, args.last_episodes)
    report = {"row": row, "seed": seed, **kept, "train_seconds": trained.get("seconds"), "load": os.getloadavg()[0]}
    result.write_text(json.dumps(report) + "\n")
    return report


def _last(run: Path, count: int, episodes: int) -> dict[str, Any]:
    """Returns success of the last so many checkpoints, from the same starts each; nothing where none are asked for."""
    if not count:
        return {}
    curve = []
    for checkpoint in finished_checkpoints(run)[-count:]:
        found = evaluate(EvalConfig(run=checkpoint, episodes=episodes))
        curve.append([found["step"], found["success_rate"]])
    rates = [rate for _, rate in curve]
    return {"last": curve, "last_episodes": episodes, "last_mean": sum(rates) / len(rates), "last_best": max(rates)}


def main() -> None:
    """Runs all rows and seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demos", type=Path, nargs="+", required=True)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=["bc", "iq"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=25_000)
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--last", type=int, default=0)
    parser.add_argument("--last-episodes", type=int, default=50)
    parser.add_argument(
        "--options", type=json.loads, default={}, help="JSON of further lfd train settings, of all rows"
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    measuring = machine()

    def document(rows: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "benchmark": "imitation", "demos": [p.name for p in args.demos], "steps": args.steps,
            "options": args.options, "machine": measuring, "versions": software_versions(), "rows": rows,
        }  # fmt: skip

    rows = [functools.partial(measure, row, seed, args) for seed in args.seeds for row in args.rows]
    measure_all(rows, document, args.out)


if __name__ == "__main__":
    main()
