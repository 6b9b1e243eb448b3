"""Which format a file or folder of another tool has, and the reader for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py

from robot_lfd.errors import LfdError

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
KNOWN = "robosuite or robomimic HDF5"


def detect_format(source: Path) -> str:
    """Returns the name of the format. Raises LfdError where it is none that can be read."""
    if source.is_dir():
        raise LfdError(f"'{source}' is a folder, expected {KNOWN}")
    with source.open("rb") as file:
        magic = file.read(8)
    if magic != HDF5_MAGIC:
        raise LfdError(f"'{source}' is no file that can be imported: it begins with {magic[:4]!r}, expected {KNOWN}")
    try:
        with h5py.File(source, "r") as file:
            data = file.get("data")
            attributes = set(data.attrs) if isinstance(data, h5py.Group) else set()
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise LfdError(f"'{source}' cannot be read as HDF5: {error}") from error
    if "env_args" in attributes:
        return "robomimic"
    if "env_info" in attributes or "env" in attributes:
        return "robosuite"
    raise LfdError(f"'{source}' is HDF5, but of no known kind: there is no 'data' with env_args or env_info in it")


def importer(name: str) -> Callable[..., dict[str, Any]]:
    """Returns the reader of a format: `(source, out, *, cameras, size_px, max_demos) -> report`."""
    if name == "robosuite":
        from robot_lfd.demos.convert.robosuite_hdf5 import import_robosuite_hdf5

        return import_robosuite_hdf5
    from robot_lfd.demos.convert.robomimic_hdf5 import import_robomimic_hdf5

    return import_robomimic_hdf5


def exporter(name: str) -> Callable[..., dict[str, Any]]:
    """Returns the writer of a format: `(store, ids, out, *, tick) -> report`."""
    from robot_lfd.demos.convert.robomimic_hdf5 import export_robomimic_hdf5

    return {"robomimic": export_robomimic_hdf5}[name]
