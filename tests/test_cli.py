"""The command line from the outside: help with examples, exit codes, plain errors, nothing damaged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from robot_lfd.cli import COMMANDS, call

LFD = [sys.executable, "-m", "robot_lfd.cli"]


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_has_help_with_an_example(words: str, capsys):
    with pytest.raises(SystemExit) as stop:
        call([*words.split(), "--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0 and f"lfd {words}" in text and "Example:" in text and "--json" in text


def test_usage_errors_exit_with_2_and_say_so():
    for words in (["fly"], [], ["data", "fly"], ["record"], ["train", "--demos", "x", "--out", "y", "--algo", "magic"]):
        done = subprocess.run([*LFD, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 2 and "Traceback" not in done.stderr and done.stderr, words


@pytest.mark.parametrize(
    "words,message",
    [
        (["record", "--env", "pybullet/Lft-v0", "--device", "scripted", "--out", "OUT"], "pybullet/Lift-v0"),
        (["record", "--env", "pybullet/Lift-v0", "--out", "OUT"], "neither DISPLAY nor WAYLAND_DISPLAY"),
        (
            ["record", "--env", "pybullet/Lift-v0", "--device", "gamepad", "--out", "OUT", "--window", "False"],
            "gamepad",
        ),
        (["replay", "NONE"], "no such dataset"),
        (["review", "NONE", "--export", "OUT"], "no such dataset"),
        (["data", "info", "NONE"], "no such dataset"),
        (["data", "import", "NONE", "--out", "OUT"], "NONE"),
        (["eval", "NONE"], "no such run"),
        (["deploy", "NONE", "--headless"], "no such run"),
    ],
)
def test_bad_input_is_one_plain_line_and_exit_code_1(words: list[str], message: str, tmp_path: Path, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
    filled = [{"OUT": str(tmp_path / "out"), "NONE": str(tmp_path / "NONE")}.get(w, w) for w in words]
    done = subprocess.run([*LFD, *filled], capture_output=True, text=True, check=False)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 1 and len(lines) == 1 and message in lines[0], done.stderr
    assert not (tmp_path / "out").exists()


def test_a_dataset_of_another_environment_is_left_alone(tmp_path: Path, capfd):
    out = str(tmp_path / "demos")
    assert call(["record", "--env", "pybullet/Reach-v0", "--device", "scripted", "--out", out, "--episodes", "1"]) == 0
    before = sorted(p.name for p in (tmp_path / "demos").rglob("*"))
    capfd.readouterr()
    assert call(["record", "--env", "pybullet/Lift-v0", "--device", "scripted", "--out", out, "--episodes", "1"]) == 1
    assert "holds demos of pybullet/Reach-v0" in capfd.readouterr().err
    assert sorted(p.name for p in (tmp_path / "demos").rglob("*")) == before


def test_an_empty_dataset_cannot_be_trained_on(tmp_path: Path, capfd):
    from robot_lfd.demos.spec import make_spec
    from robot_lfd.demos.store import DemoStore
    from robot_lfd.envs.registry import make_env

    DemoStore.create(tmp_path / "empty", make_spec("pybullet/Reach-v0", make_env("pybullet/Reach-v0"), {}))
    assert call(["train", "--demos", str(tmp_path / "empty"), "--out", str(tmp_path / "run")]) == 1
    assert "expected at least one; record some first" in capfd.readouterr().err
    assert not (tmp_path / "run").exists()
