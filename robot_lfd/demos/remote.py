"""Datasets on object storage: read for training, written by `lfd data copy`, import and render.

A bucket knows no rename, so an episode's own `zarr.json` is uploaded last: only with it is the episode there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from robot_lfd.errors import LfdError
from robot_lfd.remote import RemoteFolder, url_of, used_home


def fetched_file(path: Path) -> Path:
    """Returns a file to read: `path` itself, or for a URL what is there, fetched once and again when it changes."""
    url = url_of(path)
    if url is None:
        return path
    home, name = url.rsplit("/", 1)
    remote = RemoteFolder(home)
    try:
        size = remote.version(name)
        here = used_home(url) / name
        if size is None:
            raise LfdError(f"no such file: '{url}'")
        if not here.exists() or here.stat().st_size != size[0]:
            part = here.with_name(f".{name}.part")
            part.write_bytes(remote.read(name))
            part.replace(here)
    except OSError as error:
        raise LfdError(f"'{url}' cannot be read: {error.strerror or error}") from error
    return here


@contextmanager
def written_at(path: Path) -> Iterator[Path]:
    """Gives the folder to write a dataset into: `path` itself, or for a URL one here whose episodes are sent there.

    They are sent when the block has ended, each whole or not at all. The folder here stays, for a second run to go on.
    """
    from robot_lfd.demos.store import DemoStore  # it imports this module

    url = url_of(path)
    if url is None:
        yield path
        return
    remote, folder = RemoteFolder(url), used_home(url) / "dataset"
    remote.files()  # a bucket that refuses does so before the work
    yield folder
    store = DemoStore.open(folder)
    try:
        upload(store, remote, store.ids(deleted=True), lambda: None)
    except OSError as error:
        raise LfdError(
            f"'{url}' cannot be written: {error.strerror or error}; run it again to send the rest"
        ) from error


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
