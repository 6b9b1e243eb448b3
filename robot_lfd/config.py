"""One frozen dataclass per command: what `lfd <command> --help` shows.

`lfd train` and `lfd sweep`: robot_lfd.train.config; `lfd data ...`: robot_lfd.demos.config.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

Flag = FlagCreatePairsOff[bool]
JsonFlag = Annotated[Flag, arg(help="End stdout with one line of JSON.")]
Verdict = Literal["yes", "no"]


@dataclass(frozen=True)
class RecordConfig:
    """Drive the arm and record demos.

    Example: lfd record --env pybullet/Lift-v0 --device keyboard --out demos/lift --episodes 10
    """

    env: str
    """Environment id, such as pybullet/Lift-v0 or robosuite/Lift-v0."""
    out: Path
    """Dataset folder; an existing one of the same environment grows."""
    device: Literal["keyboard", "gamepad", "spacemouse", "scripted"] = "keyboard"
    """What to drive with; scripted stands in for a person."""
    episodes: int = 10
    """Stop after this many kept episodes."""
    cameras: tuple[str, ...] = ()
    """Cameras to store with the demos; none stores low-dim observations alone."""
    size_px: int = 84
    """Height and width of stored pictures."""
    control_hz: float | None = None
    """Control steps per second. Default: the environment's own, 20 for the arms."""
    env_kwargs: tuple[str, ...] = ()
    """Keywords of the environment as KEY=VALUE, such as control=pose (six degrees of freedom) or robots=Sawyer."""
    seed: int = 0
    """Start of the first episode; each further one takes the next that the dataset does not have yet."""
    seeds: tuple[int, ...] = ()
    """Exactly these starts, such as those left out before, instead of counting up from --seed."""
    operator: str = ""
    """Your name or initials, stored with each demo."""
    realtime: bool | None = None
    """Keep the wall clock. Default: yes for people, no for the scripted operator."""
    window: bool | None = None
    """Show the window. Default: yes for people, no for the scripted operator."""
    keep_failures: bool = True
    """Keep scripted failures, labelled, instead of discarding them. A person decides with keys."""
    bindings: Path | None = None
    """A TOML file with your own key or pad bindings."""
    countdown_s: float = 0.0
    """Seconds between the start key and the first step."""
    hold_s: float | None = None
    """End an episode once its task has stayed solved for so long. Default: as the environment itself does it."""
    view_px: int | None = None
    """Side of the main view. Default: as large as the machine draws fluently."""
    json: JsonFlag = False


@dataclass(frozen=True)
class EvalConfig:
    """Measure a policy's success over fixed seeds.

    Example: lfd eval runs/lift-iq --episodes 50 --video lift.mp4
    """

    run: Positional[Path]
    """Run folder or checkpoint folder."""
    episodes: int = 50
    """Episodes, one seed each."""
    seed: int = 1000
    """Seed of the first episode."""
    copies: int = 1
    """Copies of the environment that play at once; the episodes, and so the numbers, are those of one copy."""
    video: Path | None = None
    """Write the first episodes to this .mp4 or .gif file."""
    video_episodes: int = 4
    """How many episodes the video shows."""
    workers: int | None = None
    """Share the episodes out among so many processes of Ray (extra ray). Default: one after the other."""
    address: str | None = None
    """HOST:PORT of a Ray cluster that is running, in the place of processes on this machine."""
    json: JsonFlag = False


@dataclass(frozen=True)
class CompareConfig:
    """Put runs beside each other: a table, and a picture of their learning curves. Seeds of one setting are one row.

    Example: lfd compare runs/lift-iq runs/lift-bc --out curves.svg
    """

    runs: Positional[tuple[Path, ...]]
    """Run folders, or folders of lfd train --seeds."""
    out: Path | None = None
    """Write the curves to this .svg file, or curves and table to this .html page."""
    metrics: tuple[str, ...] = ()
    """Draw these logged metrics too, such as q_expert critic_loss. Default: success in practice, where there is any."""
    json: JsonFlag = False


@dataclass(frozen=True)
class RewardConfig:
    """Recover the reward behind demos: what a policy's Q-function thinks of recorded episodes, good and bad.

    Example: lfd reward runs/lift-iq --demos rollouts/lift --out reward.csv
    """

    run: Positional[Path]
    """Run folder or checkpoint folder of an algorithm with a Q-function: iq, sqil."""
    demos: tuple[Path, ...]
    """One or more datasets: demos, or rollouts of mixed quality."""
    out: Path | None = None
    """Write reward, recovered reward and value of every step to this .csv file."""
    json: JsonFlag = False


