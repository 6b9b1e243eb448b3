"""Ways to spoil a file of another tool, drawn by hypothesis: cut, mistyped, missing, huge, hostile."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from hypothesis import strategies as st


class Bomb:
    """Leaves a mark where somebody unpickles it."""

    def __init__(self, folder: Path) -> None:
        self.mark = str(folder / "EXECUTED")

    def __reduce__(self) -> tuple:
        return os.mkdir, (self.mark,)


JUNK: list[Any] = [None, -1, 0, 3, 10**12, 1e308, "", "x", "../../x", [], {}, [[]], {"a": 1}, [1, "a"], True]


def spoil(data: st.DataObject, folder: Path, source: Path) -> None:
    """Damages one file of a source, in the way of its kind or byte by byte."""
    files = [source] if source.is_file() else sorted(p for p in source.rglob("*") if p.is_file())
    path = data.draw(st.sampled_from(files))
    kinds = {".hdf5": spoil_hdf5, ".json": spoil_json, ".parquet": spoil_parquet, ".npz": spoil_npz}
    ways = [spoil_bytes, *[kinds.get(path.suffix, spoil_json if path.name.startswith(".z") else spoil_bytes)] * 3]
    data.draw(st.sampled_from(ways))(data, folder, path)


def spoil_bytes(data: st.DataObject, folder: Path, path: Path) -> None:
    """Cuts a file, changes some bytes of it, takes it away, or puts a pickle or a folder in its place."""
    content = bytearray(path.read_bytes()) or bytearray(b"x")
    way = data.draw(st.sampled_from(["cut", "change", "gone", "pickle", "folder"]))
    if way in ("gone", "folder"):
        path.unlink()
        if way == "folder":
            path.mkdir()
        return
    for _ in range(3 if way == "change" else 0):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    keep = data.draw(st.integers(0, len(content))) if way == "cut" else len(content)
    path.write_bytes(pickle.dumps(Bomb(folder)) if way == "pickle" else content[:keep])


def spoil_json(data: st.DataObject, folder: Path, path: Path) -> None:
    """Puts junk in the place of one value, at any depth."""
    document = json.loads(path.read_bytes())
    places = list(_places(document))
    if not places:
        path.write_text(json.dumps(data.draw(st.sampled_from(JUNK))))
        return
    holder, key = data.draw(st.sampled_from(places))
    if data.draw(st.booleans()) or not isinstance(holder, dict):
        holder[key] = data.draw(st.sampled_from(JUNK))
    else:
        del holder[key]
    path.write_text(json.dumps(document))


def _places(node: Any) -> list[tuple[Any, Any]]:
    keys = list(node) if isinstance(node, dict) else list(range(len(node))) if isinstance(node, list) else []
    return [(node, k) for k in keys] + [place for k in keys for place in _places(node[k])]


def spoil_hdf5(data: st.DataObject, folder: Path, path: Path) -> None:
    """Takes a node away, puts one of another kind in its place, or spoils an attribute."""
    with h5py.File(path, "a") as file:
        names: list[str] = []
        file.visit(names.append)
        name = data.draw(st.sampled_from(sorted(names)))
        attributes = [(n, a) for n in ["/", *names] for a in file[n].attrs]
        if attributes and data.draw(st.integers(0, 2)) == 0:
            _spoil_attribute(data, folder, file, *data.draw(st.sampled_from(sorted(attributes))))
            return
        old = file[name][()] if isinstance(file[name], h5py.Dataset) else np.zeros(3)
        del file[name]
        _put(data.draw(st.sampled_from(WAYS)), folder, file, name, np.asarray(old))


def _spoil_attribute(data: st.DataObject, folder: Path, file: h5py.File, node: str, name: str) -> None:
    value, way = file[node].attrs[name], data.draw(st.sampled_from(["gone", "number", "pickle", "cut", "inside"]))
    del file[node].attrs[name]
    if way == "number":
        file[node].attrs[name] = np.arange(4)
    elif way == "pickle":
        file[node].attrs[name] = np.void(pickle.dumps(Bomb(folder)))
    elif way in ("cut", "inside") and isinstance(value, str):
        file[node].attrs[name] = value[: len(value) // 2] if way == "cut" else _spoilt_text(data, value)


def _spoilt_text(data: st.DataObject, text: str) -> str:
    try:
        document = json.loads(text)
    except ValueError:
        return text.replace("0", "x")
    if places := _places(document):
        holder, key = data.draw(st.sampled_from(places))
        holder[key] = data.draw(st.sampled_from(JUNK))
    return json.dumps(document)


WAYS = ["gone", "group", "text", "objects", "fields", "pickle", "short", "long", "flat", "deep", "huge", "nan", "empty",
        "wide", "other type", "link", "outside"]  # fmt: skip


def _put(way: str, folder: Path, file: h5py.File, name: str, old: np.ndarray) -> None:
    """Writes something under a name that is free."""
    plain = {"short": old[:-1] if old.ndim else old, "flat": old.ravel(), "deep": old[..., None], "empty": old[:0],
             "long": np.concatenate([old, old]) if old.ndim else old, "text": np.array([b"x"] * 3),
             "fields": np.zeros(3, [("a", "f4"), ("b", "i8")]), "wide": np.repeat(old[..., None], 3, -1),
             "other type": old.astype("c16") if old.dtype.kind in "biuf" else old}  # fmt: skip
    if way in plain:
        file[name] = plain[way]
    elif way == "group":
        file.create_group(name)
    elif way == "objects":
        file.create_dataset(name, (3,), h5py.string_dtype())
    elif way == "pickle":
        file[name] = np.void(pickle.dumps(Bomb(folder)))
    elif way == "huge":
        file.create_dataset(name, (10**11, *old.shape[1:]), "f4", chunks=(1024, *old.shape[1:]))
    elif way == "nan":
        file[name] = np.full(old.shape, np.nan)
    elif way == "link":
        file[name] = h5py.SoftLink(f"/{name}")
    elif way == "outside":
        file[name] = h5py.ExternalLink("/etc/passwd", "/")


def spoil_parquet(data: st.DataObject, folder: Path, path: Path) -> None:
    """Takes a column away, or puts one of another type, or other numbers, in its place."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    column = data.draw(st.integers(0, table.num_columns - 1))
    name, rows = table.column_names[column], table.num_rows
    choices = {
        "text": pa.array(["x"] * rows),
        "nothing": pa.nulls(rows),
        "pickle": pa.array([pickle.dumps(Bomb(folder))] * rows),
        "large": pa.array([10**15] * rows),
        "negative": pa.array([-5] * rows),
        "nan": pa.array([float("nan")] * rows),
        "lists": pa.array([[1.0] * (k % 3) for k in range(rows)]),
        "fields": pa.array([{"bytes": b"x", "path": "/etc/passwd"}] * rows),
        "half nothing": pa.array([None if k % 2 else 1.0 for k in range(rows)]),
    }
    way = data.draw(st.sampled_from(["gone", "rows", *choices]))
    if way == "gone":
        table = table.remove_column(column)
    elif way == "rows":
        table = table.slice(0, data.draw(st.integers(0, rows)))
    else:
        table = table.set_column(column, name, choices[way])
    pq.write_table(table.replace_schema_metadata(None), path)


def spoil_npz(data: st.DataObject, folder: Path, path: Path) -> None:
    """Takes an array away, or puts one of another type or shape, or a pickle, in its place."""
    with np.load(path) as file:
        arrays = {k: file[k] for k in file.files}
    name = data.draw(st.sampled_from(sorted(arrays)))
    old = arrays.pop(name)
    choices = {"text": np.array(["x"] * 3), "pickle": np.array([Bomb(folder)], object), "nan": old.astype("f8") * np.nan
               if old.dtype.kind in "biuf" else old, "short": old[:-1] if old.ndim else old, "deep": old[..., None],
               "large": np.array([10**15]), "negative": np.array([-3, -3]), "empty": old.ravel()[:0]}  # fmt: skip
    way = data.draw(st.sampled_from(["gone", *choices]))
    np.savez(path, **arrays, **({} if way == "gone" else {name: choices[way]}))


def copy_of(source: Path, folder: Path) -> Path:
    """Returns a copy of a source in a folder."""
    target = folder / source.name
    shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    return target
