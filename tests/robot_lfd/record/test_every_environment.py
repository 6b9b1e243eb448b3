"""The window's whole life with each environment of the project: drive, undo, play back, keep."""

import pygame
import pytest

from robot_lfd import record
from robot_lfd.config import RecordConfig
from robot_lfd.demos.store import DemoStore
from robot_lfd.envs.registry import PYBULLET_TASKS, ROBOSUITE_TASKS
from tests.robot_lfd.record.conftest import replays_exactly
from tests.robot_lfd.record.person import Person, kept, press, until, wait

ENVS = [f"pybullet/{task}-v0" for task in PYBULLET_TASKS] + [f"robosuite/{task}-v0" for task in ROBOSUITE_TASKS]


def _hold(key, ticks):
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key))
    yield from wait(ticks)
    pygame.event.post(pygame.event.Event(pygame.KEYUP, key=key))
    yield


@pytest.mark.slow
@pytest.mark.parametrize("env", ENVS)
def test_a_demo_is_driven_undone_played_back_and_kept_and_replays_exactly(no_screen, tmp_path, seen, env):
    folder = tmp_path / "demos"

    def script():
        yield from wait(3)
        yield from press(pygame.K_RETURN)
        yield from _hold(pygame.K_s, 20)
        yield from _hold(pygame.K_e, 30)
        yield from press(pygame.K_z)
        yield from wait(3)
        yield from press(pygame.K_RETURN)
        yield from _hold(pygame.K_a, 15)
        yield from press(pygame.K_p)
        yield from press(pygame.K_r)
        yield from wait(6)
        yield from press(pygame.K_RETURN, pygame.K_y, pygame.K_RETURN)
        yield from wait(12)
        yield from press(pygame.K_RETURN)
        yield from until(kept(folder, 1))

    record.run(RecordConfig(env=env, out=folder, episodes=1), Person(script()).make_pace)
    store = DemoStore.open(folder)
    episode = store[store.ids()[0]]
    assert len(episode) > 25 and episode.success and episode.meta["verdict"]["replays"] is True
    assert replays_exactly(store, store.ids()[0])
    assert {m.state for m in seen} >= {"READY", "REC", "PAUSED", "REPLAY", "SAVING"}