@dataclass(frozen=True)
class DeployConfig:
    """Let a policy drive the arm at the control rate, within limits, and record what it does.

    Example: lfd deploy runs/lift-iq --episodes 5 --record rollouts/lift
    """

    run: Positional[Path]
    """Run folder or checkpoint folder."""
    episodes: int = 5
    """Episodes to run."""
    seed: int = 2000
    """Seed of the first episode."""
    record: Path | None = None
    """Dataset that the rollouts are added to."""
    takeover: Literal["none", "keyboard", "gamepad", "scripted"] = "none"
    """Device with which a person can take over; scripted stands in for a person who helps where nothing goes on."""
    cameras: tuple[str, ...] = ()
    """Cameras to record."""
    size_px: int = 84
    """Height and width of recorded pictures."""
    headless: Flag = False
    """No window."""
    realtime: bool = True
    """Keep the wall clock."""
    json: JsonFlag = False


@dataclass(frozen=True)
class ExportConfig:
    """Write a policy as one file that runs without this project.

    Example: lfd export runs/lift-iq --format onnx
    """

    run: Positional[Path]
    """Run folder or checkpoint folder."""
    format: Literal["torchscript", "onnx"] = "torchscript"
    """torchscript: for libtorch, Python or C++; onnx: for every other runtime."""
    out: Path | None = None
    """File to write; policy.pt or policy.onnx in the checkpoint folder without it."""
    json: JsonFlag = False


@dataclass(frozen=True)
class ReplayConfig:
    """Re-simulate recorded episodes.

    Example: lfd replay demos/lift --check
    """

    dataset: Positional[Path]
    """Dataset folder."""
    demo: tuple[str, ...] = ()
    """Ids of the episodes; all without it."""
    check: Flag = False
    """Compare with what was recorded; exit code 1 where it differs."""
    camera: str | None = None
    """Camera of the video; the main one without it."""
    size_px: int = 256
    """Height and width of the video."""
    video: Path | None = None
    """Write the re-simulated episodes to this .mp4 or .gif file."""
    json: JsonFlag = False


@dataclass(frozen=True)
class ReviewConfig:
    """Look at a dataset: videos, actions, rewards, success, timing.

    Example: lfd review demos/lift --export lift.html
    """

    datasets: Positional[tuple[Path, ...]]
    """Dataset folders."""
    export: Path | None = None
    """Write one self-contained HTML file instead of serving the page."""
    policy: Path | None = None
    """Run whose Q-function is shown along each episode, and which can be watched beside a person."""
    runs: tuple[Path, ...] = ()
    """Further runs for the evaluation page, to compare with --policy and with each other."""
    camera: str | None = None
    """Camera of the videos; stored pictures, or the main camera re-simulated, without it."""
    size_px: int = 192
    """Height and width of re-simulated videos."""
    max_episodes: int = 50
    """At most so many episodes on an exported page."""
    port: int = 8600
    """Port of the local page."""
    json: JsonFlag = False


@dataclass(frozen=True)
class PadConfig:
    """Show every stick and button of a gamepad by its name in the bindings, and calibrate its sticks.

    Example: lfd pad --calibrate
    """

    calibrate: Flag = False
    """Measure where the sticks rest (drift); lfd record takes it into account from then on."""
    bindings: Path | None = None
    """A TOML file with your own bindings, to be checked and shown."""
    seconds: float | None = None
    """End by itself after so long. Default: Esc or the close button."""
    json: JsonFlag = False


@dataclass(frozen=True)
class DoctorConfig:
    """Say what works on this machine, what is missing and how to get it.

    Example: lfd doctor
    """

    json: JsonFlag = False


@dataclass(frozen=True)
class DemoConfig:
    """Run the whole loop in minutes, no screen needed: record, train BC and IQ-Learn, evaluate, deploy, review.

    Example: lfd demo --out demo
    """

    out: Path = Path("demo")
    """Folder for everything that is made; what is already finished there is not done again."""
    env: str = "pybullet/Lift-v0"
    """Task to learn."""
    demos: int = 10
    """Scripted-human demos."""
    steps: int = 15000
    """Gradient steps of IQ-Learn."""
    eval_episodes: int = 50
    """Episodes of each evaluation."""
    seed: int = 0
    """Seed of recording and training."""
    json: JsonFlag = False
