"""The label log: what people say about episodes after they were recorded. Events only; nothing is ever overwritten."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from robot_lfd.demos.folder import Files
from robot_lfd.demos.lines import decode_line, encode_line, parse_log
from robot_lfd.durable import held, sync_folder, write_all

FIELDS = ("success", "note", "tags", "split", "trim", "deleted")


@dataclass(frozen=True)
class Label:
    """What the log says about one episode. None: nothing was said, the recording's own value holds."""

    success: bool | None = None
    note: str | None = None
    tags: tuple[str, ...] | None = None
    split: str | None = None
    trim: tuple[int, int] | None = None
    deleted: bool = False


class LabelLog:
    """Labels of a dataset, kept in one append-only file beside the episodes.

    Several processes may write; each line is fsynced before `add` returns. Reading again costs one `stat`
    while nothing changed.
    """

    def __init__(self, path: Path, files: Files) -> None:
        self.path, self._files = path, files
        self._seen: tuple[int, int] | None = None
        self._labels: dict[str, Label] = {}

    def __getitem__(self, episode_id: str) -> Label:
        """Returns the label of an episode, an empty one where nothing was said."""
        self._refresh()
        return self._labels.get(episode_id, Label())

    def add(self, episode_id: str, **fields: Any) -> None:
        """Appends one event. Returns when it is on the disk."""
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        line = encode_line({"id": episode_id, "time": now, **fields})
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            with held(self.path):
                mend_tail(fd)
                write_all(fd, line)
                os.fsync(fd)
        finally:
            os.close(fd)
        sync_folder(self.path.parent)

    def _refresh(self) -> None:
        seen = self._files.version(self.path.name)
        if seen is None:
            self._seen, self._labels = None, {}
        elif seen != self._seen:
            self._labels = _merge(parse_log(self._files.read(self.path.name)).entries)
            self._seen = seen


def mend_tail(fd: int) -> bool:
    """Makes a log end in a newline: closes a whole last line, drops a torn one, which nobody was told was written.

    Returns:
        whether there was anything to mend.
    """
    size = os.fstat(fd).st_size
    if size == 0 or os.pread(fd, 1, size - 1) == b"\n":
        return False
    data = os.pread(fd, size, 0)
    start = data.rfind(b"\n") + 1
    if decode_line(data[start:]) is not None:
        write_all(fd, b"\n")
    elif decode_line(data[start:-1]) is not None:  # the newline itself was damaged
        os.ftruncate(fd, size - 1)
        write_all(fd, b"\n")
    else:
        os.ftruncate(fd, start)
    return True


def _merge(entries: list[dict[str, Any]]) -> dict[str, Label]:
    labels: dict[str, Label] = {}
    for entry in entries:
        known = {k: _typed(k, entry[k]) for k in FIELDS if k in entry}
        episode_id = str(entry.get("id"))
        labels[episode_id] = replace(labels.get(episode_id, Label()), **known)
    return labels


def _typed(key: str, value: Any) -> Any:
    return tuple(value) if key in ("tags", "trim") and isinstance(value, list) else value
