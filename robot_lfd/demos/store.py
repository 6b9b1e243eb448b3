"""DemoStore: a dataset on the disk. An episode appears whole or not at all, and is never touched again."""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np

from robot_lfd.demos.episode import Episode
from robot_lfd.demos.episode_info import EpisodeInfo, describe, labelled
from robot_lfd.demos.folder import Files, Folder
from robot_lfd.demos.journal import Journal
from robot_lfd.demos.labels import LabelLog
from robot_lfd.demos.layout import (
    EPISODES,
    FORMAT,
    FORMAT_VERSION,
    check_seal,
    episode_files,
    read_arrays,
    read_attributes,
    read_episode,
    root_document,
    rows_of,
)
from robot_lfd.demos.spec import DatasetSpec
from robot_lfd.durable import held, publish, remove_folder, replace_file, sync_folder, write_file, write_tree
from robot_lfd.errors import LfdError
from robot_lfd.remote import RemoteFolder, url_of, used_home

ID = re.compile(r"\d{8}-\d{6}-\d{6}-[0-9a-f]{6}")  # UTC date, time, microseconds, random: unique, sorted by time
MODELS, STAGING, JOURNAL, LABELS = "models", "staging", "journal", "labels.jsonl"
FLAT_CACHE = "cache/flat"  # what else lies under cache/ belongs to others
DESCRIPTION = "dataset.json"  # second copy of the root's zarr.json: one flipped bit there must not close the dataset


