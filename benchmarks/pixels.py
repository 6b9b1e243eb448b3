"""Success from pixels beside behaviour cloning of the same demos, from nothing to the evaluated policy, on the CPU.

Records scripted-human demos with pictures, or takes those of `--given`; trains a state teacher by IQ-Learn on them, and
pixel policies by distillation, by cloning and, where asked for, by IQ-Learn itself; evaluates each from the same
starts, with the pictures it was trained on and, where asked for, with reference ones. Prints one JSON line a row. What
was finished is not done again when an interrupted benchmark goes on.

    python benchmarks/pixels.py --seeds 0 --work runs/pixels --out benchmarks/results/pixels.json
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measured import machine

from robot_lfd.checkpoint import load_policy
from robot_lfd.config import RecordConfig
from robot_lfd.demos.spec import software_versions
from robot_lfd.envs.registry import make_env
from robot_lfd.evaluate import evaluate, sight_of
from robot_lfd.record import run as record
from robot_lfd.train.config import TrainConfig
from robot_lfd.train.trainer import run as train

FIRST_SEED = 1000


def timed(file: Path, part: Callable[[], Any]) -> dict[str, Any]:
    """Runs a part once and returns its seconds; finished before, returns what was written then."""
    if not file.exists():
        wall, cpu = time.perf_counter(), time.process_time()
        part()
        taken = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu, "load": os.getloadavg()[0]}
        file.write_text(json.dumps({k: round(v, 1) for k, v in taken.items()}))
    return json.loads(file.read_text())


def trained(run: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Trains a run, or goes on with it; CPU seconds are those of the last session."""
    return timed(run.with_suffix(".seconds"), lambda: train(TrainConfig(out=run, resume=run.exists(), **settings)))


def success(run: Path, episodes: int, pictures: str) -> dict[str, Any]:
    """Evaluates the final checkpoint on pictures of one quality; every episode is counted once."""
    file = run.with_name(f"{run.name}.{pictures}.json")
    if not file.exists():
        policy: Any = load_policy(run)
        env = make_env(policy.env_id, **sight_of(policy), **{**policy.env_kwargs, "pictures": pictures})
        found = evaluate(env, policy, episodes=episodes, seed=FIRST_SEED)
        env.close()
        rows = [dataclasses.asdict(r) for r in found.rows]
        file.write_text(json.dumps({**found.summary(), "step": policy.step, "rows": rows}))
    return json.loads(file.read_text())


def measure(seed: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Returns one row a policy: teacher, distilled, cloned."""
    home: Path = args.work / f"seed-{seed}"
    home.mkdir(parents=True, exist_ok=True)
    made = RecordConfig(
        env=args.env, device="scripted", out=home / "demos", episodes=args.demos, cameras=tuple(args.cameras),
        env_kwargs=("pictures=fast",), seed=10_000 * seed,
    )  # fmt: skip
    recording = None if args.given else timed(home / "recording.seconds", lambda: record(made))
    every = {"demos": tuple(args.given or [made.out]), "seed": seed}
    pixels = {**every, "obs": "pixels", "batch_rows": 64}
    distilled = {
        "algo": "distill", "teacher": home / "teacher", "steps": args.steps, "updates_per_step": 2,
        "pretrain_steps": 1000, "teacher_steps": 1000, "checkpoint_every": 1000,
    }  # fmt: skip
    runs = {
        "teacher (state)": (home / "teacher", {**every, "algo": "iq", "candidates": 0, "steps": args.teacher_steps}),
        "distilled (pixels)": (home / "distilled", {**pixels, **distilled}),
        "bc (pixels)": (home / "bc", {**pixels, "algo": "bc", "steps": args.bc_steps, "checkpoint_every": 1000}),
        "iq (pixels)": (home / "iq", {**pixels, "algo": "iq", "steps": args.iq_steps, "checkpoint_every": 1000}),
        "iq (pixels alone)": (
            home / "iq-alone",
            {**pixels, "algo": "iq", "critic_sees": "pixels", "steps": args.iq_steps, "checkpoint_every": 1000},
        ),
    }
    rows = []
    for name, (run, settings) in runs.items():
        if name not in args.rows:
            continue
        spent = trained(run, settings)
        if name == "distilled (pixels)":  # it needs the teacher: both count
            before = {**json.loads((home / "teacher.seconds").read_text()), "load": 0.0}
            spent = {k: round(v + before[k], 1) for k, v in spent.items()}
        row: dict[str, Any] = {
            "row": name,
            "seed": seed,
            "demos": args.demos,
            "recording": recording,
            "training": spent,
        }
        for pictures in args.pictures:
            if pictures == "fast" or "pixels" in name:
                found = success(run, args.episodes, pictures)
                row[pictures] = {k: found[k] for k in ("success_rate", "interval", "length_mean", "episodes", "step")}
        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows


def main() -> None:
    """Runs all seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", default="pybullet/Lift-v0")
    parser.add_argument("--cameras", nargs="+", default=["front", "wrist"])
    parser.add_argument("--demos", type=int, default=25)
    parser.add_argument("--teacher-steps", type=int, default=15_000)
    parser.add_argument("--steps", type=int, default=3_000, help="of distillation, each with two gradient steps")
    parser.add_argument("--bc-steps", type=int, default=7_000, help="as many gradient steps as distillation takes")
    parser.add_argument("--iq-steps", type=int, default=5_000, help="of IQ-Learn from pictures")
    parser.add_argument("--rows", nargs="+", default=["teacher (state)", "distilled (pixels)", "bc (pixels)"])
    parser.add_argument("--given", type=Path, nargs="+", help="datasets with pictures, instead of recording one")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--pictures", nargs="+", default=["fast"], help="to evaluate with; reference ones are slow")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    measuring = machine()
    rows: list[dict[str, Any]] = []
    for seed in args.seeds:
        rows += measure(seed, args)
        document = {"benchmark": "pixels", "env": args.env, "machine": measuring, "versions": software_versions()}
        if args.out:
            args.out.write_text(json.dumps({**document, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
