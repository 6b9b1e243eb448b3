import dataclasses

import numpy as np
import pygame
import pytest

from teleop.canvas import BACK
from teleop.device import Control
from teleop.hud import FULL, GAP, PROMPTS, SMALL, clock, layout_of
from teleop.keyboard import make_keyboard
from teleop.picture_view import KEPT_SCALED
from teleop.sounds import CUES, Sounds, waveform
from teleop.state_badge import STATE_COLOURS
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
        {"hold_s": 0.5, "held_s": 0.2},
        {"muted": True},
        {"saving": "saving 40%"},
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


@pytest.mark.parametrize(
    ("desktop", "layout"), [((800, 600), SMALL), ((1366, 768), FULL), ((2880, 1800), FULL), ((900, 1200), SMALL)]
)
def test_every_screen_gets_a_layout_that_can_be_read_on_it(desktop, layout):
    found, scale = layout_of(int(0.94 * desktop[0]), int(0.88 * desktop[1]))
    assert found is layout and 11.5 * scale > 9.0  # pixels of the words on the keys


BUSY = dict.fromkeys(("start", "keep", "discard", "undo", "pause", "success", "help", "quit", "note"), "does much now")


@pytest.mark.parametrize("size", [(752, 528), (1284, 675), (2707, 1584)])
def test_prompts_that_do_not_fit_are_left_out_and_never_cut(window, size):
    one = window(size)
    one.draw(dataclasses.replace(MODEL, does=BUSY))
    scale = layout_of(*size)[1]
    row = _pixels()[:, round(size[1] - PROMPTS / 2 * scale)]
    assert (row[: round(100 * scale)] != BACK).any()
    assert (row[-round(GAP * scale) + 1 :] == BACK).all()


# Machado, Oliveira, Fernandes 2009, "A physiologically-based model for simulation of color vision deficiency"
SIGHTS = {
    "protanopia": ((0.152, 1.053, -0.205), (0.115, 0.786, 0.099), (-0.004, -0.048, 1.052)),
    "deuteranopia": ((0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969)),
    "tritanopia": ((1.256, -0.077, -0.179), (-0.078, 0.931, 0.148), (0.005, 0.691, 0.304)),
}


@pytest.mark.parametrize("sight", SIGHTS)
def test_the_states_colours_stay_apart_for_the_colour_blind(sight):
    linear = {s: (np.array(fill) / 255.0) ** 2.2 @ np.array(SIGHTS[sight]).T for s, (fill, _) in STATE_COLOURS.items()}
    seen = {s: 255.0 * np.clip(rgb, 0.0, 1.0) ** (1 / 2.2) for s, rgb in linear.items()}
    pairs = [(a, b) for a in seen for b in seen if a < b]
    assert min(np.linalg.norm(seen[a] - seen[b]) for a, b in pairs) > 25.0


def _luminance(colour):
    shares = np.array(colour) / 255.0
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


@pytest.mark.parametrize("state", STATES)
def test_the_words_of_a_state_stand_out_from_its_colour(state):
    light, dark = sorted((_luminance(c) for c in STATE_COLOURS[state]), reverse=True)
    assert (light + 0.05) / (dark + 0.05) > 3.0  # WCAG 2.1 for large bold text


def test_a_picture_shown_for_many_ticks_is_scaled_once_and_a_new_one_at_once(window, monkeypatch):
    scaled, scale = [], pygame.transform.smoothscale
    monkeypatch.setattr(pygame.transform, "smoothscale", lambda *args: scaled.append(1) or scale(*args))
    one, new = window((1280, 800)), _picture(90)
    model = dataclasses.replace(MODEL, pictures={"front": new})
    for step in range(6):
        one.draw(dataclasses.replace(model, step=step))
    assert sum(scaled) <= 1 + KEPT_SCALED  # discs are scaled too, once each
    one.draw(dataclasses.replace(model, pictures={"front": _picture(31)}))
    assert (_pixels() == 31).all(axis=2).sum() > 10_000


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