class DemoStore:
    """Episodes of one environment in a folder; the set of episode folders is the truth.

    Any number of processes and threads may append and read at once. Opening reads one small file.
    """

    def __init__(self, path: Path, spec: DatasetSpec, files: Files | None = None) -> None:
        self.path, self.spec, self.remote = path, spec, files is not None
        self.files: Files = Folder(path) if files is None else files
        self.labels = LabelLog(path / LABELS, self.files)
        self._last_time = datetime.min.replace(tzinfo=timezone.utc)
        self._id_lock = threading.Lock()
        self._journal: Journal | None = None
        self._promised: set[str] = set()

    @staticmethod
    def create(path: Path | str, spec: DatasetSpec) -> DemoStore:
        """Returns a new, empty dataset. Raises LfdError where the folder already holds something."""
        path = Path(path)
        if (path / EPISODES).exists():
            raise LfdError(f"'{path}' already holds a dataset; choose another folder, or open it")
        ours = {MODELS, STAGING, JOURNAL}  # what a recorder that is creating right now, or died in it, leaves
        if path.exists() and (not path.is_dir() or any(p.name not in ours for p in path.iterdir())):
            raise LfdError(f"'{path}' exists and is no dataset; choose a new or empty folder")
        document = root_document(spec.to_json())
        staged = path / STAGING / f"root-{secrets.token_hex(4)}"
        try:
            for name in ours:
                (path / name).mkdir(parents=True, exist_ok=True)
            staged.mkdir()
            write_tree(staged, {"zarr.json": document})
            publish(staged, path / EPISODES)
            replace_file(path / DESCRIPTION, document)
            sync_folder(path.parent)
        except OSError as error:
            remove_folder(staged)
            raise LfdError(f"no dataset can be made in '{path}': {_reason(error)}") from error
        return DemoStore(path, spec)

    @staticmethod
    def open(path: Path | str) -> DemoStore:
        """Returns an existing dataset.

        Raises:
            LfdError: no such folder, no dataset in it, a newer format, or a damaged description.
        """
        if url := url_of(path):
            return _open_remote(url)
        path = Path(path)
        if not path.exists():
            raise LfdError(f"no such dataset: '{path}'; record one with lfd record --out {path}")
        try:
            attributes = _description(Folder(path), path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise LfdError(f"'{path}' is no dataset: there is no {EPISODES} in it") from error
        except OSError as error:
            raise LfdError(f"dataset '{path}' cannot be read: {_reason(error)}") from error
        return DemoStore(path, _spec_of(attributes, str(path)))

    @staticmethod
    def open_or_create(path: Path | str, spec: DatasetSpec) -> DemoStore:
        """Returns the dataset, made new where there is none. Raises LfdError where it is one of another kind."""
        if url_of(path):
            raise LfdError(f"'{path}' is on remote storage and can only be read; work on one here, then: lfd data copy")
        path = Path(path)
        if not (path / EPISODES).exists():
            try:
                return DemoStore.create(path, spec)
            except LfdError:
                if not (path / EPISODES).exists():  # else another recorder was faster
                    raise
        store = DemoStore.open(path)
        if difference := store.spec.difference(spec):
            raise LfdError(f"dataset '{path}' {difference}; choose another --out")
        return store

    def ids(self, *, deleted: bool = False) -> list[str]:
        """Returns the ids of the committed episodes in the order of recording; with `deleted`, those marked so too."""
        try:
            names = [n for n in self.files.names(EPISODES) if ID.fullmatch(n)]
        except OSError as error:
            raise LfdError(f"dataset '{self.path}' cannot be read: {_reason(error)}") from error
        return [n for n in names if deleted or not self.labels[n].deleted]

    def __len__(self) -> int:
        """Number of episodes that are not deleted."""
        return len(self.ids())

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids())

    def __contains__(self, episode_id: object) -> bool:
        if not isinstance(episode_id, str) or not ID.fullmatch(episode_id):
            return False
        return self.remote or self._folder(episode_id).is_dir()  # over the network, reading it will tell

    def __getitem__(self, episode_id: str) -> Episode:
        """Returns an episode, checked against its checksums, with label and trim applied.

        Raises:
            LfdError: no such episode, or a damaged one.
        """
        return labelled(self.recorded(episode_id), self.labels[episode_id])

    def recorded(self, episode_id: str) -> Episode:
        """Returns an episode as it was recorded, whatever the labels say."""
        attributes = self.attributes(episode_id)
        return read_episode(self.files, episode_id, attributes, self.model(attributes.get("model", "")))

    def arrays(self, episode_id: str, paths: Iterable[str]) -> dict[str, np.ndarray]:
        """Returns some of an episode's arrays by path, checked and trimmed. Raises LfdError for a damaged one."""
        attributes, trim = self.attributes(episode_id), self.labels[episode_id].trim
        arrays = read_arrays(self.files, episode_id, attributes, paths)
        return {p: a if trim is None else a[rows_of(p, *trim)] for p, a in arrays.items()}

    def attributes(self, episode_id: str) -> dict[str, Any]:
        """Returns what is stored beside an episode's arrays, as it was recorded."""
        self._require(episode_id)
        return read_attributes(self.files, episode_id)

    def info(self, episode_id: str) -> EpisodeInfo:
        """Returns what is known of an episode; cheap, no array is read."""
        return describe(episode_id, self.attributes(episode_id), self.labels[episode_id])

    def model(self, model_hash: str) -> str:
        """Returns the model text of a hash. Raises LfdError where it is missing or damaged."""
        if not model_hash:
            return ""
        for suffix in (".xml", ".txt"):
            name = f"{MODELS}/{model_hash}{suffix}"
            try:
                data = self.files.read(name)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise LfdError(f"'{name}' of '{self.path}' cannot be read: {_reason(error)}") from error
            if hashlib.sha256(data).hexdigest() != model_hash:
                raise LfdError(f"'{name}' of '{self.path}' does not match its checksum; see: lfd data verify")
            return data.decode()
        raise LfdError(f"model {model_hash[:12]} is missing in '{self.path / MODELS}'; see: lfd data verify")

    def append(self, episode: Episode, *, episode_id: str | None = None, **extra: Any) -> str:
        """Stores an episode, all or nothing, and returns its id once it is durable. Any thread may call it.

        Args:
            episode_id: keeps the id of an episode that comes from another dataset.
            extra: more attributes, such as where the episode came from.

        Raises:
            LfdError: the episode does not fit the dataset, the id is taken, or the disk failed: nothing changed then.
        """
        self.require_local()
        self.spec.check(episode)
        episode_id = episode_id or self._new_id()
        if episode_id in self:
            raise LfdError(f"demo '{episode_id}' is already in '{self.path}'")
        if self._journal is not None and (reference := self._journal.reference):
            extra.setdefault("journal", reference)
        staged = self.path / STAGING / episode_id
        try:
            extra["model"] = self.keep_model(episode.model)
            extra.setdefault("versions", self.spec.versions)
            files = episode_files(_dated(episode), extra)
            staged.mkdir(parents=True)
            with held(staged):
                write_tree(staged, files)
                publish(staged, self._folder(episode_id))
        except OSError as error:
            if not isinstance(error, FileExistsError):
                remove_folder(staged)
            raise LfdError(_failed_append(self.path, error)) from error
        except (TypeError, ValueError) as error:
            raise LfdError(f"the demo's meta cannot be stored: {error}; expected what JSON can hold") from error
        return episode_id

    def keep_model(self, model: str) -> str:
        """Stores a model text once and returns its hash; "" for the empty text."""
        if not model:
            return ""
        data = model.encode()
        digest = hashlib.sha256(data).hexdigest()
        final = self.path / MODELS / f"{digest}{'.xml' if model.lstrip().startswith('<') else '.txt'}"
        if not final.exists():
            staged = self.path / STAGING / f"model-{secrets.token_hex(8)}"
            try:
                staged.parent.mkdir(exist_ok=True)
                final.parent.mkdir(exist_ok=True)
                write_file(staged, data)
                publish(staged, final)
            except OSError:
                staged.unlink(missing_ok=True)
                raise
        return digest

    def label(
        self,
        episode_id: str,
        *,
        success: bool | None = None,
        note: str | None = None,
        tags: tuple[str, ...] | None = None,
        split: str | None = None,
        trim: tuple[int, int] | None = None,
    ) -> None:
        """Says something about an episode; what is None stays as it is. The recording itself does not change.

        Args:
            success: a person's verdict. split: "train", "valid", ... trim: keep steps start..stop-1 alone.
        """
        self._require(episode_id)
        if trim is not None:
            length = self.attributes(episode_id)["length"]
            if not 0 <= trim[0] < trim[1] <= length:
                raise LfdError(f"trim {trim[0]}:{trim[1]} lies outside demo {episode_id}'s 0:{length}")
        said = {"success": success, "note": note, "tags": tags, "split": split, "trim": trim}
        self._add_label(episode_id, **{k: v for k, v in said.items() if v is not None})

    def delete(self, episode_id: str) -> None:
        """Marks an episode, damaged or not, as deleted; `undelete` takes it back, `compact` makes it real."""
        self._require(episode_id)
        self._add_label(episode_id, deleted=True)

    def undelete(self, episode_id: str) -> None:
        """Takes a deletion back."""
        self._require(episode_id)
        self._add_label(episode_id, deleted=False)

    def journal(self, **meta: Any) -> Journal:
        """Returns the action journal of a recording session; `meta` (operator, device, ...) is for a later repair.

        `Tape(env, on_reset=journal.begin, on_step=journal.step)` feeds it. Call `journal.end()` when an episode is
        appended or discarded, `journal.close()` at the end of the session.
        """
        self.require_local()
        session = self._new_id()
        try:
            (self.path / JOURNAL).mkdir(exist_ok=True)
            self._journal = Journal(self.path / JOURNAL / f"{session}.jsonl", session, self.keep_model, meta)
        except OSError as error:
            raise LfdError(f"no journal can be written in '{self.path}': {_reason(error)}") from error
        return self._journal

    def promise_id(self) -> str:
        """Returns the name of an episode that is going to be appended; it can be labelled before it is there."""
        episode_id = self._new_id()
        self._promised.add(episode_id)
        return episode_id

    def _require(self, episode_id: str) -> None:
        if episode_id not in self and episode_id not in self._promised:
            raise LfdError(f"no demo '{episode_id}' in '{self.path}'; see: lfd data info {self.path}")

    def require_local(self) -> None:
        """Raises LfdError for a dataset on remote storage."""
        if self.remote:
            raise LfdError("a dataset on remote storage can only be read; work on one here, then: lfd data copy")

    def _folder(self, episode_id: str) -> Path:
        return self.path / EPISODES / episode_id

    def _add_label(self, episode_id: str, **fields: Any) -> None:
        if not fields:
            return
        self.require_local()
        try:
            self.labels.add(episode_id, **fields)
        except OSError as error:
            raise LfdError(f"the label of demo {episode_id} could not be saved: {_reason(error)}") from error

    def _new_id(self) -> str:
        with self._id_lock:  # later even where the clock was set back, or two appends fall into one microsecond
            self._last_time = max(datetime.now(timezone.utc), self._last_time + timedelta(microseconds=1))
            return id_at(self._last_time)


