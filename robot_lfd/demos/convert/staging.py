"""A new folder that appears whole or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from robot_lfd.durable import remove_folder
from robot_lfd.errors import LfdError


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Gives a folder to fill, which gets the name `out` when all is written; nothing stays where something fails.

    Raises:
        LfdError: the name is taken.
    """
    if out.exists():
        raise LfdError(f"'{out}' exists already; choose another name")
    out.parent.mkdir(parents=True, exist_ok=True)
    staged = out.with_name(f".{out.name}-{secrets.token_hex(4)}.part")
    staged.mkdir()
    try:
        yield staged
        staged.rename(out)
    finally:
        remove_folder(staged)
