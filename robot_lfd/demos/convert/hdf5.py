"""Reads HDF5 files that nobody vouches for: plain numbers only, sizes checked before a byte is read, plain errors."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from robot_lfd.errors import LfdError

MAX_RATIO, MAX_EMPTY_BYTES = 200, 64 << 20  # more, compressed, is no recording but a bomb
MAX_TEXT, MAX_NAME = 64 << 20, 1000


@contextmanager
def reading(source: Path) -> Iterator[h5py.File]:
    """Opens a file for reading; whatever its content makes h5py raise becomes one plain line.

    Raises:
        LfdError: no such file, not HDF5, or damaged.
    """
    if not source.is_file():
        raise LfdError(f"no such file: '{source}'")
    try:
        with h5py.File(source, "r", locking=False) as file:
            yield file
    except LfdError:
        raise
    except (OSError, RuntimeError) as error:
        raise LfdError(f"'{source}' cannot be read as HDF5: {_first_line(error)}") from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, MemoryError) as error:
        raise LfdError(f"'{source}' is damaged: {type(error).__name__}: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return str(error).split("\n")[0][:200]


def group_in(parent: h5py.Group, name: str) -> h5py.Group:
    """Returns a group that lies in the file itself. Raises LfdError where there is none."""
    found = _own(parent, name)
    if not isinstance(found, h5py.Group):
        raise LfdError(f"{_where(parent, name)} is missing or no group")
    return found


def text_in(node: h5py.Group, name: str) -> str:
    """Returns a text attribute. Raises LfdError where there is none."""
    value = node.attrs.get(name)
    if isinstance(value, bytes):
        value = value.decode()
    if not isinstance(value, str) or len(value) > MAX_TEXT or "\0" in value:
        raise LfdError(f"{_where(node, '')} has no text attribute '{name}'")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise LfdError(f"{_where(node, '')}: attribute '{name}' is no UTF-8 text") from error
    return value


def json_in(node: h5py.Group, name: str) -> dict[str, Any]:
    """Returns a JSON object in a text attribute. Raises LfdError where there is none."""
    try:
        value = json.loads(text_in(node, name))
    except (ValueError, RecursionError) as error:
        raise LfdError(f"{_where(node, '')}: attribute '{name}' is no JSON") from error
    if not isinstance(value, dict):
        raise LfdError(f"{_where(node, '')}: attribute '{name}' is no JSON object")
    return value


def numbers_in(
    group: h5py.Group, name: str, *, rows: int | None = None, ndim: int | None = None, shape: tuple[int, ...] = ()
) -> np.ndarray:
    """Returns an array of plain, finite numbers.

    Args:
        rows, ndim: what the array must have; shape: what a row must have, where given.

    Raises:
        LfdError: it is missing, no array of numbers, of another shape, kept outside the file, or too large to be true.
    """
    found, where = _own(group, name), _where(group, name)
    if not isinstance(found, h5py.Dataset) or found.shape is None:
        raise LfdError(f"{where} is missing or no array")
    if found.dtype.kind not in "biuf":
        raise LfdError(f"{where} has type {found.dtype}, expected plain numbers")
    wrong = (ndim is not None and found.ndim != ndim) or (rows is not None and found.shape[:1] != (rows,))
    if wrong or (shape and found.shape[1:] != shape):
        expected = f"{rows if rows is not None else 'T'} rows" + (f" of {shape}" if shape else "")
        raise LfdError(f"{where} has shape {found.shape}, expected {expected}")
    if found.is_virtual or found.external:
        raise LfdError(f"{where} keeps its numbers in another file, expected them in this one")
    if math.prod(found.shape) * found.dtype.itemsize > MAX_EMPTY_BYTES + MAX_RATIO * found.id.get_storage_size():
        raise LfdError(f"{where} declares shape {found.shape}, more than the file can hold")
    array = np.asarray(found[()])
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise LfdError(f"{where} holds NaN or infinity")
    return array


def texts_in(group: h5py.Group, name: str, *, at_most: int) -> list[str]:
    """Returns a list of short texts. Raises LfdError where it is none, or longer than can be true."""
    found, where = _own(group, name), _where(group, name)
    if not isinstance(found, h5py.Dataset) or found.shape is None or found.ndim != 1 or found.dtype.kind not in "SO":
        raise LfdError(f"{where} is missing or no list of texts")
    if found.is_virtual or found.external or (found.dtype.kind == "O" and h5py.check_string_dtype(found.dtype) is None):
        raise LfdError(f"{where} is no list of texts in this file")
    if len(found) > at_most or found.dtype.itemsize > MAX_NAME:
        raise LfdError(f"{where} has {len(found)} entries of {found.dtype}, expected {at_most} names at most")
    return [t.decode(errors="replace") if isinstance(t, bytes) else str(t) for t in found[()]]


def _own(parent: h5py.Group, name: str) -> Any:
    """Returns what lies under a name, None where there is nothing. Links that lead elsewhere are not followed."""
    if not isinstance(parent.get(name, getlink=True), h5py.HardLink):
        return None
    return parent.get(name)


def _where(node: h5py.Group, name: str) -> str:
    path = f"{str(node.name).rstrip('/')}/{name}".strip("/")
    return f"'{node.file.filename}': {path or 'the file'}"
