"""Pictures of every state of the window, from a real session; LFD_SCREENSHOTS=docs/images puts them into the docs."""

import multiprocessing
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pygame
import pytest

from robot_lfd import pad as lfd_pad
from robot_lfd import record
from robot_lfd.config import PadConfig, RecordConfig
from teleop import hud
from teleop.bindings import DRIVE, load_table, make_bindings
from teleop.device import Command
from teleop.keyboard import KEYS, KeyboardDevice
from teleop.scripted import make_scripted_operator
from teleop.view import ViewModel
from tests.robot_lfd.record.person import Person, kept, tap, until, wait
from tests.teleop.test_spacemouse import Cap

pytestmark = pytest.mark.slow
WINDOW = (1280, 800)
PATIENCE_S = 6.0  # for the mirror to draw the newest instant, at full size


class GhostKeyboard(KeyboardDevice):
    """A keyboard whose driving keys are pressed by the scripted operator, as the camera in front sees it."""

    def __init__(self, env):
        table, source = load_table("keyboard")
        super().__init__(make_bindings(table, source, KEYS.__contains__))
        self._operator = make_scripted_operator(env, 3)
        self._keys = {f: k for k, f in self.bindings.functions.items()}
        self.moves = False

    def see(self, obs):
        self._operator.see(obs)

    def reset(self):
        super().reset()
        self._operator.reset()

    def read(self, events):
        person = super().read(events)
        if not self.moves:
            return person
        axes = self._operator.read(()).axes * np.array([-1, -1, 1, 1, 1, 1, 1], np.float32)
        held = {k for f, k in self._keys.items() if f in DRIVE and axes[DRIVE[f][0]] * DRIVE[f][1] > 0}
        slow = {self._keys["slow"]} if 0 < np.abs(axes[:3]).max() < 0.5 else set()
        self._held = held | slow
        return Command(axes, person.events)


@pytest.fixture(autouse=True)
def laptop(monkeypatch):
    """A window as on a laptop of 1280 x 800, and a dataset with a name that fits."""
    monkeypatch.setattr("teleop.window._fitting_size", lambda: WINDOW)


def _press(key):
    for kind in (pygame.KEYDOWN, pygame.KEYUP):
        pygame.event.post(pygame.event.Event(kind, key=key))
    yield


