"""Repair: after a crash, an interrupted episode is built again from its journal and leftovers are cleared away."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import gymnasium as gym

from robot_lfd.demos.cache import clear_unfinished
from robot_lfd.demos.folder import Folder
from robot_lfd.demos.journal import Attempt, lost_attempts
from robot_lfd.demos.labels import mend_tail
from robot_lfd.demos.layout import EPISODES, check_seal, read_attributes, read_file
from robot_lfd.demos.resimulate import rebuild
from robot_lfd.demos.store import DESCRIPTION, FLAT_CACHE, ID, JOURNAL, LABELS, STAGING, DemoStore
from robot_lfd.durable import held, publish, remove_folder, replace_file, sync_folder
from robot_lfd.errors import LfdError

ABANDONED_S = 60.0  # a staged file without a lock of its own is a leftover when it is older


@dataclass
class Repair:
    """What was done.

    Attributes:
        rebuilt: new episodes from journals. published: episodes found finished but for their name.
        mended: files written right again. cleared: leftovers removed. failed: what could not be done, and why.
    """

    rebuilt: list[dict[str, object]] = field(default_factory=list)
    published: list[str] = field(default_factory=list)
    mended: list[str] = field(default_factory=list)
    cleared: int = 0
    failed: list[str] = field(default_factory=list)


def repair(store: DemoStore, *, tick: Callable[[], None] = lambda: None) -> Repair:
    """Mends what a crash left; committed episodes and running sessions are not touched."""
    store.require_local()
    done = Repair()
    _mend_root(store, done)
    _mend_labels(store, done)
    _finish_staged(store, done)
    _rebuild_journals(store, done, tick)
    done.cleared += clear_unfinished(store.path / FLAT_CACHE)
    return done


def _mend_root(store: DemoStore, done: Repair) -> None:
    names = (f"{EPISODES}/zarr.json", DESCRIPTION)
    healthy: dict[str, bytes] = {}
    for name in names:
        with suppress(LfdError, OSError):
            document = store.files.read(name)
            check_seal(document, name)
            healthy[name] = document
    for name in set(names) - set(healthy):
        replace_file(store.path / name, next(iter(healthy.values())))
        done.mended.append(name)


def _mend_labels(store: DemoStore, done: Repair) -> None:
    path = store.path / LABELS
    if not path.exists():
        return
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    try:
        with held(path):
            if mend_tail(fd):
                os.fsync(fd)
                done.mended.append(LABELS)
    finally:
        os.close(fd)


def _finish_staged(store: DemoStore, done: Repair) -> None:
    staging = store.path / STAGING
    for path in sorted(staging.iterdir()) if staging.is_dir() else []:
        if not path.is_dir() or not ID.fullmatch(path.name):
            if time.time() - path.lstat().st_mtime > ABANDONED_S:
                remove_folder(path) if path.is_dir() else path.unlink(missing_ok=True)
                done.cleared += 1
            continue
        with held(path, wait=False) as ours:
            if not ours:
                continue
            if _is_whole(path) and path.name not in store:
                publish(path, store.path / EPISODES / path.name)
                done.published.append(path.name)
            else:
                remove_folder(path)
                done.cleared += 1


def _is_whole(staged: Path) -> bool:
    """Returns whether a staged episode holds every byte it should."""
    files = _Staged(staged)
    try:
        attributes = read_attributes(files, staged.name)
        for name in attributes["file_checksums"]:
            read_file(files, staged.name, name, attributes)
    except (LfdError, KeyError):
        return False
    return True


class _Staged(Folder):
    """A staged episode, read as if it had its final name."""

    def read(self, name: str) -> bytes:
        return super().read(name.removeprefix(f"{EPISODES}/{self.path.name}/"))


def _rebuild_journals(store: DemoStore, done: Repair, tick: Callable[[], None]) -> None:
    env: gym.Env | None = None
    try:
        for path in sorted((store.path / JOURNAL).glob("*.jsonl")):
            with held(path, wait=False) as ours:
                if not ours:
                    continue
                try:
                    for attempt in lost_attempts(path):
                        if not _is_committed(store, attempt):
                            env = env or store.spec.make_env()
                            done.rebuilt.append(_rebuild(store, env, attempt))
                except LfdError as error:
                    done.failed.append(f"{path.name}: {error}")
                    continue
                path.unlink(missing_ok=True)
                sync_folder(path.parent)
                tick()
    finally:
        if env is not None:
            env.close()


def finish_kept(store: DemoStore, *, tick: Callable[[Attempt], None] = lambda attempt: None) -> list[str]:
    """Writes the episodes that dead sessions had kept and not written yet; returns their ids.

    A damaged journal, and an attempt that was in progress, are left alone.

    Args:
        tick: called before each one.

    Raises:
        LfdError: one cannot be written; its journal stays.
    """
    ids: list[str] = []
    for path in sorted((store.path / JOURNAL).glob("*.jsonl")):
        with held(path, wait=False) as ours, suppress(OSError):
            attempts = _readable(path) if ours else []
            kept = [a for a in attempts if a.kept is not None and not _is_committed(store, a)]
            ids += _rebuild_all(store, kept, tick)
            if attempts and all(a.kept is not None for a in attempts):
                path.unlink(missing_ok=True)
    return ids


def _readable(path: Path) -> list[Attempt]:
    try:
        return lost_attempts(path)
    except LfdError:
        return []


def _rebuild_all(store: DemoStore, attempts: list[Attempt], tick: Callable[[Attempt], None]) -> list[str]:
    if not attempts:
        return []
    env = store.spec.make_env()
    ids: list[str] = []
    try:
        for attempt in attempts:
            tick(attempt)
            ids.append(str(_rebuild(store, env, attempt)["id"]))
    finally:
        env.close()
    return ids


def _rebuild(store: DemoStore, env: gym.Env, attempt: Attempt) -> dict[str, object]:
    episode = rebuild(env, store.spec, attempt, store.model(attempt.model))
    wanted = attempt.kept["id"] if attempt.kept is not None else None
    episode_id = store.append(episode, episode_id=wanted, journal=attempt.reference)
    exact = episode.meta["rebuilt"]["exact_start"]
    return {"id": episode_id, "steps": len(episode), "success": episode.success, "exact_start": exact}


def _is_committed(store: DemoStore, attempt: Attempt) -> bool:
    """Returns whether the attempt's episode made it into the dataset before the crash."""
    session = attempt.reference.split("/")[0]
    for episode_id in store.ids(deleted=True):
        if episode_id > session:  # ids are times: an episode is younger than its session
            with suppress(LfdError):
                if store.attributes(episode_id).get("journal") == attempt.reference:
                    return True
    return False
