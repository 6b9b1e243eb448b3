"""One frozen dataclass per `lfd data` command: what its `--help` shows is written here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from robot_lfd.config import Flag, JsonFlag, Verdict


@dataclass(frozen=True)
class DataInfoConfig:
    """Describe a dataset.

    Example: lfd data info demos/lift
    """

    dataset: Positional[Path]
    """Dataset folder."""
    json: JsonFlag = False


@dataclass(frozen=True)
class DataVerifyConfig:
    """Check every array of a dataset against its checksum and its episode.

    Example: lfd data verify demos/lift --replay
    """

    dataset: Positional[Path]
    """Dataset folder."""
    replay: Flag = False
    """Also re-simulate each episode and compare."""
    json: JsonFlag = False


@dataclass(frozen=True)
class DataRepairConfig:
    """Build interrupted episodes again from their journals and clear what a crash left; healthy demos stay untouched.

    Example: lfd data repair demos/lift
    """

    dataset: Positional[Path]
    """Dataset folder."""
    json: JsonFlag = False


@dataclass(frozen=True)
class DataImportConfig:
    """Read demos recorded by other tools.

    Example: lfd data import lift_human_fast.hdf5 --out demos/lift-human
    """

    sources: Positional[tuple[Path, ...]]
    """Files to read, one or more."""
    out: Path
    """Dataset folder to create or to add to."""
    format: Literal["auto", "robosuite", "robomimic", "diffusion_policy", "minari", "lerobot"] = "auto"
    """Format of the file; auto looks inside."""
    env: str = ""
    """Environment id of the demos, where the format does not say it (diffusion_policy, lerobot)."""
    control_hz: float | None = None
    """Control steps per second, where the format does not say it. Default: the environment's own (minari) or 20."""
    open_loop: bool = True
    """robomimic: also play each demo's actions from its start and report whether it still succeeds."""
    cameras: tuple[str, ...] = ()
    """Cameras to render while the demos are re-simulated."""
    size_px: int = 84
    """Height and width of such pictures."""
    max_demos: int | None = None
    """Import only the first so many demos of each file."""
    workers: int | None = None
    """Share files and demos out among so many processes of Ray (extra ray). Default: one after the other."""
    address: str | None = None
    """HOST:PORT of a Ray cluster that is running, in the place of processes on this machine."""
    json: JsonFlag = False


@dataclass(frozen=True)
class DataExportConfig:
    """Write demos in the format of another tool. Demos marked as deleted are left out, trims are applied.

    Example: lfd data export demos/lift --out lift.hdf5 --format robomimic
    """

    dataset: Positional[Path]
    """Dataset folder."""
    out: Path
    """New file or folder."""
    format: Literal["robomimic", "robosuite", "diffusion_policy", "minari", "lerobot"] = "robomimic"
    """Format to write."""
    video: Literal["no", "h264", "av1"] = "no"
    """lerobot: pictures as video, which is far smaller and loses a little; the report says how much."""
    success: Verdict | None = None
    """yes: only demos that succeeded, no: only those that failed. Default: all."""
    tags: tuple[str, ...] = ()
    """Only demos with all of these tags."""
    split: str | None = None
    """Only demos of this split."""
    json: JsonFlag = False


@dataclass(frozen=True)
class DataRenderConfig:
    """Simulate demos again and store what other cameras see. The pictures replace those that were recorded.

    Example: lfd data render demos/lift --out demos/lift-128 --cameras agentview frontview --size-px 128
    """

    dataset: Positional[Path]
    """Dataset folder."""
    out: Path
    """Dataset folder to create; one that was begun is continued."""
    cameras: tuple[str, ...]
    """Cameras to look through."""
    size_px: int = 84
    """Height and width of the pictures."""
    pictures: Literal["reference", "fast"] | None = None
    """Quality: fast leaves out what a small picture hardly shows. Default: as the demos' environment says."""
    workers: int | None = None
    """Share the demos out among so many processes of Ray (extra ray). Default: one after the other."""
    address: str | None = None
    """HOST:PORT of a Ray cluster that is running, in the place of processes on this machine."""
    json: JsonFlag = False


@dataclass(frozen=True)
class DataCopyConfig:
    """Copy a dataset to remote storage or from there. What was copied before is not copied again.

    Example: lfd data copy demos/lift s3://bucket/lift
    """

    source: Positional[Path]
    """Dataset folder or URL."""
    target: Positional[Path]
    """Dataset folder or URL."""
    json: JsonFlag = False


@dataclass(frozen=True)
class DataLabelConfig:
    """Say something about demos: whether they succeeded, a note, tags, a split, which steps count.

    Example: lfd data label demos/lift --demo 4f0a1c --success no --note "cube slipped" --tags hard
    """

    dataset: Positional[Path]
    """Dataset folder."""
    demo: tuple[str, ...]
    """Ids, or their beginnings or ends where that is enough."""
    success: Verdict | None = None
    """Your verdict, in the place of the simulator's."""
    note: str | None = None
    """A remark."""
    tags: tuple[str, ...] | None = None
    """Tags, in the place of earlier ones."""
    split: str | None = None
    """Split, such as train or valid."""
    trim: tuple[int, int] | None = None
    """Keep steps START to STOP - 1 alone."""
    json: JsonFlag = False


@dataclass(frozen=True)
class DataDeleteConfig:
    """Mark demos as deleted. They stay on the disk until lfd data compact.

    Example: lfd data delete demos/lift --demo 4f0a1c
    """

    dataset: Positional[Path]
    """Dataset folder."""
    demo: tuple[str, ...]
    """Ids, or their beginnings or ends where that is enough."""
    json: JsonFlag = False


@dataclass(frozen=True)
class DataUndeleteConfig:
    """Take deletions back.

    Example: lfd data undelete demos/lift
    """

    dataset: Positional[Path]
    """Dataset folder."""
    demo: tuple[str, ...] = ()
    """Ids, or their beginnings or ends; all deleted ones without it."""
    json: JsonFlag = False


@dataclass(frozen=True)
class DataMergeConfig:
    """Copy demos of one or more datasets into another: all of them, or those that pass a filter. Labels come along.

    Example: lfd data merge demos/monday demos/tuesday --out demos/week --success yes
    """

    datasets: Positional[tuple[Path, ...]]
    """Dataset folders."""
    out: Path
    """Dataset folder to create or to add to."""
    success: Verdict | None = None
    """yes: only demos that succeeded, no: only those that failed. Default: all."""
    operator: str | None = None
    """Only demos of this person."""
    tags: tuple[str, ...] = ()
    """Only demos with all of these tags."""
    split: str | None = None
    """Only demos of this split."""
    min_steps: int = 1
    """Only demos of so many steps or more."""
    max_steps: int | None = None
    """Only demos of so many steps or fewer."""
    json: JsonFlag = False


@dataclass(frozen=True)
class DataSplitConfig:
    """Label a share of the demos as valid and the others as train, with the same share of successes in both.

    Example: lfd data split demos/lift --valid 0.1
    """

    dataset: Positional[Path]
    """Dataset folder."""
    valid: float = 0.1
    """Share of the demos that become valid."""
    seed: int = 0
    """Decides which ones."""
    json: JsonFlag = False


@dataclass(frozen=True)
class DataCompactConfig:
    """Make deletions and trims real: the demos' files are removed. This cannot be taken back.

    Example: lfd data compact demos/lift --yes
    """

    dataset: Positional[Path]
    """Dataset folder."""
    yes: Flag = False
    """Yes, remove them for good."""
    json: JsonFlag = False
