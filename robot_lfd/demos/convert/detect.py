"""Which format a file or folder of another tool has, and the reader for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py

from robot_lfd.demos.convert.hdf5 import reading
from robot_lfd.demos.convert.options import ImportOptions
from robot_lfd.errors import LfdError

HDF5_MAGIC, ZIP_MAGIC = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"
KNOWN = "robosuite or robomimic HDF5, a diffusion_policy ReplayBuffer, Minari, LeRobotDataset v3, trajectories as .npz"


def detect_format(source: Path) -> str:
    """Returns the name of the format. Raises LfdError where it is none that can be read."""
    if source.is_dir():
        return _folder_format(source)
    with source.open("rb") as file:
        magic = file.read(8)
    if magic.startswith(ZIP_MAGIC) and source.suffix == ".npz":
        return "trajectories"
    if magic != HDF5_MAGIC:
        raise LfdError(f"'{source}' is no file that can be imported: it begins with {magic[:4]!r}, expected {KNOWN}")
    with reading(source) as file:
        data = file.get("data")
        attributes = set(data.attrs) if isinstance(data, h5py.Group) else set()
    if "env_args" in attributes:
        return "robomimic"
    if "env_info" in attributes or "env" in attributes:
        return "robosuite"
    raise LfdError(f"'{source}' is HDF5, but of no known kind: there is no 'data' with env_args or env_info in it")


def _folder_format(source: Path) -> str:
    if (source / "meta" / "episode_ends" / ".zarray").is_file():
        return "diffusion_policy"
    if (source / "main_data.hdf5").is_file() or (source / "data" / "main_data.hdf5").is_file():
        return "minari"
    if (source / "meta" / "info.json").is_file():
        return "lerobot"
    if (source / "episodes.zarr").is_dir():
        raise LfdError(f"'{source}' is a dataset already; to copy its demos: lfd data merge {source} --out FOLDER")
    raise LfdError(f"'{source}' is a folder of no known kind, expected {KNOWN}")


def count_demos(source: Path) -> int:
    """Returns how many demos a robosuite or robomimic file holds."""
    with reading(source) as file:
        data = file.get("data")
        return len(data) if isinstance(data, h5py.Group) else 0


def importer(name: str) -> Callable[[Path, Path, ImportOptions], dict[str, Any]]:
    """Returns the reader of a format."""
    if name == "robosuite":
        from robot_lfd.demos.convert.robosuite_hdf5 import import_robosuite_hdf5

        return import_robosuite_hdf5
    if name == "robomimic":
        from robot_lfd.demos.convert.robomimic_hdf5 import import_robomimic_hdf5

        return import_robomimic_hdf5
    if name == "lerobot":
        from robot_lfd.demos.convert.lerobot_import import import_lerobot

        return import_lerobot
    if name == "minari":
        from robot_lfd.demos.convert.minari_hdf5 import import_minari

        return import_minari
    if name == "trajectories":
        from robot_lfd.demos.convert.trajectories_npz import import_trajectories

        return import_trajectories
    from robot_lfd.demos.convert.diffusion_policy_zarr import import_diffusion_policy

    return import_diffusion_policy


def exporter(name: str) -> Callable[..., dict[str, Any]]:
    """Returns the writer of a format: `(store, ids, out, *, tick) -> report`."""
    if name == "robomimic":
        from robot_lfd.demos.convert.robomimic_export import export_robomimic_hdf5

        return export_robomimic_hdf5
    if name == "robosuite":
        from robot_lfd.demos.convert.robosuite_export import export_robosuite_hdf5

        return export_robosuite_hdf5
    if name == "lerobot":
        from robot_lfd.demos.convert.lerobot_export import export_lerobot

        return export_lerobot
    if name == "minari":
        from robot_lfd.demos.convert.minari_hdf5 import export_minari

        return export_minari
    from robot_lfd.demos.convert.diffusion_policy_zarr import export_diffusion_policy

    return export_diffusion_policy
