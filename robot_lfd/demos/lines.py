"""Append-only logs: one JSON object a line, each with its own checksum: a torn or damaged line is known as such."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MAX_LOG_BYTES = 1 << 30


@dataclass(frozen=True)
class Log:
    """What a log holds.

    Attributes:
        entries: the healthy lines, in order.
        damaged: numbers of the lines that fail their checksum, the first line being 1.
        healthy_bytes: where the last line that ends in a newline ends.
        torn: bytes stand behind the last newline: the writer died in the middle of a line.
    """

    entries: list[dict[str, Any]] = field(default_factory=list)
    damaged: list[int] = field(default_factory=list)
    healthy_bytes: int = 0
    torn: bool = False


def encode_line(entry: dict[str, Any]) -> bytes:
    """Returns the line of an entry; its last key is the CRC-32 of the text before it."""
    text = json.dumps(entry, allow_nan=False, separators=(", ", ": "))[:-1].encode()
    return text + b', "crc": "%08x"}\n' % zlib.crc32(text)


def decode_line(line: bytes) -> dict[str, Any] | None:
    """Returns the entry of a line without its newline; None where the line is not what was written."""
    text, _, tail = line.rpartition(b', "crc": "')
    if tail != b'%08x"}' % zlib.crc32(text):
        return None
    try:
        entry = json.loads(text + b"}")
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def read_log(path: Path) -> Log:
    """Returns what a log holds; a missing file is an empty log, a torn last line is left out."""
    try:
        with path.open("rb") as file:
            return parse_log(file.read(MAX_LOG_BYTES))
    except FileNotFoundError:
        return Log()


def parse_log(data: bytes) -> Log:
    """Returns what the bytes of a log hold; a torn last line is left out."""
    lines = data.split(b"\n")
    entries, damaged = [], []
    for number, line in enumerate(lines[:-1], 1):
        entry = decode_line(line)
        if entry is None:
            damaged.append(number)
        else:
            entries.append(entry)
    return Log(entries, damaged, len(data) - len(lines[-1]), bool(lines[-1]))
