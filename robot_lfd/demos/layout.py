"""How an episode lies on the disk: its attributes, its checksums, and how both are read and checked again."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from robot_lfd.demos.episode import Episode, array_path
from robot_lfd.demos.folder import Files
from robot_lfd.demos.zarr_format import decode_array, encode_array, group_document
from robot_lfd.errors import LfdError

FORMAT = "robot-lfd demos"
FORMAT_VERSION = 1
PROMOTED = ("seed", "operator", "device", "device_settings", "recorded_at")  # meta that stands on its own in the attrs
BLANK = "0" * 64
PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
EPISODES = "episodes.zarr"


def root_document(spec_json: dict[str, Any]) -> bytes:
    """Returns the `zarr.json` of `episodes.zarr`."""
    return seal(group_document({"format": FORMAT, "format_version": FORMAT_VERSION, **spec_json, "checksum": BLANK}))


def episode_files(episode: Episode, extra: dict[str, Any]) -> dict[str, bytes]:
    """Returns every file of an episode's group, by path; its own `zarr.json` names the checksums of all others."""
    arrays = episode.arrays()
    files: dict[str, bytes] = {}
    for group in sorted({p.split("/")[0] for p in arrays if "/" in p}):
        files[f"{group}/zarr.json"] = group_document({})
    for path, array in arrays.items():
        files.update(encode_array(path, array))
    files["zarr.json"] = seal(group_document(_attributes(episode, arrays, files, extra)))
    return files


def _attributes(
    episode: Episode, arrays: dict[str, np.ndarray], files: dict[str, bytes], extra: dict[str, Any]
) -> dict[str, Any]:
    meta = {k: v for k, v in episode.meta.items() if k not in PROMOTED}
    promoted = {k: episode.meta[k] for k in PROMOTED if k in episode.meta}
    return {
        "length": len(episode),
        "success": bool(episode.success),
        "terminated": bool(episode.terminated),
        "truncated": bool(episode.truncated),
        **promoted,
        **extra,
        "meta": meta,
        "checksums": {path: array_checksum(array) for path, array in arrays.items()},
        "file_checksums": {path: hashlib.sha256(data).hexdigest() for path, data in files.items()},
        "checksum": BLANK,
    }


def array_checksum(array: np.ndarray) -> str:
    """Returns the SHA-256 of an array's type, shape and little-endian bytes, however it is stored."""
    digest = hashlib.sha256(f"{array.dtype} {list(array.shape)}\n".encode())
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def seal(document: bytes) -> bytes:
    """Returns a document with its blank last checksum filled in: the SHA-256 of the text with the blank in it."""
    head, _, tail = document.rpartition(BLANK.encode())
    return head + hashlib.sha256(document).hexdigest().encode() + tail


def check_seal(document: bytes, name: str) -> dict[str, Any]:
    """Returns the attributes of a sealed document.

    Raises:
        LfdError: it is not byte for byte what was written.
    """
    try:
        attributes = json.loads(document)["attributes"]
        found = attributes["checksum"].encode()
        head, _, tail = document.rpartition(found)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LfdError(f"{name}: its description is damaged ({type(error).__name__}); see: lfd data verify") from error
    if len(found) != 64 or hashlib.sha256(head + BLANK.encode() + tail).hexdigest().encode() != found:
        raise LfdError(f"{name}: its description does not match its checksum; see: lfd data verify")
    return attributes


def read_attributes(files: Files, episode_id: str) -> dict[str, Any]:
    """Returns the attributes of an episode. Raises LfdError where they are missing or damaged."""
    try:
        document = files.read(f"{EPISODES}/{episode_id}/zarr.json")
    except OSError as error:
        raise LfdError(f"demo {episode_id}: its description cannot be read: {error.strerror}") from error
    attributes = check_seal(document, f"demo {episode_id}")
    if wrong := _wrong_attribute(attributes):
        raise LfdError(f"demo {episode_id}: its description has no proper '{wrong}'; see: lfd data verify")
    return attributes


