"""Runs on object storage: worked on in a folder of this machine, sent checkpoint by checkpoint, DONE last.

Whoever reads the bucket sees a checkpoint whole or not at all, as on a disk, and another machine goes on from it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from robot_lfd.checkpoint import finished_checkpoints
from robot_lfd.durable import held, remove_folder
from robot_lfd.errors import LfdError
from robot_lfd.remote import RemoteFolder, url_of, used_home

EVERY_S = 5.0
READ = "read"  # folder for what is only looked at
TRAINING = "training.safetensors"  # what resuming needs, of the newest checkpoint alone


@contextmanager
def published(path: Path) -> Iterator[Path]:
    """Gives the folder in which to work on a run: `path` itself, or for a URL one here that is sent there.

    What is at the URL comes first, unless this machine is further. What is new goes there every few seconds and at the
    end, whatever happened in the block.

    Raises:
        LfdError: the storage refuses, or the run is being worked on by another process here.
    """
    url = url_of(path)
    if url is None:
        yield path
        return
    remote, home = RemoteFolder(url), used_home(url)
    with held(home, wait=False) as got:
        if not got:
            raise LfdError(f"another process works on '{url}' on this machine")
        folder = home / "run"
        _fetch_if_further(remote, folder)
        sender = _Sender(remote, folder)
        sender.start()
        try:
            yield folder
        finally:
            sender.finish()


def fetched(path: Path) -> Path:
    """Returns a run's folder to read: `path` itself, or for a URL what is there, without what only resuming needs."""
    url = url_of(path)
    if url is None:
        return path
    remote, folder = RemoteFolder(url), used_home(url) / READ / url.rpartition("/")[2]  # its name is shown
    names = remote.files()
    if not names:
        raise LfdError(f"no such run: '{url}'; train one with lfd train --out {url}")
    done = {n.rpartition("/")[0] for n in names if n.endswith("/DONE")}
    for name in names:
        inside = "checkpoints/" in name
        if name.endswith(TRAINING) or "/tensorboard/" in f"/{name}" or (inside and name.rpartition("/")[0] not in done):
            continue
        if not inside or not (folder / name).exists():  # a finished checkpoint never changes
            _write(folder / name, remote.read(name))
    return folder


def send(path: Path, file: Path, name: str) -> None:
    """Puts one file beside a run at a URL; nothing where `path` is a folder here."""
    url = url_of(path)
    if url is not None:
        RemoteFolder(url).write(name, file.read_bytes())


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.replace(path)


def _fetch_if_further(remote: RemoteFolder, folder: Path) -> None:
    """Brings the folder to the state of the URL where that has a later checkpoint."""
    names = remote.files()
    there = max((n for n in names if n.endswith("/DONE")), default="")
    here = [str(f.relative_to(folder) / "DONE") for f in _checkpoints(folder)]
    if max(here, default="") >= there and folder.exists():
        return
    remove_folder(folder)
    done = {n.rpartition("/")[0] for n in names if n.endswith("/DONE")}
    for name in sorted(names, key=lambda n: n.endswith("/DONE")):
        if "checkpoints/" not in name or name.rpartition("/")[0] in done:
            _write(folder / name, remote.read(name))


def _checkpoints(folder: Path) -> list[Path]:
    """Returns the finished checkpoints of a run, or of the runs of all seeds in it, the newest first."""
    runs = [folder, *sorted(p for p in folder.glob("seed-*") if p.is_dir())]
    return sorted((c for r in runs for c in finished_checkpoints(r)), key=lambda c: c.name, reverse=True)


class _Sender(threading.Thread):
    """Sends what is new, again and again, until `finish`."""

    def __init__(self, remote: RemoteFolder, folder: Path) -> None:
        super().__init__(name="sender", daemon=True)
        self._remote, self._folder = remote, folder
        self._there = set(remote.files())
        self._sent: dict[str, tuple[int, int]] = {}
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(EVERY_S):
            try:
                self._send()
            except (OSError, LfdError):  # a network that is away for a while: the next round sends it
                continue

    def finish(self) -> None:
        """Sends the rest. Raises LfdError where that cannot be."""
        self._over.set()
        self.join()
        try:
            self._send()
        except OSError as error:
            where = f"'{self._remote.url}' cannot be written: {error.strerror or error}"
            raise LfdError(f"{where}; all of it is kept here, and --resume sends it") from error

    def _send(self) -> None:
        for path in sorted(self._folder.rglob("*")):  # metrics first: a checkpoint stands on them
            name = str(path.relative_to(self._folder))
            if path.is_file() and "checkpoints" not in path.parts[len(self._folder.parts) :] and path.suffix != ".part":
                stat = path.stat()
                if self._sent.get(name) != (stat.st_size, stat.st_mtime_ns):
                    self._remote.write(name, path.read_bytes())
                    self._sent[name] = (stat.st_size, stat.st_mtime_ns)
        for checkpoint in _checkpoints(self._folder):  # the newest first: it alone can be gone on from
            name = str(checkpoint.relative_to(self._folder))
            if f"{name}/DONE" not in self._there:
                self._send_checkpoint(checkpoint, name)
        self._drop_old_training()

    def _send_checkpoint(self, checkpoint: Path, name: str) -> None:
        for file in sorted(checkpoint.iterdir(), key=lambda f: f.name == "DONE"):
            try:
                data = file.read_bytes()
            except FileNotFoundError:  # a newer checkpoint has just taken the training state's place
                continue
            self._remote.write(f"{name}/{file.name}", data)
            self._there.add(f"{name}/{file.name}")

    def _drop_old_training(self) -> None:
        for name in sorted(n for n in self._there if n.endswith(f"/{TRAINING}")):
            newest = max(
                (
                    n
                    for n in self._there
                    if n.endswith("/DONE") and n.split("checkpoints/")[0] == name.split("checkpoints/")[0]
                ),
                default="",
            )
            if newest and name.rpartition("/")[0] < newest.rpartition("/")[0]:
                self._remote.remove(name)
                self._there.discard(name)
