"""Metrics: one JSON line a record in the run folder, the same in TensorBoard."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.summary.writer.event_file_writer import EventFileWriter


class Metrics:
    """Writes scalars by step to `metrics.jsonl` and to TensorBoard events; lines after `resumed_from` are dropped.

    TensorBoard's own writer is used, not torch's, so that metrics need no torch.
    """

    def __init__(self, run: Path, resumed_from: int | None = None) -> None:
        run.mkdir(parents=True, exist_ok=True)
        path = run / "metrics.jsonl"
        kept = [r for r in read_metrics(run) if resumed_from is not None and r["step"] <= resumed_from]
        path.write_text("".join(json.dumps(r) + "\n" for r in kept))
        self._file = path.open("a")
        self._events = EventFileWriter(str(run / "tensorboard"))

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """Adds one record; values that are not finite are written as null and left out of TensorBoard."""
        finite = {k: v for k, v in scalars.items() if math.isfinite(v)}
        record = {"step": step, **{k: finite.get(k) for k in scalars}}
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        values = [Summary.Value(tag=k, simple_value=v) for k, v in finite.items()]
        self._events.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))

    def __enter__(self) -> Metrics:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Writes out what is left."""
        self._file.close()
        self._events.close()


class NoMetrics:
    """Writes nothing: for the further processes of one training."""

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """Forgets them."""

    def close(self) -> None:
        """Has nothing to write."""


def read_metrics(run: Path) -> list[dict]:
    """Returns the records of a run; a torn last line, after a crash, is left out."""
    path = run / "metrics.jsonl"
    records = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return records
