"""`lfd review`: one self-contained page about datasets, to look at or to send to somebody."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import robot_lfd
from robot_lfd.config import ReviewConfig
from robot_lfd.demos.store import DemoStore
from robot_lfd.errors import LfdError
from robot_lfd.review.clips import Clip, ClipMaker
from robot_lfd.review.describe import belief_charts, charts, dataset_summary, episode_row, judgement, misfit
from robot_lfd.review.evaluation import EvaluationDesk

COMMON = (
    "dom.js", "theme.js", "head.js", "filters.js", "grid.js", "charts.js", "player.js", "view.js", "episode.js",
    "curves.js", "evaluation.js", "main.js",
)  # fmt: skip
EMBEDDED = ("embedded.js", *COMMON)
SERVED = ("served.js", "change.js", "select.js", "edit.js", *COMMON)


@dataclass(frozen=True)
class Sheet:
    """Everything that the page shows of one episode."""

    row: dict[str, Any]
    charts: list[dict[str, Any]]
    clips: list[Clip]  # one a camera


def episode_sheet(store: DemoStore, maker: ClipMaker, episode_id: str, number: int, policy: Any = None) -> Sheet:
    """Returns the row, the curves and the clip of an episode."""
    episode = store[episode_id]
    clips = [maker.clip(episode_id), *(maker.clip(episode_id, camera) for camera in maker.shown()[1:])]
    row = episode_row(store, episode_id, episode, number)
    row["pictures"] = clips[0].note
    if policy is not None:
        row |= judgement(policy, episode)
    beliefs = belief_charts(policy, episode) if policy is not None else []
    return Sheet(row, [*beliefs, *charts(episode, store.spec)], clips)


def write_page(
    path: Path,
    stores: Iterable[DemoStore],
    *,
    camera: str | None = None,
    size_px: int = 256,
    max_episodes: int = 50,
    policy: Any = None,
    evaluation: dict[str, Any] | None = None,
    on_episode: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Writes datasets as one HTML file that needs nothing else; returns how many episodes and bytes it holds.

    Raises:
        LfdError: there is no episode to show.
    """
    summaries: list[dict[str, Any]] = []
    sheets: list[Sheet] = []
    for store in stores:
        ids = store.ids()
        kept = ids[: max(0, max_episodes - len(sheets))]
        judge = policy if policy is not None and misfit(store, policy) is None else None
        with ClipMaker(store, camera, size_px) as maker:
            mine, shown = [], maker.shown()
            for number, episode_id in enumerate(kept, 1):
                mine.append(episode_sheet(store, maker, episode_id, number, judge))
                mine[-1].row["dataset"] = len(summaries)
                on_episode()
        summaries.append(dataset_summary(store, [s.row for s in mine], len(ids) - len(kept), shown))
        sheets += mine
    if not sheets:
        raise LfdError("there is no episode to review; record some with: lfd record")
    text = page_text(summaries, sheets, evaluation)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(text.encode("utf-8", "replace"))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return {"episodes": len(sheets), "bytes": path.stat().st_size}


def page_text(summaries: list[dict[str, Any]], sheets: list[Sheet], evaluation: dict[str, Any] | None = None) -> str:
    """Returns the page: markup, style, script and all data in one text."""
    names = ", ".join(s["name"] for s in summaries)
    made = f"Made by lfd {robot_lfd.__version__}: lfd review. The page loads nothing from anywhere."
    data = {"datasets": summaries, "episodes": [s.row for s in sheets], "made": made, "evaluation": evaluation}
    blocks = [_block("data", json_text(data)), *(b for i, s in enumerate(sheets) for b in _blocks(i, s))]
    return fill_template(f"{names} · lfd review", "\n".join(blocks))


def served_page(names: list[str]) -> tuple[str, str]:
    """Returns the page that asks its server for everything, and the rules that the server sends along."""
    data = _block("data", json_text({"made": f"lfd {robot_lfd.__version__}, on this machine alone."}))
    rules = _rules(SERVED, "img-src 'self' data:; media-src blob:; connect-src 'self'; frame-ancestors 'none'")
    return _filled(f"{', '.join(names)} · lfd review", data, SERVED, ""), rules


