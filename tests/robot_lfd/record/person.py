"""A person with a pad who lives by the session's own clock: no test waits for real time, but for other processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator

import pygame

from robot_lfd.demos.store import DemoStore
from robot_lfd.rollout import Pace
from tests.teleop.virtual_pad import VirtualPad

Acts = Generator[None, None, None]
BUSY = 2_000  # ticks that no script reaches


class Person:
    """Does what `script` says, one yield per tick, while the session sleeps."""

    def __init__(self, script: Acts) -> None:
        self._script, self._now = script, 0.0
        self.ticks = 0

    def make_pace(self, control_hz: float) -> Pace:
        return Pace(control_hz, clock=lambda: self._now, sleep=self._sleep)

    def _sleep(self, seconds: float) -> None:
        self._now += seconds
        self.ticks += 1
        if self.ticks > BUSY:  # it waits for a process of its own, which wants the core
            time.sleep(0.005)
        assert self.ticks < BUSY + 20_000, "the session never came to its end"
        next(self._script, None)


def wait(ticks: int) -> Acts:
    for _ in range(ticks):
        yield


def tap(pad: VirtualPad, *buttons: str) -> Acts:
    for button in buttons:
        pad.button(button, True)
        yield from wait(2)
        pad.button(button, False)
        yield from wait(2)


def press(*keys: int) -> Acts:
    """Presses keys of the window one after the other, as pygame hears them."""
    for key in keys:
        for kind in (pygame.KEYDOWN, pygame.KEYUP):
            pygame.event.post(pygame.event.Event(kind, key=key))
        yield


def until(condition: Callable[[], bool]) -> Acts:
    while not condition():
        yield


def kept(folder, count: int) -> Callable[[], bool]:
    return lambda: len(DemoStore.open(folder)) >= count