def id_at(time: datetime) -> str:
    """Returns a new id of an episode that stands where this time, UTC, puts it."""
    return f"{time:%Y%m%d-%H%M%S-%f}-{secrets.token_hex(3)}"


def _description(files: Files, path: Path) -> dict[str, Any]:
    """Returns the attributes of the root, from their second copy where the first is damaged."""
    document = files.read(f"{EPISODES}/zarr.json")
    try:
        return check_seal(document, f"dataset '{path}'")
    except LfdError:
        if files.version(DESCRIPTION) is None:
            raise
        return check_seal(files.read(DESCRIPTION), f"dataset '{path}'")


def _spec_of(attributes: dict[str, Any], name: str) -> DatasetSpec:
    if attributes.get("format") != FORMAT:
        raise LfdError(f"'{name}' is a zarr folder of another program, expected one of lfd; see: lfd data import")
    if attributes.get("format_version") != FORMAT_VERSION:
        found = attributes.get("format_version")
        raise LfdError(f"dataset '{name}' has format version {found}, this lfd reads {FORMAT_VERSION}; update lfd")
    return DatasetSpec.from_json(attributes)


def _open_remote(url: str) -> DemoStore:
    """Returns a dataset behind a URL, for reading; what is derived from it is kept on this machine."""
    files = RemoteFolder(url)
    try:
        attributes = _description(files, Path(url))
    except FileNotFoundError as error:
        raise LfdError(f"no such dataset: '{url}'") from error
    except OSError as error:
        raise LfdError(f"dataset '{url}' cannot be read: {_reason(error)}") from error
    return DemoStore(used_home(url), _spec_of(attributes, url), files)


def _dated(episode: Episode) -> Episode:
    if "recorded_at" in episode.meta:
        return episode
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    return episode.replace(meta={**episode.meta, "recorded_at": now})


def _reason(error: OSError) -> str:
    return f"{error.strerror or error}" + ("; free some space and try again" if error.errno == 28 else "")


def _failed_append(path: Path, error: OSError) -> str:
    return f"the demo could not be saved in '{path}': {_reason(error)}; earlier demos are untouched"
