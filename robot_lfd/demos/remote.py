"""Datasets on object storage (s3://bucket/name, any fsspec URL): read for training, written by `lfd data copy`.

A bucket knows no rename, so an episode's own `zarr.json` is uploaded last: only with it is the episode there.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from robot_lfd.errors import LfdError

URL = re.compile(r"([a-z][a-z0-9+]+):/+(.+)", re.DOTALL)
FRESH_S = 10.0  # a label log is looked at again after so long
R = TypeVar("R")


def url_of(path: Path | str) -> str | None:
    """Returns the URL that a path means, None for a folder on this machine. `Path` turns s3:// into s3:/."""
    found = URL.fullmatch(str(path))
    return f"{found[1]}://{found[2].rstrip('/')}" if found else None


def local_home(url: str) -> Path:
    """Returns where what is derived from a remote dataset is kept on this machine."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "robot-lfd" / hashlib.sha256(url.encode()).hexdigest()[:24]


class RemoteFolder:
    """The files of a dataset behind an fsspec URL.

    Raises:
        LfdError: the package for this kind of storage is not installed.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            import fsspec  # late: only remote datasets need it, and everything that records imports this module

            self._fs, self._root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            raise LfdError(f"'{url}' needs a package that is not installed: pip install 'robot-lfd[s3]'") from error
        except ValueError as error:
            raise LfdError(f"'{url}' cannot be opened: {error}") from error
        self._fetched: dict[str, bytes] = {}
        self._versions: dict[str, tuple[float, tuple[int, int] | None]] = {}

    def read(self, name: str) -> bytes:
        """Returns the content of a file. Raises OSError."""
        if name in self._fetched:
            return self._fetched.pop(name)
        return _calling(lambda: self._fs.cat_file(self._path(name)))

    def prefetch(self, names: Iterable[str]) -> None:
        """Fetches files that are about to be read, all at once: one after the other would wait for each."""
        paths = {self._path(n): n for n in names}
        found = _calling(lambda: self._fs.cat(list(paths), on_error="omit")) if paths else {}
        self._fetched = {paths[p]: data for p, data in found.items() if p in paths}

    def names(self, folder: str) -> list[str]:
        """Returns what lies in a folder, sorted; of episodes only those whose upload was finished. Raises OSError."""
        self._fs.invalidate_cache()
        pattern = f"{self._path(folder)}/*" + ("/zarr.json" if folder == "episodes.zarr" else "")
        found = _calling(lambda: self._fs.glob(pattern))
        depth = self._path(folder).count("/") + 1
        return sorted(str(p).split("/")[depth] for p in found)

    def version(self, name: str) -> tuple[int, int] | None:
        """Returns the size of a file as it was seen lately; None where there is no such file."""
        asked, found = self._versions.get(name, (float("-inf"), None))
        if time.monotonic() - asked > FRESH_S:
            self._fs.invalidate_cache()
            try:
                found = (int(_calling(lambda: self._fs.size(self._path(name))) or 0), 0)
            except FileNotFoundError:
                found = None
            self._versions[name] = (time.monotonic(), found)
        return found

    def write(self, name: str, data: bytes) -> None:
        """Uploads a file. Raises OSError."""
        _calling(lambda: self._fs.pipe_file(self._path(name), data))

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"


def _calling(call: Callable[[], R]) -> R:
    """Returns the result of a call; what storage libraries raise beside OSError becomes one."""
    try:
        return call()
    except (OSError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise OSError(5, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}") from error


def upload(source: Any, target: RemoteFolder, ids: list[str], tick: Callable[[], None]) -> dict[str, int]:
    """Copies episodes of a local dataset into a bucket, file by file as they are.

    Args:
        source: a DemoStore. ids: of the episodes; those that are there already are left out.

    Raises:
        LfdError: another dataset is there. OSError: the storage failed; what was finished before is there.
    """
    for name in ("dataset.json", "episodes.zarr/zarr.json"):
        data = source.files.read(name)
        if target.version(name) is None:
            target.write(name, data)
        elif target.read(name) != data:
            raise LfdError(f"'{target.url}' holds another dataset; choose another name")
    there, count = set(target.names("episodes.zarr")), 0
    models = set(target.names("models"))
    for episode_id in ids:
        if episode_id not in there:
            _upload_episode(source, target, episode_id, models)
            count += 1
        tick()
    if source.files.version("labels.jsonl") is not None:
        target.write("labels.jsonl", source.files.read("labels.jsonl"))
    return {"copied": count, "already_there": len(ids) - count}


def _upload_episode(source: Any, target: RemoteFolder, episode_id: str, models: set[str]) -> None:
    attributes = source.attributes(episode_id)
    for suffix in (".xml", ".txt") if attributes.get("model") else ():
        model = f"{attributes['model']}{suffix}"
        if model not in models and source.files.version(f"models/{model}") is not None:
            target.write(f"models/{model}", source.files.read(f"models/{model}"))
            models.add(model)
    for name in [*attributes["file_checksums"], "zarr.json"]:  # its own description last
        path = f"episodes.zarr/{episode_id}/{name}"
        target.write(path, source.files.read(path))
