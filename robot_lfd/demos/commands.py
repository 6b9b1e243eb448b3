"""`lfd data info | verify | repair | export | copy`: what a dataset holds, its health, and the way out."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from robot_lfd.demos.config import (
    DataCopyConfig,
    DataExportConfig,
    DataInfoConfig,
    DataRepairConfig,
    DataVerifyConfig,
)
from robot_lfd.demos.describe import print_info
from robot_lfd.demos.edit import copy_episode
from robot_lfd.demos.remote import upload
from robot_lfd.demos.repair import repair as repair_store
from robot_lfd.demos.select import Selection, select_some, verdict
from robot_lfd.demos.show import progress
from robot_lfd.demos.stats import dataset_stats, episode_stats
from robot_lfd.demos.store import DemoStore, EpisodeInfo
from robot_lfd.demos.verify import verify as verify_store
from robot_lfd.errors import LfdError
from robot_lfd.remote import RemoteFolder, url_of


def info(config: DataInfoConfig) -> dict[str, Any]:
    """`lfd data info`: what a dataset holds; damaged episodes are named and left out."""
    store = DemoStore.open(config.dataset)
    ids = store.ids()
    infos, damaged = _healthy(store, ids)
    with progress("reading", len(infos)) as tick:
        features = {p: dict(f) for p, f in store.spec.features.items()}
        if not damaged:
            for path, stats in dataset_stats(store, [i.id for i in infos], tick=tick).items():
                features[path]["stats"] = stats
    result = {
        "dataset": str(config.dataset),
        "env": store.spec.env_id,
        "env_kwargs": store.spec.env_kwargs,
        "control_hz": store.spec.control_hz,
        "versions": store.spec.versions,
        **episode_stats(infos, store.spec.control_hz),
        "deleted": len(store.ids(deleted=True)) - len(ids),
        "damaged": damaged,
        "size_bytes": _size(config.dataset),
        "features": features,
        "demos": [{k: v for k, v in asdict(i).items() if k != "attributes"} for i in infos],
    }
    print_info(result)
    return result


def _healthy(store: DemoStore, ids: list[str]) -> tuple[list[EpisodeInfo], list[str]]:
    infos, damaged = [], []
    for episode_id in ids:
        try:
            infos.append(store.info(episode_id))
            store.arrays(episode_id, [p for p in store.spec.features if not p.startswith("images/")])
        except LfdError:
            damaged.append(episode_id)
    return [i for i in infos if i.id not in damaged], damaged


def _size(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def verify(config: DataVerifyConfig) -> dict[str, Any]:
    """`lfd data verify`: every file, checksum, shape and number; exit code 1 where something is wrong."""
    store = DemoStore.open(config.dataset)
    with progress("checking", len(store.ids(deleted=True))) as tick:
        findings = verify_store(store, replay=config.replay, tick=tick)
    console = Console()
    for problem in findings.problems:
        console.print(f"[red]{escape(problem['where'])}[/]: {escape(problem['what'])}")
    for note in findings.notes:
        console.print(f"note: {escape(note)}")
    bad = len(findings.damaged)
    console.print(f"{findings.checked - bad} of {findings.checked} demos are as they were recorded")
    if config.replay:
        console.print(f"{findings.resimulated} of {findings.checked} re-simulate exactly")
    return {"dataset": str(config.dataset), "ok": not findings.problems, **asdict(findings)}


def repair(config: DataRepairConfig) -> dict[str, Any]:
    """`lfd data repair`: builds interrupted episodes again and clears what a crash left."""
    store = DemoStore.open(config.dataset)
    with progress("rebuilding", len(list((config.dataset / "journal").glob("*.jsonl")))) as tick:
        done = repair_store(store, tick=tick)
    console = Console()
    for row in done.rebuilt:
        start = "" if row["exact_start"] else "; its start differs: another simulator version?"
        solved = "solved" if row["success"] else "not solved"
        console.print(f"rebuilt demo {row['id']}: {row['steps']} steps, {solved}{start}")
    for episode_id in done.published:
        console.print(f"demo {episode_id} was complete and is in the dataset now")
    for name in done.mended:
        console.print(f"mended {escape(name)}")
    for failure in done.failed:
        console.print(f"[red]not repaired[/]: {escape(failure)}")
    if done.cleared:
        console.print(f"cleared {done.cleared} leftover(s)")
    if not (done.rebuilt or done.published or done.mended or done.failed or done.cleared):
        console.print("nothing to repair")
    return {"dataset": str(config.dataset), "ok": not done.failed, **asdict(done)}


def export(config: DataExportConfig) -> dict[str, Any]:
    """`lfd data export`: writes demos in another tool's format; the file or folder appears whole or not at all."""
    from robot_lfd.demos.convert.detect import exporter

    store = DemoStore.open(config.dataset)
    selection = Selection(success=verdict(config.success), tags=config.tags, split=config.split)
    ids = [info.id for info in select_some([store], selection)[0]]
    if config.video != "no" and config.format != "lerobot":
        raise LfdError(f"{config.format} has no place for video, expected --format lerobot with --video")
    further = {"video": config.video} if config.format == "lerobot" else {}
    with progress("exporting", len(ids)) as advance:
        report = exporter(config.format)(store, ids, config.out, tick=advance, **further)
    Console().print(f"wrote {len(ids)} demos to '{config.out}'")
    return {"dataset": str(config.dataset), "out": str(config.out), "format": config.format, **report}


def copy(config: DataCopyConfig) -> dict[str, Any]:
    """`lfd data copy`: copies a dataset to remote storage or from there; what is there already is left out."""
    source, url = DemoStore.open(config.source), url_of(config.target)
    ids = source.ids(deleted=url is not None)
    with progress("copying", len(ids)) as advance:
        if url is not None:
            if source.remote:
                raise LfdError("both datasets are on remote storage; copy to this machine first")
            report = upload(source, RemoteFolder(url), ids, advance)
        else:
            target = DemoStore.open_or_create(config.target, source.spec)
            new = 0
            for episode_id in ids:
                new += copy_episode(source, episode_id, target)
                advance()
            report = {"copied": new, "already_there": len(ids) - new}
    Console().print(f"copied {report['copied']} demo(s), {report['already_there']} were there already")
    return {"source": str(config.source), "target": url or str(config.target), **report}
