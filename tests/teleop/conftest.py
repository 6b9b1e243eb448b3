import os

import pygame
import pytest


@pytest.fixture
def no_screen(monkeypatch):
    """pygame without a screen: SDL's dummy driver. SDL stays up from test to test, as in a real session."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("SDL_JOYSTICK_ALLOW_BACKGROUND_EVENTS", "1")
    pygame.display.init()
    yield os.environ["SDL_VIDEODRIVER"]
    _forget_events()


@pytest.fixture
def pad(no_screen):
    """Plugs virtual pads in, and takes those left in out again."""
    from teleop.gamepad import start_pads
    from tests.teleop.virtual_pad import VirtualPad

    start_pads()
    plugged = []

    def plug(**kwargs):
        plugged.append(VirtualPad(**kwargs))
        return plugged[-1]

    yield plug
    for one in plugged:
        one.unplug()
    _forget_events()


def _forget_events():
    if pygame.display.get_init():  # a window closed by the test has taken the events with it
        pygame.event.clear()