def _folder(tmp_path):
    folder = Path(os.environ.get("LFD_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


drawn: list[ViewModel] = []  # what the window has shown


@pytest.fixture(autouse=True)
def watched(monkeypatch, every_tick_is_drawn):
    draw = hud.draw
    monkeypatch.setattr("teleop.hud.draw", lambda surface, model: (drawn.append(model), draw(surface, model)))
    drawn[:] = [ViewModel()]


def _settle(patience_s):
    """Lets the other processes come to the present instant."""
    time.sleep(patience_s)
    yield from wait(2)


def _shot(folder, name, patience_s=PATIENCE_S):
    """Lets the mirror draw the present instant, then keeps what the window shows."""
    yield from _settle(patience_s)
    deadline = time.monotonic() + 60.0
    while not drawn[-1].pictures and time.monotonic() < deadline:
        yield from _settle(0.5)
    path = folder / f"record-{name}.png"
    pygame.image.save(pygame.display.get_surface(), str(path))
    assert path.stat().st_size < 300_000
    yield


@pytest.mark.parametrize("env", ["pybullet/Lift-v0"])
def test_every_state_of_the_window_has_its_picture(no_screen, tmp_path, monkeypatch, env):
    folder = _folder(tmp_path).absolute()
    monkeypatch.chdir(tmp_path)
    demos = Path("demos/lift")
    record.run(RecordConfig(env=env, out=demos, device="scripted", episodes=6))
    ghost = GhostKeyboard(env)
    monkeypatch.setattr(record, "make_device", lambda *args: ghost)

    def script():
        yield from wait(3)
        yield from _shot(folder, "ready")
        yield from _press(pygame.K_h)
        yield from wait(3)
        yield from _shot(folder, "help")
        yield from _press(pygame.K_h)
        yield from _press(pygame.K_RETURN)
        yield from wait(30)
        yield from _shot(folder, "countdown")
        yield from wait(40)
        ghost.moves = True
        yield from wait(32)
        yield from _shot(folder, "rec")
        for name, size in (("small", (752, 528)), ("laptop", (1284, 675)), ("hidpi", (2560, 1440))):
            pygame.display.set_mode(size)
            yield from wait(2)
            yield from _shot(folder, name, patience_s=1.0)
        pygame.display.set_mode(WINDOW)
        ghost.moves = False
        yield from _press(pygame.K_p)
        yield from wait(3)
        yield from _shot(folder, "paused")
        yield from _press(pygame.K_p)
        yield from wait(3)
        yield from _press(pygame.K_x)
        yield from wait(3)
        yield from _shot(folder, "stop")
        yield from _press(pygame.K_z)
        yield from wait(3)
        yield from _shot(folder, "undo")
        yield from _press(pygame.K_RETURN)
        ghost.moves = True
        yield from wait(140)
        ghost.moves = False
        yield from _shot(folder, "ended")
        yield from _press(pygame.K_c)
        yield from wait(3)
        for letter in "slow at the end":
            pygame.event.post(pygame.event.Event(pygame.TEXTINPUT, text=letter))
            yield
        yield from _shot(folder, "note")
        yield from _press(pygame.K_RETURN)
        yield from wait(3)
        yield from _press(pygame.K_RETURN)
        yield from until(kept(demos, 7))
        yield from wait(20)
        yield from _shot(folder, "verdict")
        yield from _press(pygame.K_r)
        yield from wait(60)
        yield from _press(pygame.K_p)  # holds the playback still
        yield from wait(2)
        yield from _shot(folder, "replay")
        yield from _press(pygame.K_RETURN)
        yield from wait(3)
        yield from _press(pygame.K_RETURN)
        yield from wait(80)  # the countdown, and more than a second of standing still
        yield from _settle(PATIENCE_S)
        disk = next(p.pid for p in multiprocessing.active_children() if p.name == "saver")
        os.kill(disk, signal.SIGSTOP)  # a disk that takes its time
        yield from _press(pygame.K_RETURN)
        yield from until(lambda: drawn[-1].state == "READY" and drawn[-1].kept == 2)
        yield from _press(pygame.K_ESCAPE)
        yield from wait(3)
        yield from _shot(folder, "saving")
        os.kill(disk, signal.SIGCONT)
        while not kept(demos, 8)():
            yield from _settle(0.2)

    config = RecordConfig(env=env, out=demos, episodes=10, operator="Ada", countdown_s=2.5, view_px=512, hold_s=0.5)
    result = record.run(config, Person(script()).make_pace)
    assert result["episodes"] == 2 and result["success"] == 1
    shown = {p.stem.removeprefix("record-") for p in folder.glob("record-*.png")}
    assert shown >= {
        "ready", "help", "countdown", "rec", "small", "laptop", "hidpi", "paused", "stop", "undo", "ended", "note",
        "verdict", "replay", "saving",
    }  # fmt: skip


def test_the_pad_has_its_picture(pad, tmp_path, monkeypatch):
    folder = _folder(tmp_path).absolute()
    monkeypatch.chdir(tmp_path)
    one = pad()

    def script():
        yield from wait(3)
        yield from tap(one, "start")
        one.axis("lefty", -0.6)
        one.axis("leftx", 0.4)
        one.axis("righty", 0.5)
        one.axis("lefttrigger", 0.9)
        yield from wait(25)
        yield from _shot(folder, "pad")
        one.unplug()
        yield from wait(5)
        yield from _shot(folder, "unplugged")
        for _ in range(2):
            yield from _press(pygame.K_ESCAPE)
            yield from wait(3)

    config = RecordConfig(
        env="pybullet/Lift-v0", out=Path("demos/lift"), device="gamepad", env_kwargs=("control=pose",), view_px=512
    )
    record.run(config, Person(script()).make_pace)


def test_the_spacemouse_has_its_picture(no_screen, tmp_path, monkeypatch):
    pytest.importorskip("pyspacemouse", reason="an extra: pip install 'robot-lfd[spacemouse]'")
    folder, cap = _folder(tmp_path).absolute(), Cap()
    monkeypatch.setattr("pyspacemouse.api.Enumeration", lambda: SimpleNamespace(find=lambda: [cap]))
    monkeypatch.chdir(tmp_path)

    def script():
        yield from wait(3)
        cap.press(1)
        cap.press()
        cap.push(x=-120, y=-300, z=80)
        cap.turn(rz=-250)
        yield from wait(25)
        yield from _shot(folder, "spacemouse")
        for _ in range(2):
            yield from _press(pygame.K_ESCAPE)
            yield from wait(3)

    config = RecordConfig(
        env="pybullet/Lift-v0", out=Path("demos/lift"), device="spacemouse", env_kwargs=("control=pose",), view_px=512
    )
    record.run(config, Person(script()).make_pace)


def test_the_pad_tester_has_its_picture(pad, tmp_path):
    one = pad()

    def script():
        yield from wait(3)
        yield from tap(one, "a", "b", "start", "leftshoulder")
        for axis, value in (("leftx", -1.0), ("leftx", 1.0), ("leftx", 0.1), ("righty", -0.6), ("lefttrigger", 0.8)):
            one.axis(axis, value)
            yield from wait(2)
        one.button("x", True)
        yield from wait(2)
        pygame.image.save(pygame.display.get_surface(), str(_folder(tmp_path) / "record-pad-tester.png"))
        yield

    lfd_pad.run(PadConfig(seconds=3.0), Person(script()).make_pace)
