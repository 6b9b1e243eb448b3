"""Files that survive a crash: written, fsynced, only then given their name. Of demos and checkpoints alike."""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def write_file(path: Path, data: bytes) -> None:
    """Writes a new file and returns when it is on the disk; its name is durable after `sync_folder` of the parent."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)


def replace_file(path: Path, data: bytes) -> None:
    """Writes a file in the place of an older one, if any: at every instant the name shows one of the two, whole."""
    staged = path.with_name(f".{path.name}-{os.getpid()}-{threading.get_ident()}")
    staged.unlink(missing_ok=True)
    write_file(staged, data)
    publish(staged, path)


def write_all(fd: int, data: bytes) -> None:
    """Writes all of `data`; one `write` call may take less than it was given."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def write_tree(folder: Path, files: dict[str, bytes]) -> None:
    """Writes files by their relative paths below an existing `folder`; all of it is on the disk afterwards."""
    folders = {folder}
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        folders.update(p for p in path.parents if p.is_relative_to(folder))
        write_file(path, data)
    for each in sorted(folders, key=lambda p: -len(p.parts)):  # children before parents
        sync_folder(each)


def sync_file(path: Path) -> None:
    """Makes durable what another library wrote into a file."""
    _sync(path, os.O_RDONLY)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    fd = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def publish(staged: Path, final: Path) -> None:
    """Gives a finished file or folder its final name, all at once, and makes that durable.

    Raises:
        OSError: the name is taken by a folder that is not empty, or the disk failed.
    """
    os.rename(staged, final)
    try:
        sync_folder(final.parent)
    except OSError:  # nobody will be told that it is safe, so it must not be seen either
        with suppress(OSError):
            os.rename(final, staged)
        raise
    if staged.parent != final.parent:
        sync_folder(staged.parent)


def remove_folder(folder: Path) -> None:
    """Removes a folder as far as the disk allows; what is left over is harmless."""
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def held(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Holds a lock on an existing file or folder; the system lets go of it when the process dies.

    Yields:
        False where another process (or thread) holds it and `wait` is off. True on disks that know no locks.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        got = True
        try:
            fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            got = False
        except OSError:  # a network disk without locks: names are unique anyway
            pass
        yield got
    finally:
        with suppress(OSError):
            os.close(fd)