def fill_template(title: str, data: str) -> str:
    """Returns the template with style, script and rules that let the browser load or run nothing else."""
    rules = _rules(EMBEDDED, "img-src data:; media-src blob:")
    return _filled(title, data, EMBEDDED, f'<meta http-equiv="Content-Security-Policy" content="{rules}">')


def _rules(scripts: tuple[str, ...], pictures: str) -> str:
    return (
        f"default-src 'none'; {pictures}; style-src 'unsafe-inline'; script-src '{_digest(_script(scripts))}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _script(names: tuple[str, ...]) -> str:
    return "\n".join(_asset(name) for name in names)


def _filled(title: str, data: str, scripts: tuple[str, ...], policy: str) -> str:
    parts = {
        "<!--POLICY-->": policy,
        "<!--TITLE-->": html.escape(title),
        "/*STYLE*/": _asset("page.css"),
        "<!--DATA-->": data,
        "/*SCRIPT*/": _script(scripts),
    }
    return "".join(parts.get(piece, piece) for piece in _pieces(_asset("page.html"), list(parts)))


def _pieces(text: str, marks: list[str]) -> Iterator[str]:
    """Yields the template cut at its marks, so that nothing filled in is looked through again."""
    for mark in marks:
        before, text = text.split(mark)
        yield before
        yield mark
    yield text


def _digest(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _asset(name: str) -> str:
    return resources.files("robot_lfd.review").joinpath(name).read_text(encoding="utf-8")


def json_text(data: Any) -> str:
    """Returns JSON that no HTML parser takes for markup, whatever the texts in it hold."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _blocks(index: int, sheet: Sheet) -> Iterator[str]:
    yield _block(f"charts-{index}", json_text(sheet.charts))
    if sheet.clips[0].mp4:
        yield _block(f"still-{index}", base64.b64encode(sheet.clips[0].still).decode(), "text/plain")
    for camera, clip in enumerate(sheet.clips):
        if clip.mp4:
            yield _block(f"clip-{index}-{camera}", base64.b64encode(clip.mp4).decode(), "text/plain")


def _block(name: str, text: str, kind: str = "application/json") -> str:
    return f'<script type="{kind}" id="{name}">{text}</script>'


def run(config: ReviewConfig) -> dict[str, Any]:
    """`lfd review`: writes the page to a file, or serves it on this machine."""
    if not config.datasets:
        raise LfdError("no dataset was named; for example: lfd review demos/lift")
    stores = [DemoStore.open(path) for path in config.datasets]
    policy: Any = robot_lfd.load_policy(config.policy) if config.policy else None
    if policy is not None and not any(misfit(store, policy) is None for store in stores):
        raise LfdError(f"the policy says nothing of dataset '{stores[0].path}': {misfit(stores[0], policy)}")
    return _export(config, stores, policy) if config.export else _serve(config, stores, policy)


def _serve(config: ReviewConfig, stores: list[DemoStore], policy: Any) -> dict[str, Any]:
    from robot_lfd.review.desk import Desk
    from robot_lfd.review.server import serve

    desk = Desk(stores, config, policy)
    try:
        serve(desk, config.port, lambda address: print(f"{address}\nopen this address; Ctrl+C ends it", flush=True))
    finally:
        desk.close()
    return {"datasets": [str(p) for p in config.datasets]}


def _export(config: ReviewConfig, stores: list[DemoStore], policy: Any) -> dict[str, Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    assert config.export is not None
    total = min(config.max_episodes, sum(len(s) for s in stores))
    columns = (TextColumn("drawing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=total)
        found = write_page(
            config.export,
            stores,
            camera=config.camera,
            size_px=config.size_px,
            max_episodes=config.max_episodes,
            policy=policy,
            evaluation=EvaluationDesk([*([config.policy] if config.policy else []), *config.runs]).sheet(),
            on_episode=lambda: progress.update(task, advance=1),
        )
    megabytes = found["bytes"] / 1e6
    Console().print(f"{found['episodes']} episodes in {config.export}, {megabytes:.1f} MB", markup=False)
    return {"export": str(config.export), **found}
