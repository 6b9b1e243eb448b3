"""Replay: episodes are simulated again from model, first state and actions, compared bit for bit, filmed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np

from robot_lfd.config import ReplayConfig
from robot_lfd.demos.episode import Episode
from robot_lfd.demos.resimulate import first_difference, play_again
from robot_lfd.envs.contract import arm_of
from robot_lfd.errors import LfdError

if TYPE_CHECKING:
    from robot_lfd.demos.store import DatasetSpec, DemoStore


@contextmanager
def replay_env(spec: DatasetSpec) -> Iterator[gym.Env]:
    """Gives the environment of a dataset without cameras and time limit, for `replay_episode`; closes it after."""
    env = spec.make_env(pictures=False, endless=True)
    try:
        yield env
    finally:
        env.close()


def replay_episode(
    env: gym.Env, episode: Episode, *, camera: str | None = None, size_px: int | tuple[int, int] | None = None
) -> tuple[Episode, np.ndarray | None]:
    """Simulates the recorded actions again, all of them: an episode may go on beyond its success.

    Args:
        camera: whose pictures are wanted; the main one without it.
        size_px: their size, one number or (height, width); no pictures without it.

    Returns:
        what came out, and the pictures, (T + 1, H, W, 3) uint8, or None.

    Raises:
        LfdError: the episode was cut at its start, so its first state is none that a reset can build.
    """
    arm = arm_of(env)
    height, width = (size_px, size_px) if isinstance(size_px, int) else (size_px or (0, 0))
    frames: list[np.ndarray] = []

    def look() -> None:
        if height and width:
            frames.append(arm.render_camera(camera or arm.camera_names[0], height, width))

    again = play_again(env, episode, look)
    return again, np.stack(frames) if frames else None


def run(config: ReplayConfig) -> dict[str, Any]:
    """`lfd replay`: simulates episodes again; says whether they are equal, and writes a video, as asked."""
    from robot_lfd.demos.store import DemoStore
    from robot_lfd.video import write_video

    store = DemoStore.open(config.dataset)
    ids = _chosen(store, config.demo)
    rows: list[dict[str, Any]] = []
    with replay_env(store.spec) as env, _progress(len(ids)) as advance:
        pictures = _replay_all(env, store, ids, config, rows, advance)
        if config.video:
            write_video(config.video, pictures, store.spec.control_hz)
        else:
            list(pictures)  # there are none; the rows are what counts
    result: dict[str, Any] = {"dataset": str(config.dataset), "episodes": len(rows), "rows": rows}
    result["skipped"] = sum("skipped" in r for r in rows)
    if config.check:
        result["differing"] = sum(r.get("equal") is False for r in rows)
        result["ok"] = result["differing"] == 0
    if config.video:
        result["video"] = str(config.video)
    _print_rows(rows, config)
    return result


def _chosen(store: DemoStore, asked: Sequence[str]) -> list[str]:
    ids = store.ids()
    if not ids:
        raise LfdError(f"dataset '{store.path}' holds no episodes; record some with: lfd record --out {store.path}")
    missing = [d for d in asked if d not in ids]
    if missing:
        raise LfdError(f"dataset '{store.path}' has no episode '{missing[0]}'; it holds {ids[0]} to {ids[-1]}")
    return list(asked) or ids


def _replay_all(
    env: gym.Env, store: DemoStore, ids: list[str], config: ReplayConfig, rows: list[dict], advance: Callable[[], None]
) -> Iterator[np.ndarray]:
    """Yields the pictures of one episode after the other, and adds a row for each."""
    from robot_lfd.video import film_episode

    for number, demo_id in enumerate(ids, 1):
        row, frames = _replay_one(env, store[demo_id], demo_id, config)
        rows.append(row)
        advance()
        if frames is not None:
            caption = f"{number}/{len(ids)}  {demo_id}"
            yield from film_episode(frames, caption, row["success_again"], store.spec.control_hz)


def _replay_one(
    env: gym.Env, episode: Episode, demo_id: str, config: ReplayConfig
) -> tuple[dict[str, Any], np.ndarray | None]:
    row: dict[str, Any] = {"demo": demo_id, "length": len(episode), "success": episode.success}
    try:
        again, frames = replay_episode(
            env, episode, camera=config.camera, size_px=config.size_px if config.video else None
        )
    except LfdError as error:
        if "trimmed" not in episode.meta:
            raise LfdError(f"episode {demo_id}: {error}") from error
        return {**row, "skipped": str(error)}, None
    row["success_again"] = again.success
    if config.check:
        difference = first_difference(episode, again)
        row["equal"] = difference is None
        if difference:
            row |= {"array": difference.array, "step": difference.step, "size": difference.size}
            row["difference"] = str(difference)
    return row, frames


@contextmanager
def _progress(total: int) -> Iterator[Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("re-simulating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)
        yield lambda: progress.update(task, advance=1)


def _print_rows(rows: list[dict[str, Any]], config: ReplayConfig) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    table = Table(
        Column("episode", overflow="fold"), "steps", "recorded", "again", *(["check"] if config.check else [])
    )
    for row in rows:
        cells = [row["demo"], str(row["length"]), _verdict(row["success"])]
        if "skipped" in row:
            table.add_row(*map(escape, [*cells, "skipped: " + row["skipped"]]))
            continue
        check = ["equal, every bit" if row["equal"] else row["difference"]] if config.check else []
        table.add_row(*map(escape, [*cells, _verdict(row["success_again"]), *check]))
    console = Console()
    console.print(table)
    if config.check:
        bad, checked = sum(r.get("equal") is False for r in rows), sum("equal" in r for r in rows)
        console.print(
            f"{checked - bad} of {checked} episodes re-simulate exactly" if checked else "nothing was checked"
        )
    if config.video:
        console.print(f"video: {config.video}", markup=False)


def _verdict(success: bool) -> str:
    return "solved" if success else "not solved"
