"""Evaluation: success over fixed seeds with a Wilson interval, return and length; `lfd eval` is its command line."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from robot_lfd.config import EvalConfig
from robot_lfd.envs.contract import arm_of
from robot_lfd.errors import LfdError
from robot_lfd.evaluations import write_evaluation
from robot_lfd.rollout import Policy, rollout
from robot_lfd.scale.cluster import is_asked_for

Z_95 = 1.959963984540054  # the standard normal's 97.5 % quantile


@dataclass(frozen=True)
class EpisodeRow:
    """What one evaluation episode came to. `return_sum` is undiscounted, `length` is in control steps."""

    seed: int
    success: bool
    return_sum: float
    length: int


@dataclass(frozen=True)
class EvalResult:
    """Every episode of an evaluation, in order of its seed, and the pictures of the first ones (T, H, W, 3) uint8."""

    rows: tuple[EpisodeRow, ...]
    frames: list[np.ndarray] = field(default_factory=list)

    @property
    def success_rate(self) -> float:
        """Share of episodes that ended solved."""
        return float(np.mean([r.success for r in self.rows]))

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson 95 % interval of the success rate."""
        return wilson_interval(sum(r.success for r in self.rows), len(self.rows))

    def summary(self) -> dict[str, Any]:
        """Returns the numbers that `lfd eval --json` prints, without names and times."""
        returns = [r.return_sum for r in self.rows]
        lengths = [r.length for r in self.rows]
        return {
            "success_rate": self.success_rate,
            "interval": list(self.interval),
            "return_mean": float(np.mean(returns)),
            "return_median": float(np.median(returns)),
            "length_mean": float(np.mean(lengths)),
            "length_median": float(np.median(lengths)),
            "episodes": len(self.rows),
        }


def wilson_interval(successes: float, n: float, z: float = Z_95) -> tuple[float, float]:
    """Returns the Wilson score interval of a proportion, without continuity correction.

    Source: E. B. Wilson, JASA 22 (1927) 209-212; Newcombe, Statistics in Medicine 17 (1998) 857-872, method 3.
    """
    if not 0 <= successes <= n or n < 1:
        raise LfdError(
            f"a success rate of {successes} out of {n} has no interval, expected 0 <= successes <= n, n >= 1"
        )
    p = successes / n
    centre = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if successes == 0 else (centre - half) / scale  # exact at the ends, free of rounding
    high = 1.0 if successes == n else (centre + half) / scale
    return low, high


def evaluate(
    env: gym.Env,
    policy: Policy,
    *,
    episodes: int,
    seed: int,
    on_episode: Callable[[EpisodeRow], None] | None = None,
    collect_frames_of: int = 0,
    camera: str | None = None,
    size_px: int = 256,
) -> EvalResult:
    """Returns how the policy does from the starts of `seed`, `seed` + 1, ...: the same starts for every policy.

    Args:
        on_episode: called with each episode's row as soon as it is over.
        collect_frames_of: keep pictures of the first so many episodes.
        camera: whose pictures; the environment's main camera without it.
    """
    if episodes < 1:
        raise LfdError(f"{episodes} evaluation episodes were asked for, expected at least 1")
    rows: list[EpisodeRow] = []
    films: list[np.ndarray] = []
    for index in range(episodes):
        filmed = index < collect_frames_of
        row, frames = _run_episode(env, policy, seed + index, (camera, size_px) if filmed else None)
        rows.append(row)
        films.extend([frames] if frames is not None else [])
        if on_episode:
            on_episode(row)
    return EvalResult(tuple(rows), films)


def _run_episode(
    env: gym.Env, policy: Policy, seed: int, film: tuple[str | None, int] | None
) -> tuple[EpisodeRow, np.ndarray | None]:
    arm = arm_of(env) if film else None
    return_sum, length, success = 0.0, 0, False
    frames: list[np.ndarray] = []
    for step in rollout(env, policy, seed=seed):
        return_sum, length = return_sum + step.reward, length + 1
        success = bool(step.info.get("is_success", False))
        if arm and film:
            camera, size_px = film
            frames.append(arm.render_camera(camera or arm.camera_names[0], size_px, size_px))
    return EpisodeRow(seed, success, return_sum, length), np.stack(frames) if frames else None


