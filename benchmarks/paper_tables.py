"""The paper's tables: IQ-Learn beside behaviour cloning from expert trajectories of Gymnasium's own tasks.

Offline with 1 to 15 trajectories (CartPole, Acrobot, LunarLander) or online from one (Hopper, HalfCheetah). A seed
chooses which trajectories, the networks' first weights and all sampling. Reported: the final checkpoint's mean return
over fresh episodes, as a share of the expert's mean return. An interrupted benchmark goes on where it stopped.

    python benchmarks/paper_tables.py --data ../shared/data/gymnasium --task CartPole-v1 --work W --out F.json
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from measured import commit, measure_all

from robot_lfd.config import EvalConfig
from robot_lfd.demos.convert.trajectories_npz import import_trajectories
from robot_lfd.demos.spec import software_versions
from robot_lfd.evaluate import run as evaluate
from robot_lfd.train.config import TrainConfig
from robot_lfd.train.trainer import run as train

# Where the file holds no rewards. Hopper: 1 + forward velocity - 0.001 |a|^2, summed over the recorded states (3,499 in
# 999 steps) and carried on to 1,000. HalfCheetah: what the source says of its two trajectories.
EXPERT_RETURN = {"Hopper-v5": 3503.0, "HalfCheetah-v4": 4206.0}
ROWS: dict[str, dict[str, Any]] = {
    "bc": {"algo": "bc"},
    "iq-offline": {"algo": "iq", "mode": "offline", "steps": 5_000},  # as many as bc
    "iq": {"algo": "iq"},
    "sqil": {"algo": "sqil"},
}


def subset(source: Path, count: int, seed: int, out: Path) -> Path:
    """Returns a dataset of `count` trajectories of the file, drawn by `seed`."""
    with np.load(source, allow_pickle=False) as file:
        whole = {k: file[k] for k in file.files}
    lengths = whole["lengths"]
    chosen = np.sort(np.random.default_rng(seed).permutation(len(lengths))[:count])
    ends = np.cumsum(lengths)
    steps = np.concatenate([np.arange(ends[i] - lengths[i], ends[i]) for i in chosen])
    rows = np.concatenate([np.arange(ends[i] - lengths[i] + i, ends[i] + i + 1) for i in chosen])
    kept = {"obs": whole["obs"][rows], "actions": whole["actions"][steps], "lengths": lengths[chosen]}
    kept |= {"terminated": whole["terminated"][chosen], "env_id": whole["env_id"]}
    if whole["rewards"].size:
        kept["rewards"] = whole["rewards"][steps]
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez(out.with_suffix(".npz"), **kept)
    import_trajectories(out.with_suffix(".npz"), out)
    return out


def measure(row: str, count: int, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Trains and evaluates one policy; returns what is reported of it."""
    run = args.work / f"{args.task}-{row}-{count}-{seed}"
    result = run / "benchmark.json"
    if result.exists():
        return json.loads(result.read_text())
    demos = args.work / "demos" / f"{args.task}-{count}-{seed}"
    if not demos.exists():
        subset(args.data / f"{args.task}.npz", count, seed, demos)
    settings = {**ROWS[row], **({} if row == "bc" else args.options)}
    if args.steps and row != "bc":
        settings["steps"] = args.steps
    trained = train(TrainConfig(demos=(demos,), out=run, seed=seed, resume=run.exists(), **settings))
    found = evaluate(EvalConfig(run=run, episodes=args.episodes))
    kept = {k: found[k] for k in ("return_mean", "return_median", "length_mean", "step", "episodes")}
    report = {"row": row, "trajectories": count, "seed": seed, **kept, "train_seconds": trained["seconds"]}
    result.write_text(json.dumps(report) + "\n")
    return report


def main() -> None:
    """Runs all rows, counts and seeds of one task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("LFD_DATA", "../shared/data")) / "gymnasium")
    parser.add_argument("--task", required=True)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=["bc", "iq-offline"])
    parser.add_argument("--trajectories", type=int, nargs="+", default=[1, 3, 7, 10, 15])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--steps", type=int)
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--options", type=json.loads, default={}, help="JSON of further lfd train settings")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    measured_commit, expert = commit(), expert_return(args)

    def document(rows: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "benchmark": "paper_tables", "task": args.task, "expert_return": expert, "options": args.options,
            "commit": measured_commit, "versions": software_versions(), "rows": rows,
        }  # fmt: skip

    cases = itertools.product(args.trajectories, args.seeds, args.rows)
    measure_all([functools.partial(measure, row, n, seed, args) for n, seed, row in cases], document, args.out)


def expert_return(args: argparse.Namespace) -> float | None:
    """Returns the file's mean return, or its source's where the file holds none."""
    with np.load(args.data / f"{args.task}.npz", allow_pickle=False) as file:
        return float(file["returns"].mean()) if "returns" in file.files else EXPERT_RETURN.get(args.task)


if __name__ == "__main__":
    main()
