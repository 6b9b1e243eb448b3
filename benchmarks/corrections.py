"""What corrections are worth: a weak policy, a person (a scripted one) who takes over where it does not get on, rounds.

python benchmarks/corrections.py --work W [--algo bc|iq] [--seeds 0 1 2] [--out FILE]      prints one line of JSON

Round 0: a policy from a few demos of pybullet/Lift-v0. Then each round: ten rollouts from new starts with
`lfd deploy --takeover scripted`, all of them recorded; the policy is trained anew with `lfd train --demos demos
rollouts`, which counts the corrected steps as expert rows; success over the same fresh starts each time. The control
gets ten more whole demos a round in the place of the corrections. Every step is the command that a user would type.
What is finished in W is not done again. IQ-Learn learns offline here: practice in the simulator would leave no weak
policy to correct.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

ENV = "pybullet/Lift-v0"
FIRST_ROLLOUT = 50_000  # starts of rollouts: apart from those of demos (0...) and of evaluation (1000...)


def main() -> None:
    """Measures, prints, and writes the file where one is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--algo", default="bc")
    parser.add_argument("--mode", choices=("online", "offline"), default="offline")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--demos", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rollouts", type=int, default=10)
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--no-control", dest="control", action="store_false")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    kinds = ("corrections", "demos") if args.control else ("corrections",)
    rows = [row for seed in args.seeds for kind in kinds for row in measure(args, seed, kind)]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    found = {
        "benchmark": "corrections",
        "commit": commit,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "versions": {p: version(p) for p in ("torch", "numpy", "pybullet")},
        "env": ENV,
        "algo": args.algo,
        "mode": args.mode,
        "steps": args.steps,
        "first_demos": args.demos,
        "rollouts_a_round": args.rollouts,
        "eval_episodes": args.episodes,
        "rows": rows,
        "means": means(rows),
    }
    text = json.dumps(found)
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n")
    print(text)


def measure(args: argparse.Namespace, seed: int, kind: str) -> list[dict[str, Any]]:
    """Returns a row for each round of one seed: `kind` says what each round adds."""
    home = args.work / f"{args.algo}-{kind}-{seed}"
    home.mkdir(parents=True, exist_ok=True)
    demos, more = home / "demos", home / "more"
    if not demos.exists():
        record(demos, args.demos, 100 * seed, seed)
    rows = []
    for number in range(args.rounds + 1):
        given = [demos, more] if number else [demos]
        run = home / f"round{number}"
        trained = cached(home / f"train{number}.json", lambda run=run, given=given: train(args, seed, given, run))
        score = cached(home / f"eval{number}.json", lambda run=run: lfd("eval", run, "--episodes", args.episodes))
        row = {"seed": seed, "adds": kind, "round": number, "success": score["success_rate"]}
        row |= {"interval": [round(x, 4) for x in score["interval"]], "trained_s": trained["seconds"]}
        rows.append(row | cached(home / f"hand{number}.json", lambda: by_hand(demos, more)))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
        if number < args.rounds:
            step = {"corrections": corrected, "demos": shown}[kind]
            cached(home / f"more{number}.json", lambda s=step, r=run, n=number: s(args, seed, r, more, n))
    return rows


def train(args: argparse.Namespace, seed: int, demos: list[Path], run: Path) -> dict[str, Any]:
    """Trains from nothing, on everything that there is by now."""
    resume = ["--resume"] if run.exists() else []
    how = ["--algo", args.algo, "--mode", args.mode, "--steps", args.steps, "--seed", seed]
    return lfd("train", "--demos", *demos, *how, "--out", run, *resume)


def corrected(args: argparse.Namespace, seed: int, run: Path, out: Path, number: int) -> dict[str, Any]:
    """Deploys the policy with a supervisor beside it."""
    first = FIRST_ROLLOUT + 1000 * seed + args.rollouts * number
    words = ["--takeover", "scripted", "--headless", "--no-realtime", "--record", out]
    return lfd("deploy", run, "--episodes", args.rollouts, "--seed", first, *words)


def shown(args: argparse.Namespace, seed: int, run: Path, out: Path, number: int) -> dict[str, Any]:
    """Records whole demos from the very starts that the rollouts have in the other arm of the experiment."""
    return record(out, args.rollouts, FIRST_ROLLOUT + 1000 * seed + args.rollouts * number, seed + 1000 * (number + 1))


def record(out: Path, count: int, first: int, seed: int) -> dict[str, Any]:
    """Records scripted demos; the starts are named, so that failures are not made up for."""
    return lfd("record", "--env", ENV, "--device", "scripted", "--episodes", count, "--seed", first, "--out", out)


def by_hand(*datasets: Path) -> dict[str, int]:
    """Returns how many steps a person has driven in all, and in how many episodes."""
    from robot_lfd.demos.store import DemoStore

    steps = episodes = 0
    for store in (DemoStore.open(path) for path in datasets if path.exists()):
        for episode_id in store:
            attributes = store.attributes(episode_id)
            hand = store.arrays(episode_id, ["intervention"])["intervention"]
            mine = int(hand.sum()) if "policy" in attributes.get("meta", {}) else len(hand)
            steps, episodes = steps + mine, episodes + (mine > 0)
    return {"steps_by_hand": steps, "episodes_with_a_hand": episodes}


def means(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the mean over seeds for each round."""
    keys = sorted({(r["adds"], r["round"]) for r in rows})
    found = []
    for adds, number in keys:
        mine = [r for r in rows if (r["adds"], r["round"]) == (adds, number)]
        mean = {k: round(sum(r[k] for r in mine) / len(mine), 4) for k in ("success", "steps_by_hand")}
        found.append({"adds": adds, "round": number, "seeds": len(mine), **mean})
    return found


def cached(file: Path, make: Any) -> dict[str, Any]:
    """Returns what an earlier call wrote into the file, or makes it."""
    if not file.exists():
        result = make()
        file.write_text(json.dumps(result))
    return json.loads(file.read_text())


def lfd(*words: Any) -> dict[str, Any]:
    """Types one command and returns its JSON line."""
    command = [sys.executable, "-m", "robot_lfd.cli", *map(str, words), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