def _wrong_attribute(attributes: dict[str, Any]) -> str:
    """Returns the first attribute that no writer of ours would write, "" where all are well.

    A seal says that nothing changed, not who wrote it: no name may lead out of the dataset's folder.
    """
    kinds = {"length": int, "success": bool, "terminated": bool, "truncated": bool, "meta": dict}
    for name, kind in kinds.items():
        if type(attributes.get(name)) is not kind:
            return name
    for name in ("checksums", "file_checksums"):
        found = attributes.get(name)
        if not isinstance(found, dict) or not all(PATH.fullmatch(k) and isinstance(v, str) for k, v in found.items()):
            return name
    model = attributes.get("model", "")
    return "" if isinstance(model, str) and re.fullmatch(r"([0-9a-f]{64})?", model) else "model"


def read_file(files: Files, episode_id: str, name: str, attributes: dict[str, Any]) -> bytes:
    """Returns one file of an episode. Raises LfdError where it is missing or not what was written."""
    try:
        data = files.read(f"{EPISODES}/{episode_id}/{name}")
    except OSError as error:
        raise LfdError(f"demo {episode_id}: '{name}' cannot be read: {error.strerror}; see: lfd data verify") from error
    if hashlib.sha256(data).hexdigest() != attributes["file_checksums"][name]:
        raise LfdError(f"demo {episode_id}: '{name}' does not match its checksum; see: lfd data verify")
    return data


def read_array(files: Files, episode_id: str, path: str, attributes: dict[str, Any]) -> np.ndarray:
    """Returns one array; not one byte is decoded before its checksum is found right.

    Raises:
        LfdError: it is missing, damaged, or nothing that this program wrote.
    """
    names = [n for n in attributes["file_checksums"] if n.rpartition("/")[0] == path and not n.endswith(".json")]
    if len(names) != 1:
        raise LfdError(f"demo {episode_id} has no array '{path}'; see: lfd data verify")
    document = read_file(files, episode_id, f"{path}/zarr.json", attributes)
    data = read_file(files, episode_id, names[0], attributes)
    try:
        return decode_array(document, data)
    except ValueError as error:
        raise LfdError(f"demo {episode_id}: '{path}' cannot be decoded: {error}; see: lfd data verify") from error


def read_arrays(
    files: Files, episode_id: str, attributes: dict[str, Any], paths: Iterable[str]
) -> dict[str, np.ndarray]:
    """Returns some of an episode's arrays by path, each checked."""
    paths = list(paths)
    wanted = {n for n in attributes["file_checksums"] if n.rpartition("/")[0] in paths}
    files.prefetch(f"{EPISODES}/{episode_id}/{n}" for n in sorted(wanted))
    return {path: read_array(files, episode_id, path, attributes) for path in paths}


def read_episode(files: Files, episode_id: str, attributes: dict[str, Any], model: str) -> Episode:
    """Returns the episode as it was recorded, every array checked."""
    arrays = read_arrays(files, episode_id, attributes, attributes["checksums"])
    return episode_of(arrays, attributes, model, f"demo {episode_id}")


def rows_of(path: str, start: int, stop: int) -> slice:
    """Returns the rows of an array that belong to steps start..stop-1; what was seen has one row more than steps."""
    seen = path == "sim_state" or path.startswith(("obs/", "images/"))
    return slice(start, stop + 1 if seen else stop)


def episode_of(arrays: dict[str, np.ndarray], attributes: dict[str, Any], model: str, name: str) -> Episode:
    """Returns an Episode from its arrays by path and its attributes."""
    obs = {p.removeprefix("obs/"): a for p, a in arrays.items() if array_path(p.removeprefix("obs/")) == p}
    fixed = ("action", "reward", "sim_state", "time", "intervention")
    try:
        meta = {**{k: attributes[k] for k in PROMOTED if k in attributes}, **attributes["meta"]}
        flags: dict[str, Any] = {k: bool(attributes[k]) for k in ("success", "terminated", "truncated")}
        steps: dict[str, Any] = {k: arrays[k] for k in fixed}
        return Episode(obs=obs, **steps, **flags, model=model, meta=meta)
    except KeyError as error:
        raise LfdError(f"{name} lacks {error}; see: lfd data verify") from error
    except LfdError as error:
        raise LfdError(f"{name}: {error}") from error
