from types import SimpleNamespace

import pygame
import pytest

from teleop.device import Event
from teleop.keyboard import make_keyboard


def _press(key):
    return SimpleNamespace(type=pygame.KEYDOWN, key=key)


def _release(key):
    return SimpleNamespace(type=pygame.KEYUP, key=key)


def test_a_key_held_goes_on_until_its_release():
    keyboard = make_keyboard()
    assert keyboard.read([_press(pygame.K_w)]).axes[0] == 1.0
    assert keyboard.read([]).axes[0] == 1.0
    assert keyboard.read([_release(pygame.K_w)]).axes[0] == 0.0


def test_the_systems_key_repeat_changes_nothing():
    keyboard = make_keyboard()
    first = keyboard.read([_press(pygame.K_z)])
    repeated = keyboard.read([_press(pygame.K_z)] * 5)
    assert first.events == (Event.UNDO,) and repeated.events == ()


def test_a_key_tapped_between_two_ticks_counts_for_one_tick():
    keyboard = make_keyboard()
    assert keyboard.read([_press(pygame.K_a), _release(pygame.K_a)]).axes[1] == 1.0
    assert keyboard.read([]).axes[1] == 0.0


def test_leaving_the_window_lets_go_of_every_key():
    keyboard = make_keyboard()
    keyboard.read([_press(pygame.K_w)])
    assert keyboard.read([SimpleNamespace(type=pygame.WINDOWFOCUSLOST)]).axes[0] == 0.0


def test_events_come_in_the_order_of_the_presses():
    command = make_keyboard().read([_press(pygame.K_y), _press(pygame.K_RETURN)])
    assert command.events == (Event.SUCCESS, Event.START)


def test_a_new_episode_forgets_held_keys():
    keyboard = make_keyboard()
    keyboard.read([_press(pygame.K_w)])
    keyboard.reset()
    assert keyboard.read([]).axes[0] == 0.0


def test_the_window_learns_which_keys_are_held_and_what_they_are_for():
    keyboard = make_keyboard()
    keyboard.read([_press(pygame.K_q)])
    held = {c.function for c in keyboard.controls() if c.value}
    assert held == {"down"}


@pytest.mark.parametrize("key", [pygame.K_F12, 0, 1 << 30 | 4000])
def test_keys_without_a_binding_or_a_name_are_ignored(key):
    command = make_keyboard().read([_press(key)])
    assert not command.axes.any() and command.events == ()
