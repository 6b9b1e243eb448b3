"""Folder: where the files of a dataset are read from, by relative names."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol


class Files(Protocol):
    """Read access to the files of a dataset, on this machine or elsewhere."""

    def read(self, name: str) -> bytes:
        """Returns the content of a file. Raises OSError."""
        ...

    def prefetch(self, names: Iterable[str]) -> None:
        """Told which files are about to be read."""
        ...

    def names(self, folder: str) -> list[str]:
        """Returns what lies in a folder, sorted. Raises OSError."""
        ...

    def version(self, name: str) -> tuple[int, int] | None:
        """Returns something that changes when a file does, cheap to ask; None where there is no such file."""
        ...


class Folder:
    """A folder on this machine."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, name: str) -> bytes:
        """Returns the content of a file. Raises OSError."""
        return (self.path / name).read_bytes()

    def prefetch(self, names: Iterable[str]) -> None:
        """Does nothing: a file on this machine is read fast enough."""

    def names(self, folder: str) -> list[str]:
        """Returns what lies in a folder, sorted. Raises OSError."""
        return sorted(os.listdir(self.path / folder))

    def version(self, name: str) -> tuple[int, int] | None:
        """Returns size and time of change; None where there is no such file."""
        try:
            stat = (self.path / name).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return stat.st_size, stat.st_mtime_ns
