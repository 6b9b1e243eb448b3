"""Verify: every file, checksum, shape, length and number of a dataset; says which episode and array is wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np

from robot_lfd.demos.episode import Episode
from robot_lfd.demos.journal import is_running, lost_attempts
from robot_lfd.demos.layout import EPISODES, array_checksum, check_seal, read_file
from robot_lfd.demos.lines import read_log
from robot_lfd.demos.resimulate import comes_again, first_difference, play_again
from robot_lfd.demos.store import DESCRIPTION, ID, JOURNAL, LABELS, MODELS, STAGING, DemoStore
from robot_lfd.errors import LfdError


@dataclass
class Findings:
    """What a check found.

    Attributes:
        problems: where it is, and what is wrong with it.
        notes: what is no damage: an interrupted session, leftovers of a crash.
        checked: episodes looked at. damaged: ids of those with a problem.
        resimulated: number of those that come out again bit for bit. not_resimulated: those that cannot.
    """

    problems: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checked: int = 0
    resimulated: int = 0
    not_resimulated: int = 0
    damaged: list[str] = field(default_factory=list)

    def add(self, where: str, what: str) -> None:
        """Notes a problem."""
        self.problems.append({"where": where, "what": what})


def verify(store: DemoStore, *, replay: bool = False, tick: Callable[[], None] = lambda: None) -> Findings:
    """Returns everything that is wrong with a dataset; deleted episodes are looked at too.

    Args:
        replay: also re-simulates each episode and compares every bit.
        tick: called after each episode.
    """
    store.require_local()
    findings = Findings()
    _verify_root(store, findings)
    _verify_models(store, findings)
    _verify_labels(store, findings)
    _verify_journals(store, findings)
    env = store.spec.make_env(pictures=False) if replay else None
    try:
        for episode_id in store.ids(deleted=True):
            before = len(findings.problems)
            _verify_episode(store, episode_id, findings, env)
            findings.checked += 1
            findings.damaged += [episode_id] if len(findings.problems) > before else []
            tick()
    finally:
        if env is not None:
            env.close()
    if count := findings.not_resimulated:
        findings.notes.append(f"{count} demo(s) cannot be re-simulated: cut at the start, or states from elsewhere")
    return findings


def _verify_root(store: DemoStore, findings: Findings) -> None:
    for name in (f"{EPISODES}/zarr.json", DESCRIPTION):
        try:
            check_seal(store.files.read(name), name)
        except (LfdError, OSError) as error:
            findings.add(name, f"{_words(error)}; lfd data repair writes it again from its other copy")
    for name in store.files.names(EPISODES):
        if name != "zarr.json" and not ID.fullmatch(name):
            findings.add(f"{EPISODES}/{name}", "is no episode and does not belong here")
    leftovers = [n for n in store.files.names(STAGING)] if store.files.version(STAGING) else []
    if leftovers:
        findings.notes.append(f"{len(leftovers)} unfinished write(s) in {STAGING}; see: lfd data repair")


def _verify_models(store: DemoStore, findings: Findings) -> None:
    for name in store.files.names(MODELS) if store.files.version(MODELS) else []:
        try:
            data = store.files.read(f"{MODELS}/{name}")
        except OSError as error:
            findings.add(f"{MODELS}/{name}", _words(error))
            continue
        if hashlib.sha256(data).hexdigest() != name.partition(".")[0]:
            findings.add(f"{MODELS}/{name}", "does not match its checksum, which is its name")


def _verify_labels(store: DemoStore, findings: Findings) -> None:
    log = read_log(store.path / LABELS)
    for line in log.damaged:
        findings.add(f"{LABELS} line {line}", "does not match its checksum; the line is left out")
    if log.torn:
        findings.add(LABELS, "ends in the middle of a line; the line is left out; lfd data repair mends it")


def _verify_journals(store: DemoStore, findings: Findings) -> None:
    for path in sorted((store.path / JOURNAL).glob("*.jsonl")):
        if is_running(path):
            findings.notes.append(f"session {path.stem} is recording right now")
            continue
        try:
            attempts = lost_attempts(path)
        except LfdError as error:
            findings.add(f"{JOURNAL}/{path.name}", str(error))
            continue
        for attempt in attempts:
            steps = len(attempt.actions)
            what = "was interrupted after" if attempt.kept is None else "kept, and did not get to write,"
            findings.notes.append(f"session {path.stem} {what} {steps} steps; see: lfd data repair")


def _verify_episode(store: DemoStore, episode_id: str, findings: Findings, env: gym.Env | None) -> None:
    where = f"demo {episode_id}"
    try:
        attributes = store.attributes(episode_id)
    except LfdError as error:
        findings.add(where, _words(error))
        return
    before = len(findings.problems)
    _verify_files(store, episode_id, attributes, findings)
    if len(findings.problems) == before:
        _verify_content(store, episode_id, attributes, findings, env)


def _verify_files(store: DemoStore, episode_id: str, attributes: dict[str, Any], findings: Findings) -> None:
    where = f"demo {episode_id}"
    for name in attributes["file_checksums"]:
        try:
            read_file(store.files, episode_id, name, attributes)
        except LfdError as error:
            findings.add(f"{where} {name.rpartition('/')[0] or name}", _words(error))
    folder = store.path / EPISODES / episode_id
    found = {str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir()}
    for name in sorted(found - set(attributes["file_checksums"]) - {"zarr.json"}):
        findings.add(where, f"holds '{name}', which nobody recorded")


def _verify_content(
    store: DemoStore, episode_id: str, attributes: dict[str, Any], findings: Findings, env: gym.Env | None
) -> None:
    where = f"demo {episode_id}"
    try:
        store.model(attributes.get("model", ""))
        episode = store.recorded(episode_id)
        store.spec.check(episode)
    except LfdError as error:
        findings.add(where, _words(error))
        return
    if len(episode) != attributes["length"]:
        findings.add(where, f"has {len(episode)} steps, its description says {attributes['length']}")
    for path, array in episode.arrays().items():
        if array_checksum(array) != attributes["checksums"][path]:
            findings.add(f"{where} {path}", "holds other numbers than were recorded")
    for k, name in enumerate(("scheduled", "actual")):
        back = np.flatnonzero(np.diff(episode.time[:, k]) < 0)
        if len(back):
            findings.add(f"{where} time", f"{name} time runs backwards at step {int(back[0]) + 1}")
    if env is not None:
        _verify_replay(env, episode, where, findings)


def _verify_replay(env: gym.Env, episode: Episode, where: str, findings: Findings) -> None:
    if not comes_again(episode):
        findings.not_resimulated += 1
        return
    try:
        again = play_again(env, episode)
    except LfdError as error:
        findings.add(where, f"cannot be re-simulated: {error}")
        return
    if difference := first_difference(episode, again):
        findings.add(f"{where} {difference.array}", f"re-simulation differs from row {difference.step} on")
    else:
        findings.resimulated += 1


def _words(error: Exception) -> str:
    text = error.strerror or str(error) if isinstance(error, OSError) else str(error)
    text = text.removesuffix("; see: lfd data verify")
    return text.split(": ", 1)[1] if text.startswith("demo ") and ": " in text else text
