"""Folders of files that are made once and kept in the user's cache; a spoilt one is made again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from robot_lfd.durable import publish, remove_folder, write_tree

_SUMS = "sha256.json"


def stored_once(kind: str, recipe: str, make: Callable[[], dict[str, bytes]]) -> Path:
    """Returns the folder of the files that `make` returns, made when no process has made them from this recipe."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "robot-lfd"
    folder = home / f"{kind}-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}"
    if not _whole(folder):
        remove_folder(folder)
        _store(folder, make())
    return folder


def _whole(folder: Path) -> bool:
    """Returns whether every file of the folder is there and holds what was written."""
    try:
        sums = json.loads((folder / _SUMS).read_text())
        return all(_sum((folder / name).read_bytes()) == known for name, known in sums.items())
    except (OSError, ValueError, AttributeError):
        return False


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _store(folder: Path, files: dict[str, bytes]) -> None:
    sums = json.dumps({name: _sum(data) for name, data in files.items()}).encode()
    staged = folder.with_name(f"{folder.name}.{os.getpid()}")
    staged.mkdir(parents=True, exist_ok=True)
    write_tree(staged, {**files, _SUMS: sums})
    try:
        publish(staged, folder)
    except OSError:
        if not _whole(folder):  # else another process was faster
            raise
    finally:
        remove_folder(staged)
