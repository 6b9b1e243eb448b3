"""Wishes: what a page asks to be changed, checked before anything is; and the name of the state that it saw."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from robot_lfd.demos.store import EpisodeInfo
from robot_lfd.errors import LfdError

LONGEST_NOTE, LONGEST_TAG, MOST_TAGS = 4000, 80, 30
KNOWN = {"success": bool, "deleted": bool, "note": str, "tags": list, "split": str, "trim": list, "revision": str}


class Conflict(Exception):
    """An episode has been changed meanwhile: in another tab, or by another program."""


def revision(info: EpisodeInfo) -> str:
    """Returns a short name of everything that can be changed of an episode: equal names, equal labels."""
    said = [info.success, info.note, list(info.tags), info.split, info.trim and list(info.trim), info.deleted]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


def checked(wish: dict[str, Any]) -> dict[str, Any]:
    """Returns the fields of a wish that change something, each of the right kind. Raises LfdError otherwise."""
    for name, value in wish.items():
        if name not in KNOWN or not isinstance(value, KNOWN[name]):
            raise LfdError(f"'{name}' cannot be {json.dumps(value)[:60]}")
    fields = {k: v for k, v in wish.items() if k != "revision"}
    if len(fields.get("note", "")) > LONGEST_NOTE:
        raise LfdError(f"the note has {len(fields['note'])} letters, at most {LONGEST_NOTE} are kept")
    if len(fields.get("split", "")) > LONGEST_TAG:
        raise LfdError(f"a split is a word of up to {LONGEST_TAG} letters")
    if "tags" in fields:
        fields["tags"] = _tags(fields["tags"])
    if "trim" in fields:
        fields["trim"] = _trim(fields["trim"])
    return fields


def _tags(tags: list[Any]) -> tuple[str, ...]:
    if len(tags) > MOST_TAGS or not all(isinstance(t, str) and 0 < len(t) <= LONGEST_TAG for t in tags):
        raise LfdError(f"tags are at most {MOST_TAGS} words of up to {LONGEST_TAG} letters")
    return tuple(dict.fromkeys(tags))


def _trim(steps: list[Any]) -> tuple[int, int]:
    if len(steps) != 2 or not all(whole_number(x) is not None for x in steps):
        raise LfdError("a trim is a first and a last step")
    return steps[0], steps[1]


def whole_number(value: Any) -> int | None:
    """Returns an integer from JSON; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None
