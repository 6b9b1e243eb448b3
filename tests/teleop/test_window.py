import dataclasses

import numpy as np
import pygame
import pytest

from teleop.device import Control
from teleop.hud import clock
from teleop.keyboard import make_keyboard
from teleop.sounds import CUES, Sounds, waveform
from teleop.view import STATES, VerdictLine, ViewModel
from teleop.window import Window


@pytest.fixture
def window(no_screen):
    opened = []

    def open_window(size=(640, 400)):
        opened.append(Window("test", size))
        return opened[-1]

    yield open_window
    for one in opened:
        one.close()


def _pixels():
    return pygame.surfarray.array3d(pygame.display.get_surface()).copy()


def _picture(shade, size=32):
    return np.full((size, size, 3), shade, np.uint8)


MODEL = ViewModel(
    title="pybullet/Lift-v0",
    pictures={"front": _picture(120), "wrist": _picture(200)},
    controls=make_keyboard().controls(),
    does={"start": "start"},
    levels=5,
    frame="camera",
    frames=("camera", "world"),
    disk_gb=40.0,
)


def test_every_state_looks_different(window):
    one = window()
    seen = set()
    for state in STATES:
        one.draw(dataclasses.replace(MODEL, state=state, countdown_s=2.0))
        seen.add(_pixels().tobytes())
    assert len(seen) == len(STATES)


@pytest.mark.parametrize(
    "change",
    [
        {"success": True},
        {"step": 12},
        {"seconds": 65.4},
        {"message": "undone"},
        {"help": True},
        {"note": "a bit slow"},
        {"level": 3},
        {"frame": "world"},
        {"locked": frozenset({"x"})},
        {"gripper_width_m": 0.02},
        {"late": 3},
        {"jitter_ms": (0.1, 30.0, 2.0)},
        {"disk_gb": 1.0},
        {"verdict": (VerdictLine("rate", "20.00 Hz", "19.98 Hz", "good"), VerdictLine("idle", "60 %", "8 %", "bad"))},
        {"device": "gamepad", "controls": (Control("leftx-", "left", 0.7), Control("a", "grip", 1.0))},
        {"pictures": {}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_changes_is_seen(window, change):
    one = window()
    one.draw(MODEL)
    before = _pixels()
    one.draw(dataclasses.replace(MODEL, **change))
    assert (before != _pixels()).any()


def test_a_pressed_key_lights_up(window):
    one = window()
    one.draw(dataclasses.replace(MODEL, does={"forward": "forward"}))
    before = _pixels()
    pressed = tuple(dataclasses.replace(c, value=float(c.function == "forward")) for c in MODEL.controls)
    one.draw(dataclasses.replace(MODEL, does={"forward": "forward"}, controls=pressed))
    assert (before != _pixels()).any()


@pytest.mark.parametrize("size", [(640, 400), (1280, 800), (900, 1200), (3840, 2160), (320, 200)])
def test_it_draws_in_any_size_and_shows_the_picture_large(window, size):
    one = window(size)
    one.draw(MODEL)
    width, height = pygame.display.get_surface().get_size()
    assert (width, height) == size
    shown = (_pixels() == 120).all(axis=2).sum()
    assert shown > 0.15 * min(width, height) ** 2


def test_the_picture_fits_where_it_is_wider_than_high(window):
    one = window((1280, 800))
    one.draw(dataclasses.replace(MODEL, pictures={"view": np.full((40, 120, 3), 77, np.uint8)}))
    ys = np.flatnonzero((_pixels() == 77).all(axis=2).any(axis=0))
    xs = np.flatnonzero((_pixels() == 77).all(axis=2).any(axis=1))
    assert (xs[-1] - xs[0]) / (ys[-1] - ys[0]) == pytest.approx(3.0, rel=0.05)


def test_closing_the_window_is_noticed(window):
    one = window()
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    one.poll()
    assert one.closed


def _keys(*keys):
    for key in keys:
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key))


def _text(text):
    for letter in text:
        pygame.event.post(pygame.event.Event(pygame.TEXTINPUT, text=letter))


def test_while_a_note_is_written_its_keys_do_not_drive(window):
    one = window()
    one.write_note("")
    _text("slow!")
    _keys(pygame.K_w, pygame.K_BACKSPACE)
    assert [e for e in one.poll() if e.type in (pygame.KEYDOWN, pygame.TEXTINPUT)] == []
    assert one.note == "slow" and one.noted() is None
    _keys(pygame.K_RETURN)
    one.poll()
    assert one.noted() == "slow" and one.note is None
    _keys(pygame.K_w)
    assert [e.key for e in one.poll() if e.type == pygame.KEYDOWN] == [pygame.K_w]


def test_a_note_given_up_is_as_it_was(window):
    one = window()
    one.write_note("before")
    _text(" and after")
    _keys(pygame.K_ESCAPE)
    one.poll()
    assert one.noted() == "before"


@pytest.mark.parametrize(("seconds", "text"), [(0.0, "0:00.0"), (9.96, "0:09.9"), (65.3, "1:05.3"), (600.0, "10:00.0")])
def test_the_timer_shows_minutes_seconds_and_tenths(seconds, text):
    assert clock(seconds) == text


@pytest.mark.parametrize("name", CUES)
def test_cues_are_short_quiet_and_do_not_click(name):
    wave = waveform(name)
    assert wave.dtype == np.int16 and len(wave) < 0.5 * 44_100
    assert abs(int(wave[0])) < 50 and abs(int(wave[-1])) < 50 and np.abs(wave).max() < 10_000


def test_a_machine_without_sound_stays_silent(no_screen, monkeypatch):
    def no_device(*args):
        raise pygame.error("ALSA: Couldn't open audio device")

    monkeypatch.setattr(pygame.mixer, "init", no_device)
    sounds = Sounds()
    sounds.play("keep")
    sounds.close()
