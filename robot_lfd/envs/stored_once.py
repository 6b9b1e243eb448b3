"""Folders of files that are made once and kept in the user's cache."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from robot_lfd.durable import publish, remove_folder, write_tree


def stored_once(kind: str, recipe: str, make: Callable[[], dict[str, bytes]]) -> Path:
    """Returns the folder of the files that `make` returns, made when no process has made them from this recipe."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "robot-lfd"
    folder = home / f"{kind}-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}"
    if not folder.is_dir():
        _store(folder, make())
    return folder


def _store(folder: Path, files: dict[str, bytes]) -> None:
    staged = folder.with_name(f"{folder.name}.{os.getpid()}")
    staged.mkdir(parents=True, exist_ok=True)
    write_tree(staged, files)
    try:
        publish(staged, folder)
    except OSError:
        if not folder.is_dir():  # else another process was faster
            raise
    finally:
        remove_folder(staged)
