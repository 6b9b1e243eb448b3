import json
import os

import pytest

from robot_lfd import pad as lfd_pad
from robot_lfd.cli import call
from robot_lfd.config import PadConfig
from robot_lfd.errors import LfdError
from teleop.calibration import load_centres
from teleop.gamepad import GamepadDevice
from tests.robot_lfd.record.person import Person, tap, wait


def test_every_stick_and_button_that_was_pushed_is_seen(pad):
    one = pad()

    def script():
        yield from wait(2)
        yield from tap(one, "a", "start")
        for value in (-1.0, 1.0, 0.0):
            one.axis("leftx", value)
            yield from wait(2)

    result = lfd_pad.run(PadConfig(seconds=1.0), Person(script()).make_pace)
    assert result["kind"] == "mapped" and set(result["seen"]) == {"a", "start", "leftx-", "leftx+"}
    assert {"righty+", "lefttrigger", "dpup"} <= set(result["inputs"])


def test_a_calibrated_stick_rests_from_then_on(pad):
    one = pad()
    one.axis("rightx", 0.25)
    result = lfd_pad.run(PadConfig(calibrate=True, seconds=3.0), Person(wait(500)).make_pace)
    assert result["centres"]["rightx"] == pytest.approx(0.25, abs=0.01)
    assert load_centres()[result["guid"]] == result["centres"]
    device = GamepadDevice(centres=load_centres())
    assert device.values()["rightx+"] == 0.0
    device.close()


def test_a_stick_that_is_moved_while_it_should_rest_is_not_calibrated(pad):
    one = pad()

    def script():
        yield from wait(10)
        one.axis("lefty", 0.5)
        yield from wait(500)

    with pytest.raises(LfdError, match=r"lefty moved by 0\.50"):
        lfd_pad.run(PadConfig(calibrate=True, seconds=3.0), Person(script()).make_pace)
    assert load_centres() == {}


def test_a_damaged_calibration_is_named(pad, tmp_path, capsys):
    pad()
    (tmp_path / "config" / "robot-lfd").mkdir(parents=True)
    (tmp_path / "config" / "robot-lfd" / "pads.json").write_text("{")
    assert call(["pad", "--seconds", "0.1"]) == 1
    error = capsys.readouterr().err
    assert "pads.json cannot be read" in error and "lfd pad --calibrate" in error and error.count("\n") == 1


def test_the_command_ends_with_json_and_without_a_pad_says_what_to_do(pad, capsys):
    assert call(["pad", "--seconds", "0.1"]) == 1
    assert "no gamepad is plugged in" in capsys.readouterr().err
    pad()
    assert call(["pad", "--seconds", "0.1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["title"] == "Virtual Controller"
    assert os.environ["SDL_VIDEODRIVER"] == "dummy"
