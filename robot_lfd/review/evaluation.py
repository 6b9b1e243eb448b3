"""What the evaluation page says: success of runs by checkpoint and seed, curves, paired starts, failures to look at."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from robot_lfd.checkpoint import load_policy
from robot_lfd.compare import panels
from robot_lfd.envs.registry import make_env
from robot_lfd.errors import LfdError
from robot_lfd.evaluate import sight_of, wilson_interval
from robot_lfd.evaluations import FOLDER, run_folder
from robot_lfd.remote_runs import fetched
from robot_lfd.review.beside import Flown, fly
from robot_lfd.runs import Family, Run, families, seed_folders

CURVES = ("practice_success", "bc_loss", "critic_loss", "expert_reward", "replay_reward")  # those that were logged
MOST_FAILURES = 24


class EvaluationDesk:
    """The runs whose evaluations are shown.

    Raises:
        LfdError: a path holds no run.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        named = dict.fromkeys(run_folder(fetched(p)) for p in paths)
        seeds = {
            seed.resolve() for path in named for seed in seed_folders(path)
        }  # --policy may be one of --runs' seeds
        self._named = [p for p in named if p not in seeds]
        self.groups = families(self._named)
        self.runs: list[Run] = [run for group in self.groups for run in group.runs]

    def sheet(self) -> dict[str, Any] | None:
        """Returns everything but the films; None where no runs were named."""
        if not self.groups:
            return None
        fresh = families(self._named)  # an evaluation, or a seed, may have come since; the others keep their numbers
        known = {run.path for run in self.runs}
        self.runs += [run for group in fresh for run in group.runs if run.path not in known]
        logged = [n for n in CURVES if any(g.curve(n) for g in fresh)]
        return {
            "families": [self._family(g) for g in fresh],
            "panels": [asdict(p) for p in panels(fresh, logged)],
            "pairs": [p for a, b in itertools.combinations(fresh, 2) if (p := pair(a, b))],
            "failures": self._failures(fresh),
        }

    def _family(self, family: Family) -> dict[str, Any]:
        first = family.runs[0]
        rows = [_checkpoint(run, step) for run in family.runs for step in sorted({e["step"] for e in run.evaluations})]
        return {
            "name": family.name,
            "algo": first.config.get("algo"),
            "sight": first.sight,
            "demos": first.demos,
            "train_s": first.train_s,
            "step": first.step,
            "checkpoints": rows,
            "starts": starts(family),
        }

    def _failures(self, fresh: Sequence[Family]) -> list[dict[str, Any]]:
        """Returns failures of each run's last checkpoint, the runs in turn, so that each is seen."""
        found = []
        for family in fresh:
            for run in family.runs:
                number = next(i for i, r in enumerate(self.runs) if r.path == run.path)
                about = {"run": number, "step": run.step, "name": family.name, "of_seed": run.config.get("seed")}
                found.append([{**about, **r} for r in run.episodes(run.step) if not r["success"]])
        turns = itertools.chain.from_iterable(itertools.zip_longest(*found))
        return [f for f in turns if f is not None][:MOST_FAILURES]

    def place(self, run: int, step: int, seed: int) -> tuple[str, str, int]:
        """Returns a checkpoint, the folder where its films are kept, and the seed: what is needed to film an episode.

        Raises:
            LfdError: no such run or checkpoint.
        """
        chosen = self._run(run, step)
        return str(_checkpoint_path(chosen, step)), str(chosen.path / FOLDER / "films"), seed

    def _run(self, run: int, step: int) -> Run:
        if not 0 <= run < len(self.runs):
            raise LfdError(f"there is no run {run}")
        if not _checkpoint_path(self.runs[run], step).is_dir():
            raise LfdError(f"run '{self.runs[run].path}' has no checkpoint of step {step}")
        return self.runs[run]


def _checkpoint(run: Run, step: int) -> dict[str, Any]:
    rows = run.episodes(step)
    solved = sum(bool(r["success"]) for r in rows)
    return {
        "seed": run.config.get("seed"),
        "step": step,
        "last": step == run.step,
        "solved": solved,
        "episodes": len(rows),
        "interval": list(wilson_interval(solved, len(rows))),
        "return_mean": sum(r["return_sum"] for r in rows) / len(rows),
        "length_mean": sum(r["length"] for r in rows) / len(rows),
    }


def starts(family: Family) -> dict[str, float]:
    """Returns for each start the share of the family's runs whose last checkpoint solved it."""
    solved: dict[int, list[bool]] = {}
    for run in family.runs:
        for row in run.episodes(run.step):
            solved.setdefault(row["seed"], []).append(bool(row["success"]))
    return {str(seed): sum(found) / len(found) for seed, found in sorted(solved.items())}


def pair(a: Family, b: Family) -> dict[str, Any] | None:
    """Returns how two families do from the same starts; None where they share none.

    Only starts on which one is better say anything: `p` is McNemar's exact two-sided test on them (the binomial one).
    """
    left, right = starts(a), starts(b)
    shared = [s for s in left if s in right]
    if not shared:
        return None
    better = sum(left[s] > right[s] for s in shared)
    worse = sum(left[s] < right[s] for s in shared)
    return {"a": a.name, "b": b.name, "starts": len(shared), "a_better": better, "b_better": worse,
            "p": sign_test(better, worse)}  # fmt: skip


def sign_test(better: int, worse: int) -> float:
    """Returns the two-sided probability of a split at least as uneven, were both alike."""
    n, k = better + worse, min(better, worse)
    return min(1.0, 2.0 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n)


def _checkpoint_path(run: Run, step: int) -> Path:
    return run.path / "checkpoints" / f"{step:08d}"


def film_name(checkpoint: str, seed: int) -> str:
    """Returns the name under which the film of an evaluated episode is kept."""
    return f"{int(Path(checkpoint).name)}-{seed}"


@lru_cache(maxsize=4)
def policy_of(checkpoint: str) -> Any:
    """Returns the policy of a checkpoint."""
    return load_policy(Path(checkpoint))


def again(policy: Any, seed: int, *, last_only: bool) -> Flown:
    """Returns an evaluated episode, simulated again from its seed."""
    env = make_env(policy.env_id, **sight_of(policy), **policy.env_kwargs)
    try:
        return fly(env, policy, seed=seed, last_only=last_only)
    finally:
        env.close()
