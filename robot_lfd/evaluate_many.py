"""Evaluation over several copies of an environment at once: the rows of the serial one, seed by seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from threading import local
from typing import Any

from robot_lfd.envs.vector import kind_of_workers
from robot_lfd.errors import LfdError
from robot_lfd.evaluate import EpisodeRow, EvalResult, evaluate, sight_of

_MINE = local()  # what one worker keeps between its episodes: an environment and a policy of its own


def evaluate_many(
    run: Path, *, episodes: int, seed: int, copies: int, on_episode: Callable[[EpisodeRow], None] | None = None
) -> EvalResult:
    """Returns how a run's policy does from the starts of `seed`, `seed` + 1, ..., `copies` episodes at a time.

    An episode is a function of its seed, so that who plays it, and when, changes nothing. Copies are threads where a
    control step is a call of compiled code, processes elsewhere.

    Args:
        on_episode: called with each episode's row, in order of the seeds.

    Raises:
        LfdError: no copies or no episodes were asked for.
    """
    if copies < 1 or episodes < 1:
        raise LfdError(f"{copies} copies and {episodes} episodes were asked for, expected at least 1 of each")
    rows = []
    with _pool(run, min(copies, episodes)) as pool:
        for row in pool.map(partial(_episode, run), range(seed, seed + episodes)):
            rows.append(row)
            if on_episode:
                on_episode(row)
    return EvalResult(tuple(rows))


def _pool(run: Path, copies: int) -> Executor:
    from robot_lfd import load_policy

    policy: Any = load_policy(run)
    if kind_of_workers(policy.env_id, **sight_of(policy), **policy.env_kwargs) == "threads":
        return ThreadPoolExecutor(copies, thread_name_prefix="evaluation")
    return ProcessPoolExecutor(copies, mp_context=get_context("spawn"))


def _episode(run: Path, seed: int) -> EpisodeRow:
    if not hasattr(_MINE, "run") or _MINE.run != run:
        _MINE.run, _MINE.env, _MINE.policy = run, *_made(run)
    return evaluate(_MINE.env, _MINE.policy, episodes=1, seed=seed).rows[0]


def _made(run: Path) -> Iterator[Any]:
    from robot_lfd import load_policy
    from robot_lfd.envs.registry import make_env

    policy: Any = load_policy(run)
    yield make_env(policy.env_id, **sight_of(policy), **policy.env_kwargs)
    yield policy
