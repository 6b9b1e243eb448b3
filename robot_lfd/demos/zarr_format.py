"""Encodes and decodes arrays as the files of the Zarr v3 specification.

Written out by hand because zarr-python takes 55 ms to write a camera and 4 ms a small array where this takes 23 ms and
0.2 ms, because every file must pass through `durable`, and because no byte should be decoded before its checksum is
found right. That zarr-python reads the very same arrays is what `test_any_zarr_reader_...` shows.

Source: Zarr core specification v3, https://zarr-specs.readthedocs.io/en/latest/v3/core/ ; sharding codec 1.0.
"""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import numpy as np
from numcodecs import blosc  # type: ignore[attr-defined]
from numcodecs.checksum32 import CRC32C

FRAMES_PER_CHUNK = 4  # inner chunk of a picture array: a window of four frames costs at most two
MAX_RATIO = 20_000  # black pictures reach some 10,000; more is no recording but a bomb


def group_document(attributes: dict[str, Any]) -> bytes:
    """Returns the `zarr.json` of a group."""
    return _dump({"zarr_format": 3, "node_type": "group", "attributes": attributes})


def encode_array(path: str, array: np.ndarray) -> dict[str, bytes]:
    """Returns the files of one array, by their paths: one shard of few-frame chunks for pictures, else one chunk."""
    array = np.ascontiguousarray(array)
    pictures = array.ndim == 4 and array.dtype == np.uint8
    document = _array_document(array, pictures)
    data = _shard(array) if pictures else _blosc(array)
    key = ".".join(["c"] + ["0"] * array.ndim)
    return {f"{path}/zarr.json": _dump(document), f"{path}/{key}": data}


def _dump(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=1, allow_nan=False).encode()


def _blosc(array: np.ndarray) -> bytes:
    shuffle = blosc.NOSHUFFLE if array.itemsize == 1 else blosc.SHUFFLE
    return bytes(blosc.compress(array if array.size else b"", b"zstd", 1, shuffle))


def _codecs(itemsize: int) -> list[dict[str, Any]]:
    shuffle = "noshuffle" if itemsize == 1 else "shuffle"
    settings = {"cname": "zstd", "clevel": 1, "shuffle": shuffle, "typesize": itemsize, "blocksize": 0}
    to_bytes = {"name": "bytes", "configuration": {"endian": "little"}} if itemsize > 1 else {"name": "bytes"}
    return [to_bytes, {"name": "blosc", "configuration": settings}]


def _array_document(array: np.ndarray, pictures: bool) -> dict[str, Any]:
    codecs = _codecs(array.itemsize)
    chunk_shape = list(array.shape)
    if pictures:
        inner = [FRAMES_PER_CHUNK, *array.shape[1:]]
        chunk_shape[0] = _chunk_count(array) * FRAMES_PER_CHUNK
        index = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
        settings = {"chunk_shape": inner, "codecs": codecs, "index_codecs": index, "index_location": "end"}
        codecs = [{"name": "sharding_indexed", "configuration": settings}]
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(array.shape),
        "data_type": str(array.dtype),
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk_shape}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
        "fill_value": False if array.dtype == bool else 0,
        "codecs": codecs,
        "attributes": {},
    }


def _chunk_count(array: np.ndarray) -> int:
    return -(-len(array) // FRAMES_PER_CHUNK)


def _shard(array: np.ndarray) -> bytes:
    """Returns inner chunks one after another, then the index: offset and size of each, then its CRC-32C."""
    chunks, index, offset = [], [], 0
    for start in range(0, len(array), FRAMES_PER_CHUNK):
        frames = array[start : start + FRAMES_PER_CHUNK]
        if len(frames) < FRAMES_PER_CHUNK:  # a chunk is always whole
            blank = np.zeros((FRAMES_PER_CHUNK - len(frames), *array.shape[1:]), np.uint8)
            frames = np.concatenate([frames, blank])
        chunk = _blosc(frames)
        chunks.append(chunk)
        index.append(struct.pack("<QQ", offset, len(chunk)))
        offset += len(chunk)
    table = b"".join(index)
    return b"".join([*chunks, CRC32C(location="end").encode(table)])  # type: ignore[list-item]


def decode_array(document: bytes, data: bytes) -> np.ndarray:
    """Returns the array of a `zarr.json` and its one chunk or shard, as `encode_array` wrote them.

    Raises:
        ValueError: it is nothing that `encode_array` writes, or larger than its bytes can be.
    """
    shape, dtype = _declared(document, len(data))
    pictures = len(shape) == 4 and dtype == np.uint8
    array = np.empty(shape, dtype)
    if json.loads(document) != _array_document(array, pictures):
        raise ValueError("its zarr.json is none that this program writes")
    try:
        if pictures:
            _read_shard(data, array)
        else:
            _decompress(data, array)
    except (RuntimeError, struct.error) as error:
        raise ValueError(f"its bytes are damaged ({error})") from error
    return array


def _declared(document: bytes, stored_bytes: int) -> tuple[tuple[int, ...], np.dtype]:
    try:
        declared = json.loads(document)
        shape, dtype = tuple(declared["shape"]), np.dtype(str(declared["data_type"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"its zarr.json cannot be read ({type(error).__name__})") from error
    if not all(type(n) is int and n >= 0 for n in shape) or len(shape) > 8 or dtype.kind not in "biuf":
        raise ValueError(f"it declares shape {shape} and type {dtype}")
    if math.prod(shape) * dtype.itemsize > MAX_RATIO * (stored_bytes + 4096):
        raise ValueError(f"it declares shape {shape}, more than its {stored_bytes} bytes can hold")
    return shape, dtype


def _decompress(data: bytes, into: np.ndarray) -> None:
    size = struct.unpack_from("<I", data, 4)[0] if len(data) >= 16 else -1  # blosc header: bytes when unpacked
    if size != into.nbytes:
        raise ValueError(f"a chunk holds {size} bytes, expected {into.nbytes}")
    if size:
        blosc.decompress(data, into)


def _read_shard(data: bytes, into: np.ndarray) -> None:
    count = _chunk_count(into)
    table = bytes(CRC32C(location="end").decode(data[-16 * count - 4 :]))  # type: ignore[arg-type]
    whole = np.empty((FRAMES_PER_CHUNK, *into.shape[1:]), np.uint8)
    for k in range(count):
        offset, size = struct.unpack_from("<QQ", table, 16 * k)
        frames = into[k * FRAMES_PER_CHUNK : (k + 1) * FRAMES_PER_CHUNK]
        if len(frames) == FRAMES_PER_CHUNK:
            _decompress(data[offset : offset + size], frames)
        else:
            _decompress(data[offset : offset + size], whole)
            frames[:] = whole[: len(frames)]
