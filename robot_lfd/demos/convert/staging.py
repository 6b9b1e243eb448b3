"""What is imported or exported appears whole or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from robot_lfd.demos.layout import EPISODES
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


@contextmanager
def adding_to(out: Path, *, whole: bool = False) -> Iterator[None]:
    """Takes a dataset away again that was made in the block and is still empty when something fails in it.

    Args:
        whole: where an error ends it, take away also one that has episodes; Ctrl-C leaves them, to go on.
    """
    was_there = out.exists()
    try:
        yield
    except BaseException as error:
        unwanted = whole and isinstance(error, Exception)
        if not was_there and out.exists() and (unwanted or not any((out / EPISODES).glob("*/zarr.json"))):
            remove_folder(out)
        raise


@contextmanager
def simulating(source: str, demo: str, done: int) -> Iterator[None]:
    """Turns whatever a simulator makes of foreign states into one line that says which demo it was.

    Args:
        done: how many demos were stored before it.
    """
    try:
        yield
    except Exception as error:
        reason = str(error).split("\n")[0][:200]
        kind = "" if isinstance(error, LfdError) else f"{type(error).__name__}: "
        before = f"; {done} demo(s) before it were imported" if done else ""
        raise LfdError(f"'{source}': {demo} cannot be simulated: {kind}{reason}{before}") from error
