"""`lfd data import`: files of other tools into a dataset, one after the other or shared out among workers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from rich.console import Console

from robot_lfd.demos.config import DataImportConfig
from robot_lfd.demos.convert.detect import count_demos, detect_format, importer
from robot_lfd.demos.convert.options import ImportOptions
from robot_lfd.demos.layout import EPISODES
from robot_lfd.demos.remote import fetched_file, written_at
from robot_lfd.durable import remove_folder
from robot_lfd.errors import LfdError
from robot_lfd.remote import url_of
from robot_lfd.scale.cluster import cores, is_asked_for
from robot_lfd.scale.jobs import Job, Progress, pieces, run_jobs

SIMULATED = ("robosuite", "robomimic")  # whose demos can be taken one by one: each is simulated, which takes long
ROOM = timedelta(milliseconds=100)  # between the ids of two files: for 100,000 demos each


@dataclasses.dataclass
class ImportJob:
    """Some demos of one file; how many of them are there is how far it is."""

    source: Path
    out: Path
    format: str
    options: ImportOptions
    demos: int | None

    @property
    def name(self) -> str:
        """The file, and which of its demos."""
        first = self.options.first_demo
        return self.source.name + ("" if self.demos is None else f" {first}-{first + self.demos - 1}")

    def run(self, desk: dict[str, Any]) -> dict[str, Any]:
        """Imports; what an earlier attempt has stored is left out."""
        return importer(self.format)(self.source, self.out, self.options)

    def progress(self) -> Progress:
        """Counts the episodes whose ids are of this job."""
        if self.demos is None or self.options.ids_from is None:
            return Progress(0, 0)
        times = [self.options.id_of(self.options.first_demo + k) or "" for k in range(self.demos)]
        there = {p.name[:22] for p in (self.out / EPISODES).glob("*") if p.is_dir()}
        return Progress(sum(t[:22] in there for t in times), self.demos)

    def again(self) -> ImportJob:
        """Returns itself: what is there already is left out."""
        return self


def run(config: DataImportConfig) -> dict[str, Any]:
    """Imports what `config` names and returns how many demos came in; of one file also what became of each demo."""
    if config.address is not None and url_of(config.out):
        raise LfdError(f"--out {config.out}: a cluster imports into a folder that all share; then lfd data copy")
    here = dataclasses.replace(config, sources=tuple(map(fetched_file, config.sources)))
    with written_at(config.out) as folder:
        return {**_run(dataclasses.replace(here, out=folder)), "out": url_of(config.out) or str(config.out)}


def _run(config: DataImportConfig) -> dict[str, Any]:
    for source in config.sources:
        if not source.exists():
            raise LfdError(f"no such file: '{source}'")
    if not config.sources:
        raise LfdError("no file was named; say which to import")
    formats = [detect_format(s) if config.format == "auto" else config.format for s in config.sources]
    for found in formats:
        if config.cameras and found not in SIMULATED:
            raise LfdError(f"{found} data cannot be re-simulated, so no cameras can be added while it is imported")
    options = ImportOptions(
        cameras=config.cameras,
        size_px=config.size_px,
        max_demos=config.max_demos,
        open_loop=config.open_loop,
        env_id=config.env,
        control_hz=config.control_hz,
    )
    if is_asked_for(config.workers, config.address):
        reports = _shared_out(config, formats, options)
    else:
        pairs = zip(config.sources, formats, strict=True)
        reports = [importer(found)(source, config.out, options) for source, found in pairs]
    for source, report in zip(config.sources, reports, strict=True):
        if "demos" not in report or config.workers is not None:  # an importer that simulates has shown a table of them
            there = f", {report['already_there']} were there already" if report["already_there"] else ""
            words = f"imported {report['imported']} demo(s) of '{source.name}' into '{config.out}'{there}"
            Console().print(words, markup=False)
    return _document(config, formats, reports)


def _document(config: DataImportConfig, formats: list[str], reports: list[dict[str, Any]]) -> dict[str, Any]:
    named = [
        {"source": str(s), "format": f, "out": str(config.out), **r}
        for s, f, r in zip(config.sources, formats, reports, strict=True)
    ]
    if len(named) == 1:
        return named[0]
    totals = {k: sum(r[k] for r in reports) for k in ("imported", "already_there")}
    return {"out": str(config.out), **totals, "files": named}


def _shared_out(config: DataImportConfig, formats: list[str], options: ImportOptions) -> list[dict[str, Any]]:
    """Imports by workers. The ids keep the order of files and demos, whichever comes in first."""
    workers = cores() if config.workers is None else config.workers
    jobs: list[Job] = []
    of_file: list[int] = []
    began = datetime.now(timezone.utc)
    for number, (source, found) in enumerate(zip(config.sources, formats, strict=True)):
        numbered = dataclasses.replace(options, ids_from=began + number * ROOM)
        made = _jobs_of(source.resolve(), config.out.resolve(), found, numbered, workers, len(config.sources))
        jobs += made
        of_file += [number] * len(made)
    was_there = config.out.exists()
    config.out.mkdir(parents=True, exist_ok=True)  # so that no worker takes away what another has begun
    try:
        found = run_jobs(jobs, workers=config.workers, address=config.address, title="importing")
    finally:
        if not was_there and not any((config.out / EPISODES).glob("*/zarr.json")):
            remove_folder(config.out)
    parts = [[r for r, n in zip(found, of_file, strict=True) if n == k] for k in range(len(config.sources))]
    return [_together(part) for part in parts]


def _jobs_of(
    source: Path, out: Path, found: str, options: ImportOptions, workers: int, files: int
) -> Sequence[ImportJob]:
    """Returns the jobs of one file: a single one where its demos are only read, several where they are simulated."""
    if found not in SIMULATED:
        return [ImportJob(source, out, found, options, None)]
    count = len(range(count_demos(source))[options.some])
    share = math.ceil(workers / files)  # several files are cut into fewer pieces each
    return [
        ImportJob(source, out, found, dataclasses.replace(options, first_demo=p.start, max_demos=len(p)), len(p))
        for p in pieces(count, share)
    ]


def _together(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the report of a file from those of its pieces: counts and lists added up, the rest is alike."""
    whole = dict(parts[0])
    for part in parts[1:]:
        for key, value in part.items():
            if isinstance(value, list) or (isinstance(value, int) and not isinstance(value, bool)):
                whole[key] = whole[key] + value
    return whole
