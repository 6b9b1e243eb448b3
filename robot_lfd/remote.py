"""Object storage (s3://bucket/name, any fsspec URL), and what is kept of it on this machine."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from robot_lfd.durable import held, remove_folder
from robot_lfd.errors import LfdError

URL = re.compile(r"([a-z][a-z0-9+]+):/+(.+)", re.DOTALL)
FRESH_S = 10.0  # a label log is looked at again after so long
CACHE_GB = 20.0  # LFD_CACHE_GB says otherwise
USED = ".used"  # touched at every use of a folder of the cache
R = TypeVar("R")


def url_of(path: Path | str) -> str | None:
    """Returns the URL that a path means, None for a folder on this machine. `Path` turns s3:// into s3:/."""
    found = URL.fullmatch(str(path))
    return f"{found[1]}://{found[2].rstrip('/')}" if found else None


def local_home(url: str) -> Path:
    """Returns where what is derived from something remote is kept on this machine."""
    return _cache() / hashlib.sha256(url.encode()).hexdigest()[:24]


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "robot-lfd"


def used_home(url: str) -> Path:
    """Returns `local_home`, made where it is not there, after older ones were removed that are beyond the limit."""
    home = local_home(url)
    home.mkdir(parents=True, exist_ok=True)
    (home / USED).touch()
    make_room(_cache(), _limit_bytes(), keep=home)
    return home


def _limit_bytes() -> int:
    said = os.environ.get("LFD_CACHE_GB", str(CACHE_GB))
    try:
        return int(float(said) * 1e9)
    except ValueError:
        raise LfdError(f"LFD_CACHE_GB is '{said}', expected a number of gigabytes") from None


def make_room(cache: Path, limit_bytes: int, keep: Path) -> list[Path]:
    """Removes the folders of a cache that were not used for longest until it fits, and returns them.

    One that a process holds, and `keep`, stay.
    """
    folders = [f for f in cache.iterdir() if (f / USED).exists()]
    sizes = {f: _size(f) for f in folders}
    removed = []
    for folder in sorted(folders, key=lambda f: (f / USED).stat().st_mtime_ns):
        if sum(sizes.values()) <= limit_bytes:
            break
        if folder == keep:
            continue
        with held(folder, wait=False) as got:
            if got:
                remove_folder(folder)
                removed.append(folder)
                del sizes[folder]
    return removed


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total


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
        except Exception as error:
            raise LfdError(f"'{url}' cannot be opened: {_first_line(error)}") from error
        self._fetched: dict[str, bytes] = {}
        self._versions: dict[str, tuple[float, tuple[int, int] | None]] = {}

    def read(self, name: str) -> bytes:
        """Returns the content of a file. Raises OSError."""
        if name in self._fetched:
            return self._fetched.pop(name)
        return self._call(lambda: self._fs.cat_file(self._path(name)))

    def prefetch(self, names: Iterable[str]) -> None:
        """Fetches files that are about to be read, all at once: one after the other would wait for each."""
        paths = {self._path(n): n for n in names}
        found = self._call(lambda: self._fs.cat(list(paths), on_error="omit")) if paths else {}
        self._fetched = {paths[p]: data for p, data in found.items() if p in paths}

    def names(self, folder: str) -> list[str]:
        """Returns what lies in a folder, sorted; of episodes only those whose upload was finished. Raises OSError."""
        self._fs.invalidate_cache()
        pattern = f"{self._path(folder)}/*" + ("/zarr.json" if folder == "episodes.zarr" else "")
        found = self._call(lambda: self._fs.glob(pattern))
        depth = self._path(folder).count("/") + 1
        return sorted(str(p).split("/")[depth] for p in found)

    def version(self, name: str) -> tuple[int, int] | None:
        """Returns the size of a file as it was seen lately; None where there is no such file."""
        asked, found = self._versions.get(name, (float("-inf"), None))
        if time.monotonic() - asked > FRESH_S:
            self._fs.invalidate_cache()
            try:
                found = (int(self._call(lambda: self._fs.size(self._path(name))) or 0), 0)
            except FileNotFoundError:
                found = None
            self._versions[name] = (time.monotonic(), found)
        return found

    def write(self, name: str, data: bytes) -> None:
        """Uploads a file. Raises OSError."""
        self._call(lambda: self._fs.pipe_file(self._path(name), data))

    def files(self) -> dict[str, int]:
        """Returns the names and sizes of all files, however deep; none where there is nothing.

        Raises:
            LfdError: there is no such bucket, or it does not let us in.
        """
        self._fs.invalidate_cache()
        try:
            found = self._call(lambda: self._fs.find(self._root, detail=True))
            if not found:  # nothing, or no such bucket: only this tells
                self._call(lambda: self._fs.ls(self._root.split("/")[0]))
        except FileNotFoundError as error:
            if "://" in self.url and not self.url.startswith("s3:"):
                return {}
            raise LfdError(f"'{self.url}': there is no bucket '{self._root.split('/')[0]}'; make it first") from error
        except OSError as error:
            raise LfdError(f"'{self.url}' cannot be read: {error.strerror or _first_line(error)}") from error
        skip = len(self._root.strip("/")) + 1
        return {str(p).strip("/")[skip:]: int(d.get("size") or 0) for p, d in found.items()}

    def remove(self, name: str) -> None:
        """Removes a file. Raises OSError."""
        self._call(lambda: self._fs.rm_file(self._path(name)))

    def _call(self, call: Callable[[], R]) -> R:
        try:
            return _calling(call)
        except PermissionError as error:
            said = error.strerror or _first_line(error)
            why = f"{said}: are the keys for {self.url} right (AWS_ACCESS_KEY_ID and its like)?"
            raise PermissionError(13, why) from error

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"


def _calling(call: Callable[[], R]) -> R:
    """Returns the result of a call; what storage libraries raise beside OSError becomes one."""
    try:
        return call()
    except (OSError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise OSError(5, _first_line(error)) from error


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
