"""`lfd reward`: what a learned Q-function thinks of recorded episodes, and how that goes with the task's own reward.

IQ-Learn's reward r = Q(s, a) - gamma V(s') is known up to shaping: any r + gamma phi(s') - phi(s) explains the same
policy. So single steps may disagree with the task's reward while whole episodes, and V, tell good from bad.

Where the task ended an episode, what follows is the absorbing state, and its reward is part of what was recovered: of a
fall it says that nothing is worse, of a success that nothing is better, step after step until the time limit.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from robot_lfd.config import RewardConfig
from robot_lfd.demos.episode import Episode, step_rows
from robot_lfd.demos.show import progress
from robot_lfd.demos.store import DemoStore
from robot_lfd.envs.registry import time_limit
from robot_lfd.errors import LfdError


class Judgement(NamedTuple):
    """One episode of T steps as the policy sees it."""

    id: str
    success: bool
    reward: np.ndarray  # (T,) the environment's
    recovered: np.ndarray  # (T,) r = Q(s, a) - gamma V(s')
    value: np.ndarray  # (T,) V(s)
    afterwards: float  # sum of r in the absorbing state until the time limit; 0 where the task itself did not end


def judge(policy: Any, episode_id: str, episode: Episode, limit: int | None) -> Judgement:
    """Returns what a policy with critics thinks of an episode; `limit`: how many steps one may have, None: any."""
    before, action, after, ended = step_rows(episode)
    recovered = policy.recovered_reward(before, action, after, ended)
    left = max(0, (limit or 0) - len(episode)) if episode.terminated else 0
    afterwards = left * policy.spec.absorbing_reward
    return Judgement(episode_id, episode.success, episode.reward, recovered, policy.value(before), afterwards)


def agreement(judged: Sequence[Judgement]) -> dict[str, float | None]:
    """Returns how the learned numbers go with the task's own; None where there is nothing to compare.

    `pearson_sums`: of the episodes' sums of r and of the reward, which length alone can make high.
    `pearson_sums_to_limit`: the same, r summed on in the absorbing state. `pearson_length`: of the number of steps and
    the sums of the reward. `pearson_means`: of means a step, so that length is out. `pearson_steps`: of single steps.
    `pearson_value`: of the episodes' mean V and mean reward. `auc_*`: the chance that a success has the higher mean V,
    last V or mean r than a failure.
    """
    sums = [(j.recovered.sum(), j.reward.sum()) for j in judged]
    to_limit = [(j.recovered.sum() + j.afterwards, j.reward.sum()) for j in judged]
    lengths = [(len(j.reward), j.reward.sum()) for j in judged]
    means = [(j.recovered.mean(), j.reward.mean()) for j in judged]
    values = [(j.value.mean(), j.reward.mean()) for j in judged]
    success = np.array([j.success for j in judged])
    return {
        "pearson_sums": pearson(*np.transpose(sums)),
        "pearson_sums_to_limit": pearson(*np.transpose(to_limit)),
        "pearson_length": pearson(*np.transpose(lengths)),
        "pearson_means": pearson(*np.transpose(means)),
        "pearson_steps": pearson(
            np.concatenate([j.recovered for j in judged]), np.concatenate([j.reward for j in judged])
        ),
        "pearson_value": pearson(*np.transpose(values)),
        "auc_value": auc(np.array([j.value.mean() for j in judged]), success),
        "auc_last_value": auc(np.array([j.value[-1] for j in judged]), success),
        "auc_reward": auc(np.array([j.recovered.mean() for j in judged]), success),
    }


def pearson(first: np.ndarray, second: np.ndarray) -> float | None:
    """Returns the correlation of two rows (N,); None where one of them does not vary."""
    if len(first) < 2 or np.std(first) == 0.0 or np.std(second) == 0.0:
        return None
    return float(np.corrcoef(first, second)[0, 1])


def auc(score: np.ndarray, positive: np.ndarray) -> float | None:
    """Returns the chance that a positive scores higher than a negative, ties half; None where one kind is missing.

    Source: Mann and Whitney 1947; Hanley and McNeil 1982.
    """
    high, low = score[positive], score[~positive]
    if not len(high) or not len(low):
        return None
    above = (high[:, None] > low).mean() + 0.5 * (high[:, None] == low).mean()
    return float(above)


def run(config: RewardConfig) -> dict[str, Any]:
    """Prints an episode a row and how the learned reward goes with the task's own; writes single steps where asked."""
    from robot_lfd import load_policy

    if not config.demos:
        raise LfdError("no dataset was given; name one or more with --demos")
    if config.out is not None and config.out.suffix != ".csv":
        raise LfdError(f"--out {config.out}: single steps are written as .csv, found '{config.out.suffix}'")
    policy: Any = load_policy(config.run)
    _ = policy.critic  # whoever has none says so before any episode is read
    if policy.algo == "dac":
        raise LfdError(
            f"'{config.run}' (dac): its critics judge by a discriminator that is gone; train one with --algo iq"
        )
    judged = list(_judge_all(policy, config.demos))
    if not judged:
        raise LfdError("the datasets hold no episode")
    found = agreement(judged)
    _print(judged, found)
    if config.out is not None:
        _write(config.out, judged)
    return {"run": str(config.run), "episodes": [_row(j) for j in judged], "agreement": found}


