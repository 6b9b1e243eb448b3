"""The SpaceMouse through pyspacemouse's own decoding; only the bytes that a real one sends over USB are made here."""

import builtins
import struct

import numpy as np
import pygame
import pytest

from teleop.device import Event, TeleopError
from teleop.keyboard import make_keyboard
from teleop.spacemouse import SpaceMouseDevice

pytest.importorskip("pyspacemouse", reason="an extra: pip install 'robot-lfd[spacemouse]'")
FULL = 350  # what a SpaceMouse sends at the end of an axis's way


class Cap:
    """A SpaceMouse Compact on the USB bus, as hidapi shows it."""

    vendor_id, product_id = 0x256F, 0xC635
    product_string, manufacturer_string, serial_number, release_number = "SpaceMouse Compact", "3Dconnexion", "1", 1

    def __init__(self, readable=True):
        self.readable, self.there, self.reports = readable, True, []

    def push(self, x=0, y=0, z=0):
        """x right, y towards the person, z down: the order of its own report."""
        self.reports.append(bytes([1]) + struct.pack("<3h", x, y, z))

    def turn(self, rx=0, ry=0, rz=0):
        self.reports.append(bytes([2]) + struct.pack("<3h", rx, ry, rz))

    def press(self, *buttons):
        self.reports.append(bytes([3, sum(1 << b for b in buttons), 0, 0, 0, 0, 0]))

    def open(self):
        from easyhid import HIDException

        if not self.readable:
            raise HIDException("Failed to open device")

    def set_nonblocking(self, on):
        assert on

    def read(self, size):
        from easyhid import HIDException

        if not self.there:
            raise HIDException("Failed to read from HID device: -1")
        return bytearray(self.reports.pop(0)) if self.reports else bytearray()

    def close(self): ...


@pytest.fixture
def bus(monkeypatch):
    """The USB bus: a list of what is plugged in."""
    plugged = []

    class Bus:
        def find(self):
            return list(plugged)

    monkeypatch.setattr("pyspacemouse.api.Enumeration", Bus)
    return plugged


@pytest.fixture
def cap(bus):
    bus.append(Cap())
    return bus[0]


@pytest.mark.parametrize(
    ("send", "axis", "sign"),
    [
        (lambda c: c.push(y=-FULL), 0, 1),  # pushed away
        (lambda c: c.push(x=-FULL), 1, 1),  # pushed to the left
        (lambda c: c.push(z=-FULL), 2, 1),  # pulled up
        (lambda c: c.turn(ry=-FULL), 3, 1),  # tilted to the right: its y axis points to the person
        (lambda c: c.turn(rx=-FULL), 4, 1),  # tilted away
        (lambda c: c.turn(rz=-FULL), 5, 1),  # turned to the left
        (lambda c: c.push(y=FULL), 0, -1),
    ],
)
def test_every_move_of_the_cap_drives_its_own_axis_and_no_other(cap, send, axis, sign):
    device = SpaceMouseDevice()
    send(cap)
    axes = device.read([]).axes
    assert axes[axis] == pytest.approx(sign) and np.count_nonzero(axes) == 1


def test_all_six_axes_move_at_once_and_stay_until_the_cap_says_otherwise(cap):
    device = SpaceMouseDevice()
    cap.push(200, -200, -200)
    cap.turn(200, 200, 200)
    first, second = device.read([]), device.read([])
    assert np.count_nonzero(first.axes) == 6 and np.array_equal(first.axes, second.axes)
    cap.push()
    cap.turn()
    assert not device.read([]).axes.any()


def test_only_the_newest_of_many_reports_counts(cap):
    device = SpaceMouseDevice()
    for value in (*range(0, -FULL, -20), -FULL):
        cap.push(y=value)
    assert device.read([]).axes[0] == pytest.approx(1.0) and not cap.reports


def test_near_its_centre_it_rests_and_beyond_it_is_finer_than_straight(cap):
    device = SpaceMouseDevice()
    cap.push(y=-20)
    assert not device.read([]).axes.any()
    cap.push(y=-FULL // 2)
    assert 0.1 < device.read([]).axes[0] < 0.35


def test_a_button_tapped_between_two_steps_is_heard_once(cap):
    device = SpaceMouseDevice()
    cap.press(1)
    cap.press()
    assert device.read([]).events == (Event.START,) and device.read([]).events == ()


def test_the_session_keys_of_the_keyboard_work_beside_it_and_are_shown(cap):
    device = SpaceMouseDevice(keyboard=make_keyboard())
    press = [pygame.event.Event(pygame.KEYDOWN, key=k) for k in (pygame.K_z, pygame.K_w)]
    command = device.read(press)
    assert command.events == (Event.UNDO,) and not command.axes.any()
    shown = {c.function: (c.input, c.beside) for c in device.controls()}
    assert shown["undo"] == ("z", True) and shown["forward"] == ("x+", False) and shown["start"] == ("button1", False)


def test_unplugged_it_stands_still_and_says_so_and_goes_on_when_it_is_back(cap, bus):
    now = [100.0]
    device = SpaceMouseDevice(clock=lambda: now[0])
    cap.push(y=-FULL)
    assert device.read([]).axes[0] > 0
    cap.there = False
    bus.clear()
    gone = device.read([])
    assert not gone.connected and not gone.axes.any() and "plug it in again" in device.title
    bus.append(Cap())
    now[0] += 2.0
    back = device.read([])
    assert back.connected and not back.axes.any()
    bus[0].push(x=-FULL)
    assert device.read([]).axes[1] == pytest.approx(1.0)


def test_without_one_it_says_what_to_do(bus):
    with pytest.raises(TeleopError, match="no SpaceMouse is plugged in; plug one in, or drive with --device keyboard"):
        SpaceMouseDevice()


def test_one_that_may_not_be_read_gets_the_rule_that_helps(bus):
    bus.append(Cap(readable=False))
    with pytest.raises(TeleopError, match=r"SpaceMouseCompact may not be read: .*99-spacemouse\.rules"):
        SpaceMouseDevice()


def test_without_the_systems_hidapi_it_says_how_to_get_it(monkeypatch):
    def missing():
        raise AttributeError("hid_enumerate")

    monkeypatch.setattr("pyspacemouse.api.Enumeration", missing)
    with pytest.raises(TeleopError, match="hidapi is missing: apt-get install libhidapi-hidraw0"):
        SpaceMouseDevice()


def test_without_the_library_it_names_the_extra(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == "pyspacemouse":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(TeleopError, match=r"pip install 'robot-lfd\[spacemouse\]'"):
        SpaceMouseDevice()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[drive]\nforward = "button0"\n', "'button0' is bound to both"),
        ('[drive]\nforward = "x"\n', "unknown key"),
        ("[curve]\nexpo = 3\n", "expo is 3, expected a number from 0 to 1.0"),
    ],
)
def test_wrong_bindings_get_one_plain_line(cap, tmp_path, text, says):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(TeleopError) as error:
        SpaceMouseDevice(file)
    assert says in str(error.value) and "\n" not in str(error.value)
