"""The `lfd` command. Sole composition root: it imports what a command needs only when that command is called."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.resources
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robot_lfd.errors import LfdError

COMMANDS: dict[str, tuple[str, str, str]] = {  # words -> config class, module:function, what it does
    "demo": ("DemoConfig", "robot_lfd.demo:run", "the whole loop in minutes, no screen needed"),
    "record": ("RecordConfig", "robot_lfd.record:run", "drive the arm and record demos"),
    "train": ("TrainConfig", "robot_lfd.train.seeds:run", "train a policy from demos"),
    "sweep": ("SweepConfig", "robot_lfd.train.sweep:run", "try many settings, stop those that fall behind"),
    "eval": ("EvalConfig", "robot_lfd.evaluate_seeds:run", "measure a policy's success over fixed seeds"),
    "compare": ("CompareConfig", "robot_lfd.compare:run", "runs beside each other: table and learning curves"),
    "reward": ("RewardConfig", "robot_lfd.reward:run", "what a Q-function thinks of recorded episodes"),
    "deploy": ("DeployConfig", "robot_lfd.deploy:run", "let a policy drive the arm in real time"),
    "export": ("ExportConfig", "robot_lfd.export:run", "a policy as one file that runs without this project"),
    "replay": ("ReplayConfig", "robot_lfd.replay:run", "re-simulate recorded episodes, check, film"),
    "review": ("ReviewConfig", "robot_lfd.review.page:run", "look at a dataset in the browser"),
    "data info": ("DataInfoConfig", "robot_lfd.demos.commands:info", "describe a dataset"),
    "data verify": ("DataVerifyConfig", "robot_lfd.demos.commands:verify", "check every array of a dataset"),
    "data repair": ("DataRepairConfig", "robot_lfd.demos.commands:repair", "rebuild interrupted episodes"),
    "data import": ("DataImportConfig", "robot_lfd.demos.imports:run", "read other tools' demos"),
    "data export": ("DataExportConfig", "robot_lfd.demos.commands:export", "write demos for other tools"),
    "data render": ("DataRenderConfig", "robot_lfd.demos.render:run", "add cameras by simulating demos again"),
    "data copy": ("DataCopyConfig", "robot_lfd.demos.commands:copy", "to or from remote storage (s3://...)"),
    "data label": ("DataLabelConfig", "robot_lfd.demos.edit:label", "success, note, tags, split, trim"),
    "data delete": ("DataDeleteConfig", "robot_lfd.demos.edit:delete", "mark demos as deleted"),
    "data undelete": ("DataUndeleteConfig", "robot_lfd.demos.edit:undelete", "take deletions back"),
    "data merge": ("DataMergeConfig", "robot_lfd.demos.edit:merge", "copy demos of several datasets into one"),
    "data split": ("DataSplitConfig", "robot_lfd.demos.edit:split", "share demos out as train and valid"),
    "data compact": ("DataCompactConfig", "robot_lfd.demos.edit:compact", "make deletions and trims real"),
    "pad": ("PadConfig", "robot_lfd.pad:run", "test and calibrate a gamepad"),
    "doctor": ("DoctorConfig", "robot_lfd.doctor:run", "say what is missing and how to get it"),
}

# first word -> where its config class is; the others': robot_lfd.config
HOMES = {"data": "robot_lfd.demos.config", "train": "robot_lfd.train.config", "sweep": "robot_lfd.train.config"}


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one command. Exit code 0: done; 1: a plain one-line error; 2: usage."""
    sys.exit(call(list(sys.argv[1:] if argv is None else argv)))


def call(argv: list[str]) -> int:
    """Runs one command and returns its exit code; `--json` puts the result on the last line of stdout."""
    words, rest = _split(argv)
    if words not in COMMANDS:
        return _usage(argv)
    class_name, target, _ = COMMANDS[words]
    config = _parse(class_name, words, rest)
    try:
        config = _with_samples(config)
        module, function = target.split(":")
        result: dict[str, Any] = getattr(importlib.import_module(module), function)(config)
    except LfdError as error:
        return _fail(str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _fail(_plain_os_error(error))
    except KeyboardInterrupt:
        return _fail("interrupted; what was finished is kept")
    if config.json:
        print(json.dumps(result), flush=True)
    return 0 if result.get("ok", True) else 1


def _split(argv: list[str]) -> tuple[str, list[str]]:
    count = 2 if argv[:1] == ["data"] else 1
    return " ".join(argv[:count]), argv[count:]


def _parse(class_name: str, words: str, rest: list[str]) -> Any:
    import tyro

    home = HOMES.get(words.split()[0], "robot_lfd.config")
    cls = getattr(importlib.import_module(home), class_name)
    return tyro.cli(cls, args=rest, prog=f"lfd {words}", description=cls.__doc__)


def _with_samples(config: Any) -> Any:
    """Puts the folder that ships with the program in the place of `sample:<name>`."""

    def found(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(found(v) for v in value)
        return sample(str(value).removeprefix("sample:")) if str(value).startswith("sample:") else value

    values = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    paths = {k: found(v) for k, v in values.items() if isinstance(v, Path | tuple)}
    return dataclasses.replace(config, **paths)


def sample(name: str) -> Path:
    """Returns the folder of a sample in assets/samples. Raises LfdError where there is none of that name."""
    home = Path(str(importlib.resources.files("assets"))) / "samples"
    known = sorted(p.name for p in home.iterdir() if p.is_dir())
    if name not in known:
        raise LfdError(f"there is no sample '{name}'; there are: {', '.join('sample:' + k for k in known)}")
    return home / name


def _usage(argv: list[str]) -> int:
    asked = argv[:1] in (["-h"], ["--help"], ["help"])
    if argv == ["--version"]:
        from robot_lfd import __version__

        print(f"lfd {__version__}")
        return 0
    group = "data " if argv[:1] == ["data"] else ""
    asked = asked or (bool(group) and argv[1:2] in (["-h"], ["--help"]))
    out = sys.stdout if asked else sys.stderr
    if argv and not asked and argv != ["data"]:
        print(f"lfd: unknown command '{' '.join(argv[:2] if group else argv[:1])}'", file=out)
    print(f"usage: lfd {group}<command> [options]     (each command has --help with an example)\n", file=out)
    for words, (_, _, summary) in COMMANDS.items():
        if words.startswith(group):
            print(f"  {words:15s}{summary}", file=out)
    return 0 if asked else 2


def _plain_os_error(error: OSError) -> str:
    where = f" '{error.filename}'" if error.filename else ""
    return f"{error.strerror or error}{where}" + ("; free some space and try again" if error.errno == 28 else "")


def _fail(message: str) -> int:
    print(f"lfd: error: {' '.join(message.split())}", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    main()
