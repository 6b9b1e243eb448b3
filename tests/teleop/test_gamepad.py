import math

import numpy as np
import pygame
import pytest

from teleop.device import Event, TeleopError
from teleop.gamepad import GamepadDevice
from teleop.keyboard import make_keyboard
from teleop.sticks import Curve, half_axes
from tests.teleop.virtual_pad import UNKNOWN


def _read(device):
    return device.read(pygame.event.get())


def test_without_a_pad_the_error_says_what_to_do(no_screen):
    with pytest.raises(TeleopError, match="no gamepad is plugged in; plug one in"):
        GamepadDevice()


def test_a_pad_that_sdl_knows_drives_by_its_mapping(pad):
    one = pad()
    device = GamepadDevice()
    _read(device)
    one.axis("lefty", -1.0)
    one.axis("rightx", 1.0)
    axes = _read(device).axes
    assert axes[0] == pytest.approx(1.0) and axes[5] == pytest.approx(-1.0) and axes[1] == 0.0


def test_a_button_tapped_between_two_ticks_is_not_lost(pad):
    one = pad()
    device = GamepadDevice()
    _read(device)
    one.button("b", True)
    pygame.event.pump()
    one.button("b", False)
    assert _read(device).events == (Event.UNDO,)
    assert _read(device).events == ()


def test_a_trigger_slows_down_while_it_is_held(pad):
    one = pad()
    device = GamepadDevice()
    _read(device)
    one.axis("lefty", -1.0)
    one.axis("lefttrigger", 1.0)
    assert _read(device).axes[0] == pytest.approx(0.25)


def test_a_pad_without_a_mapping_drives_by_its_numbers(pad):
    one = pad(kind=UNKNOWN, axes=4, buttons=8)
    device = GamepadDevice()
    _read(device)
    one.axis(1, -1.0)
    one.button(7, True)
    command = _read(device)
    assert command.axes[0] == pytest.approx(1.0) and command.events == (Event.START,)


def test_a_pad_with_too_few_axes_gets_one_plain_line(pad):
    pad(kind=UNKNOWN, axes=2, buttons=8)
    with pytest.raises(TeleopError) as error:
        GamepadDevice()
    text = str(error.value)
    assert "has 2 axes" in text and "lfd pad" in text and "--bindings" in text and "\n" not in text


def test_a_hat_can_be_bound_as_an_event(pad, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('[generic.session]\nfailure = "hat0up"\n')
    pad(kind=UNKNOWN, axes=4, buttons=8, hats=1)
    device = GamepadDevice(file)
    assert device.bindings.event_inputs(Event.FAILURE) == ("hat0up",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[mapped.session]\nkeep = "a"\n', "'a' is bound to both"),
        ('[mapped.session]\nkeep = "aa"\n', "unknown key"),
        ('[mapped.drive]\nforward = "lefty"\n', "near matches: lefty"),
        ("[curve]\ndeadzone = 1.5\n", "deadzone is 1.5, expected a number from 0 to 0.9"),
        ("[curve]\nexpo = true\n", "expo is True"),
    ],
)
def test_wrong_pad_bindings_get_one_plain_line(pad, tmp_path, text, says):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    pad()
    with pytest.raises(TeleopError) as error:
        GamepadDevice(file)
    assert says in str(error.value) and "mine.toml" in str(error.value)


def test_unplugged_it_stands_still_and_says_so_and_the_next_pad_goes_on(pad):
    one = pad()
    device = GamepadDevice()
    _read(device)
    one.axis("lefty", -1.0)
    assert _read(device).axes[0] > 0.9
    one.unplug()
    gone = _read(device)
    assert not gone.connected and not gone.axes.any()
    two = pad()
    assert _read(device).connected
    two.axis("lefty", 1.0)
    assert _read(device).axes[0] == pytest.approx(-1.0)


def test_session_keys_of_the_keyboard_work_beside_the_pad_but_do_not_drive(pad):
    pad()
    device = GamepadDevice(keyboard=make_keyboard())
    command = device.read(
        [pygame.event.Event(pygame.KEYDOWN, key=pygame.K_z), pygame.event.Event(pygame.KEYDOWN, key=pygame.K_w)]
    )
    assert command.events == (Event.UNDO,) and not command.axes.any()
    shown = {c.function: (c.input, c.beside) for c in device.controls()}
    assert shown["undo"] == ("b", False) and shown["note"] == ("c", True) and shown["forward"] == ("lefty-", False)


def test_a_pad_that_does_not_fit_the_bindings_ends_no_session_and_the_first_one_goes_on(pad):
    one = pad()
    device = GamepadDevice()
    _read(device)
    one.unplug()
    assert not _read(device).connected
    toy = pad(kind=UNKNOWN, axes=2, buttons=2)
    assert not _read(device).connected and "plug the first one in again" in device.refused
    toy.unplug()
    _read(device)
    pad()
    assert _read(device).connected and device.refused == ""


def test_a_pad_of_four_axes_that_sdl_knows_drives_with_what_it_has(pad):
    one = pad(axes=4, buttons=15)
    device = GamepadDevice()
    _read(device)
    one.axis("lefty", -1.0)
    one.axis("rightx", -1.0)
    command = _read(device)
    assert command.axes[0] == pytest.approx(1.0) and command.axes[5] == pytest.approx(1.0)


def test_a_drifting_stick_rests_where_it_was_calibrated(pad):
    one = pad()
    probe = GamepadDevice()
    one.axis("leftx", 0.3)
    _read(probe)
    guid = probe.settings()["guid"]
    assert probe.values()["leftx+"] > 0.0
    calm = GamepadDevice(centres={guid: {"leftx": 0.3}})
    assert calm.values()["leftx+"] == 0.0


def test_inside_the_deadzone_nothing_moves_and_outside_it_begins_from_zero():
    curve = Curve(deadzone=0.2, expo=0.0)
    assert curve.stick(0.19, 0.0) == (0.0, 0.0)
    assert curve.stick(0.21, 0.0)[0] == pytest.approx(0.0125)
    assert curve.stick(1.0, 0.0)[0] == pytest.approx(1.0)


def test_the_deadzone_is_round_and_keeps_the_direction():
    curve = Curve(deadzone=0.2, expo=0.5)
    x, y = curve.stick(0.3, 0.4)
    assert math.atan2(y, x) == pytest.approx(math.atan2(0.4, 0.3))
    assert curve.stick(0.15, 0.15)[0] > 0.0  # beyond the circle, though each axis lies within


def test_expo_is_finer_near_the_centre_and_reaches_full_speed():
    straight, bent = Curve(0.0, 0.0), Curve(0.0, 0.6)
    assert bent.stick(0.3, 0.0)[0] < 0.6 * straight.stick(0.3, 0.0)[0]
    assert bent.stick(1.0, 0.0)[0] == pytest.approx(1.0)


def test_a_stick_pushed_into_the_corner_is_no_longer_than_one():
    x, y = Curve().stick(1.0, 1.0)
    assert math.hypot(x, y) == pytest.approx(1.0)


def test_axes_that_are_no_stick_are_curved_by_themselves():
    values = half_axes({"axis0": 0.0, "axis1": 0.0, "axis4": -0.05}, (("axis0", "axis1"),), Curve(0.1, 0.0))
    assert values["axis4-"] == 0.0
    assert np.isclose(half_axes({"axis4": -1.0}, (), Curve())["axis4-"], 1.0)