def _judge_all(policy: Any, paths: Sequence[Path]) -> Iterator[Judgement]:
    stores = [DemoStore.open(path) for path in paths]
    limits = {store.path: time_limit(store.spec.env_id, **store.spec.env_kwargs) for store in stores}
    work = [(store, i) for store in stores for i in store.ids()]
    with progress("judging", len(work)) as tick:
        for store, episode_id in work:
            episode = store[episode_id]
            missing = [k for k in policy.policy_keys if k not in episode.obs]
            if missing:
                has = ", ".join(episode.obs)
                raise LfdError(f"the policy needs observation '{missing[0]}', '{store.path}' has: {has}")
            yield judge(policy, episode_id, episode, limits[store.path])
            tick()


def _row(judged: Judgement) -> dict[str, Any]:
    return {
        "id": judged.id, "success": judged.success, "length": len(judged.reward),
        "return": float(judged.reward.sum()), "recovered_sum": float(judged.recovered.sum()),
        "recovered_sum_to_limit": float(judged.recovered.sum()) + judged.afterwards,
        "recovered_mean": float(judged.recovered.mean()), "value_mean": float(judged.value.mean()),
        "value_first": float(judged.value[0]), "value_last": float(judged.value[-1]),
    }  # fmt: skip


def _print(judged: Sequence[Judgement], found: dict[str, float | None]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(Column("episode", no_wrap=True), "success", "steps", "return", "sum of r", "mean r", "mean V")
    for j in sorted(judged, key=lambda j: -j.recovered.mean()):
        row = _row(j)
        numbers = [row[k] for k in ("return", "recovered_sum", "recovered_mean", "value_mean")]
        table.add_row(j.id, "yes" if j.success else "no", str(len(j.reward)), *(f"{n:.2f}" for n in numbers))
    out = Console()
    out.print(table)
    for name, about in _ABOUT.items():
        value = found[name]
        out.print(f"{about}: {'nothing to compare' if value is None else f'{value:.3f}'}")
    out.print("The recovered reward is known up to shaping: read it over episodes, not step by step.")


_ABOUT = {
    "pearson_sums": "correlation of the episodes' sums of r and of the task's reward",
    "pearson_sums_to_limit": "the same, r summed on to the time limit where the task ended",
    "pearson_length": "correlation of the episodes' lengths and sums of the task's reward",
    "pearson_means": "correlation of their means a step, so that length is out",
    "pearson_steps": "correlation of r and the task's reward over single steps",
    "pearson_value": "correlation of the episodes' mean V and mean reward",
    "auc_value": "chance that a success has a higher mean V than a failure",
    "auc_last_value": "the same of V at the end of each",
}


def _write(path: Path, judged: Sequence[Judgement]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["episode", "step", "reward", "recovered_reward", "value"])
        for j in judged:
            for step, (reward, recovered, value) in enumerate(zip(j.reward, j.recovered, j.value, strict=True)):
                writer.writerow([j.id, step, float(reward), float(recovered), float(value)])