def run(config: EvalConfig) -> dict[str, Any]:
    """`lfd eval`: prints success, return and length of a run; writes them into the run folder, and a video if asked."""
    from robot_lfd import load_policy
    from robot_lfd.envs.registry import make_env
    from robot_lfd.remote_runs import fetched, send  # late: it brings torch

    shared = is_asked_for(config.workers, config.address)
    if config.copies > 1 and (config.video or shared):
        other = "--video films one copy" if config.video else "--workers shares the episodes out"
        raise LfdError(f"{other}; leave --copies away")
    folder = fetched(config.run)
    policy = load_policy(folder)
    make = partial(make_env, policy.env_id, **sight_of(policy), **policy.env_kwargs)  # type: ignore[attr-defined]
    began = time.perf_counter()
    if shared:
        result = _shared_out(make, policy, config)
    else:
        with closing(make()) as env:
            result = _with_progress(env, policy, config)
    seconds = time.perf_counter() - began
    found = {
        **result.summary(),
        "seed": config.seed,
        "run": str(config.run),
        "algo": policy.algo,  # type: ignore[attr-defined]
        "step": policy.step,  # type: ignore[attr-defined]
        "env": policy.env_id,  # type: ignore[attr-defined]
        "seconds": round(seconds, 3),
    }
    if config.video:
        found["video"] = str(_write_film(result, config, policy.control_hz))  # type: ignore[attr-defined]
    saved = write_evaluation(folder, {**found, "rows": [asdict(r) for r in result.rows]})
    if saved is not None:
        send(config.run, saved, f"evaluations/{saved.name}")
    found["file"] = None if saved is None else str(saved)
    _print_table(found)
    return found


def sight_of(policy: Any, *more_cameras: str, size_px: int = 84) -> dict[str, Any]:
    """Returns the keywords of `make_env` for what a policy looks through: `cameras` and `size_px`.

    Args:
        more_cameras: whose pictures are wanted beside. size_px: of these, where the policy itself sees none.
    """
    seen = tuple(k.removeprefix("images/") for k in policy.policy_keys if k.startswith("images/"))
    cameras = tuple(dict.fromkeys((*more_cameras, *seen)))
    return {"cameras": cameras, "size_px": policy.spec.size_px if seen else size_px}


def _with_progress(env: gym.Env, policy: Policy, config: EvalConfig) -> EvalResult:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    solved = 0
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("evaluating", total=config.episodes)

        def show(row: EpisodeRow) -> None:
            nonlocal solved
            solved += row.success
            progress.update(task, advance=1, description=f"evaluating  {solved} solved")

        if config.copies > 1:
            from robot_lfd.evaluate_many import evaluate_many

            count = {"episodes": config.episodes, "seed": config.seed, "copies": config.copies}
            return evaluate_many(config.run, **count, on_episode=show)
        filmed = min(config.video_episodes, config.episodes) if config.video else 0
        return evaluate(
            env, policy, episodes=config.episodes, seed=config.seed, on_episode=show, collect_frames_of=filmed
        )


def _shared_out(make: Callable[[], gym.Env], policy: Policy, config: EvalConfig) -> EvalResult:
    """Returns what workers find, episode by episode what one process would; only films are made here."""
    from robot_lfd.evaluate_workers import evaluate_on_workers

    frames = []
    if config.video:
        filmed = min(config.video_episodes, config.episodes)
        with closing(make()) as env:
            frames = evaluate(env, policy, episodes=filmed, seed=config.seed, collect_frames_of=filmed).frames
    return EvalResult(evaluate_on_workers(config), frames)


def _write_film(result: EvalResult, config: EvalConfig, control_hz: float) -> Path:
    from robot_lfd.video import film_episode, write_video

    assert config.video is not None
    parts = [
        film_episode(frames, f"seed {row.seed}", row.success, control_hz)
        for frames, row in zip(result.frames, result.rows, strict=False)
    ]
    write_video(config.video, itertools.chain.from_iterable(parts), control_hz)
    return config.video


def _print_table(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from robot_lfd.envs.registry import is_ours

    low, high = found["interval"]
    table = Table(
        title=f"{found['run']}  ({found['algo']}, step {found['step']}, {found['env']})", title_justify="left"
    )
    table.add_column("measure")
    table.add_column("value", justify="right")
    rate = f"{100 * found['success_rate']:.1f} %  (95 %: {100 * low:.1f} to {100 * high:.1f})"
    table.add_row("success", rate if found["success_rate"] or is_ours(found["env"]) else "this environment tells none")
    table.add_row("return", f"{found['return_mean']:.2f}  (median {found['return_median']:.2f})")
    table.add_row("length", f"{found['length_mean']:.1f} steps  (median {found['length_median']:.0f})")
    table.add_row("episodes", f"{found['episodes']} from seed {found['seed']}")
    table.add_row("time", f"{found['seconds']:.1f} s")
    for name in ("video", "file"):
        if name in found:
            table.add_row(name, found[name])
    Console().print(table)
