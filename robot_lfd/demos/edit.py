"""Editing without loss: `lfd data label | delete | undelete | merge | split | compact`."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from robot_lfd.demos.config import (
    DataCompactConfig,
    DataDeleteConfig,
    DataLabelConfig,
    DataMergeConfig,
    DataSplitConfig,
    DataUndeleteConfig,
)
from robot_lfd.demos.journal import is_running
from robot_lfd.demos.select import Selection, select, verdict
from robot_lfd.demos.show import progress
from robot_lfd.demos.store import JOURNAL, STAGING, DemoStore
from robot_lfd.durable import held, sync_folder
from robot_lfd.errors import LfdError


def label(config: DataLabelConfig) -> dict[str, Any]:
    """`lfd data label`: says something about demos; the recordings themselves do not change."""
    store = DemoStore.open(config.dataset)
    ids = named(store, config.demo)
    said = {
        "success": verdict(config.success),
        "note": config.note,
        "tags": config.tags,
        "split": config.split,
        "trim": config.trim,
    }
    if all(v is None for v in said.values()):
        raise LfdError("nothing to say: give --success, --note, --tags, --split or --trim")
    for episode_id in ids:
        store.label(episode_id, **said)
    Console().print(f"labelled {len(ids)} demo(s)")
    return {"dataset": str(config.dataset), "demos": ids, **{k: v for k, v in said.items() if v is not None}}


def delete(config: DataDeleteConfig) -> dict[str, Any]:
    """`lfd data delete`: marks demos as deleted; nothing is lost before `lfd data compact`."""
    store = DemoStore.open(config.dataset)
    ids = named(store, config.demo)
    for episode_id in ids:
        store.delete(episode_id)
    Console().print(f"deleted {len(ids)} demo(s), {len(store)} left; lfd data undelete takes it back")
    return {"dataset": str(config.dataset), "demos": ids, "left": len(store)}


def undelete(config: DataUndeleteConfig) -> dict[str, Any]:
    """`lfd data undelete`: takes deletions back."""
    store = DemoStore.open(config.dataset)
    gone = [i for i in store.ids(deleted=True) if store.labels[i].deleted]
    ids = named(store, config.demo) if config.demo else gone
    for episode_id in ids:
        store.undelete(episode_id)
    Console().print(f"took back {len(ids)} deletion(s), {len(store)} demos now")
    return {"dataset": str(config.dataset), "demos": ids, "left": len(store)}


def named(store: DemoStore, asked: tuple[str, ...]) -> list[str]:
    """Returns the ids meant: whole ones, or ends or beginnings that fit one demo alone.

    Raises:
        LfdError: a name fits no demo, or several.
    """
    everything = store.ids(deleted=True)
    found = []
    for name in asked:
        fits = [i for i in everything if i == name or i.startswith(name) or i.endswith(name)]
        if len(fits) != 1:
            words = "no demo" if not fits else f"{len(fits)} demos"
            raise LfdError(f"'{name}' names {words} in '{store.path}'; see: lfd data info {store.path}")
        found.append(fits[0])
    return found


def merge(config: DataMergeConfig) -> dict[str, Any]:
    """`lfd data merge`: copies the demos of several datasets, or those that pass a filter, into one."""
    sources = [DemoStore.open(p) for p in config.datasets]
    for other in sources[1:]:
        if difference := sources[0].spec.difference(other.spec):
            raise LfdError(f"'{sources[0].path}' {difference} (as in '{other.path}'); they cannot be merged")
    selection = Selection(
        success=verdict(config.success),
        operator=config.operator,
        tags=config.tags,
        split=config.split,
        min_steps=config.min_steps,
        max_steps=config.max_steps,
    )
    picked = [(store, [i.id for i in select(store, selection)]) for store in sources]
    out = DemoStore.open_or_create(config.out, sources[0].spec)
    copied, there = 0, 0
    with progress("copying", sum(len(ids) for _, ids in picked)) as advance:
        for store, ids in picked:
            for episode_id in ids:
                new = copy_episode(store, episode_id, out)
                copied, there = copied + new, there + (not new)
                advance()
    Console().print(f"copied {copied} demo(s) into '{config.out}', {there} were there already; {len(out)} in all")
    return {"out": str(config.out), "copied": copied, "already_there": there, "demos": len(out)}


def copy_episode(source: DemoStore, episode_id: str, target: DemoStore) -> bool:
    """Copies an episode with its label under its own id; it remembers where it came from.

    Returns:
        False where it is there already.
    """
    if episode_id in target:
        return False
    target.append(source.recorded(episode_id), episode_id=episode_id, **provenance(source, episode_id))
    copy_labels(source, episode_id, target)
    return True


def provenance(source: DemoStore, episode_id: str) -> dict[str, Any]:
    """Returns the attributes that say where a copy of an episode comes from."""
    attributes = source.attributes(episode_id)
    origin = [*attributes.get("provenance", []), str(source.path.resolve().name)]
    return {"provenance": origin, **{k: attributes[k] for k in ("versions", "journal") if k in attributes}}


def copy_labels(source: DemoStore, episode_id: str, target: DemoStore) -> None:
    """Says of a copy what was said of the original."""
    said = source.labels[episode_id]
    target.label(episode_id, **{k: getattr(said, k) for k in ("success", "note", "tags", "split", "trim")})


def split(config: DataSplitConfig) -> dict[str, Any]:
    """`lfd data split`: labels a share of the demos as `valid` and the others as `train`, drawn from a seed."""
    if not 0 < config.valid < 1:
        raise LfdError(f"--valid is {config.valid}, expected a share between 0 and 1")
    store = DemoStore.open(config.dataset)
    infos = select(store, Selection())
    if len(infos) < 2:
        raise LfdError(f"'{config.dataset}' holds {len(infos)} demo(s), expected at least two to split")
    rng = np.random.default_rng(config.seed)
    valid: set[str] = set()
    for solved in (True, False):  # the same share of successes on both sides
        ids = [i.id for i in infos if i.success is solved]
        count = round(config.valid * len(ids))
        valid.update(ids[k] for k in rng.permutation(len(ids))[:count])
    if not valid:
        valid.add(infos[int(rng.integers(len(infos)))].id)
    for info in infos:
        store.label(info.id, split="valid" if info.id in valid else "train")
    Console().print(f"{len(infos) - len(valid)} demos are train, {len(valid)} are valid")
    return {"dataset": str(config.dataset), "train": len(infos) - len(valid), "valid": sorted(valid)}


def compact(config: DataCompactConfig) -> dict[str, Any]:
    """`lfd data compact`: makes deletions and trims real."""
    store = DemoStore.open(config.dataset)
    store.require_local()
    if any(is_running(p) for p in (store.path / JOURNAL).glob("*.jsonl")):
        raise LfdError(f"'{config.dataset}' is being recorded into; compact it when the session is over")
    gone = [i for i in store.ids(deleted=True) if store.labels[i].deleted]
    cut = [i for i in store.ids() if is_cut(store, i)]
    if not config.yes:
        raise LfdError(f"this removes {len(gone)} deleted demo(s) and cuts {len(cut)} for good; say --yes to do it")
    new = _cut_all(store, cut)
    for episode_id in [*gone, *cut]:
        _remove(store, episode_id)
    used = {store.attributes(i).get("model") for i in store.ids(deleted=True)}
    unused = [p for p in (store.path / "models").iterdir() if p.stem not in used]
    for path in unused:
        path.unlink()
    Console().print(f"removed {len(gone)} demo(s), cut {len(cut)}, removed {len(unused)} unused model(s)")
    return {"dataset": str(config.dataset), "removed": gone, "cut": new, "left": len(store)}


def is_cut(store: DemoStore, episode_id: str) -> bool:
    """Returns whether a label leaves only a part of an episode."""
    trim = store.labels[episode_id].trim
    return trim is not None and tuple(trim) != (0, store.attributes(episode_id)["length"])


def _cut_all(store: DemoStore, ids: list[str]) -> dict[str, str]:
    """Stores what the labels leave of some episodes; what an interrupted `compact` has done is not done again."""
    done = {tuple(store.attributes(i).get("provenance", ["-"])[-1:]): i for i in store.ids()} if ids else {}
    return {i: done.get((f"cut from {i}",)) or _cut(store, i) for i in ids}


def _cut(store: DemoStore, episode_id: str) -> str:
    """Stores the part that the label leaves as an episode of its own, right behind the old one, and returns its id."""
    attributes = store.attributes(episode_id)
    origin = [*attributes.get("provenance", []), f"cut from {episode_id}"]
    new = f"{episode_id[:-6]}{secrets.token_hex(3)}"  # the same instant
    return store.append(store[episode_id], episode_id=new, provenance=origin, versions=attributes.get("versions", {}))


def _remove(store: DemoStore, episode_id: str) -> None:
    """Removes an episode: out of sight first, all at once, then its files."""
    folder: Path = store.path / "episodes.zarr" / episode_id
    grave = store.path / STAGING / f"removed-{episode_id}"
    with held(folder):
        folder.rename(grave)
        sync_folder(folder.parent)
        shutil.rmtree(grave)
