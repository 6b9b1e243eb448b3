"""What is known of an episode without reading its arrays, and what a label makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from robot_lfd.demos.episode import Episode
from robot_lfd.demos.labels import Label


@dataclass(frozen=True)
class EpisodeInfo:
    """What is known of an episode without reading its arrays; labels and trim applied."""

    id: str
    length: int
    success: bool
    terminated: bool
    truncated: bool
    seed: int | None
    operator: str
    device: str
    recorded_at: str
    note: str
    tags: tuple[str, ...]
    split: str
    trim: tuple[int, int] | None
    deleted: bool
    attributes: dict[str, Any]


def describe(episode_id: str, raw: dict[str, Any], label: Label) -> EpisodeInfo:
    """Returns what an episode's attributes and its label say together."""
    meta = raw.get("meta", {})
    whole = label.trim is None or label.trim[1] == raw["length"]
    return EpisodeInfo(
        id=episode_id,
        length=raw["length"] if label.trim is None else label.trim[1] - label.trim[0],
        success=(raw["success"] and whole) if label.success is None else label.success,
        terminated=raw["terminated"] and whole,
        truncated=raw["truncated"] or not whole,
        seed=raw.get("seed"),
        operator=str(raw.get("operator") or ""),
        device=str(raw.get("device") or ""),
        recorded_at=str(raw.get("recorded_at") or ""),
        note=str(meta.get("note") or "") if label.note is None else label.note,
        tags=tuple(meta.get("tags") or ()) if label.tags is None else label.tags,
        split=str(meta.get("split") or "") if label.split is None else label.split,
        trim=label.trim,
        deleted=label.deleted,
        attributes=raw,
    )


def labelled(episode: Episode, label: Label) -> Episode:
    """Returns the episode with trim, verdict and remarks of its label."""
    if label.trim is not None and label.trim != (0, len(episode)):
        episode = episode.trim(*label.trim)
    said = {"note": label.note, "tags": None if label.tags is None else list(label.tags), "split": label.split}
    said = {k: v for k, v in said.items() if v is not None}
    success = episode.success if label.success is None else label.success
    if not said and success == episode.success:
        return episode
    return episode.replace(success=success, meta={**episode.meta, **said})
