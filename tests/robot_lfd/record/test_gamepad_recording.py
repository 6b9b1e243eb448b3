"""`lfd record --device gamepad` with an SDL virtual pad: plugged, pushed, unplugged and plugged in again."""

import numpy as np
import pytest

from robot_lfd import record
from robot_lfd.config import RecordConfig
from robot_lfd.demos.store import DemoStore
from robot_lfd.envs.contract import arm_of
from robot_lfd.envs.registry import make_env
from robot_lfd.errors import LfdError
from tests.robot_lfd.record.conftest import replays_exactly
from tests.robot_lfd.record.person import Person, kept, tap, until, wait
from tests.teleop.virtual_pad import UNKNOWN

ROBOSUITE = pytest.param("robosuite/Lift-v0", marks=pytest.mark.slow)


@pytest.mark.parametrize("env", ["pybullet/Push-v0", ROBOSUITE])
def test_unplugged_in_mid_episode_it_pauses_goes_on_when_back_and_the_demo_replays_exactly(pad, tmp_path, env):
    folder = tmp_path / "demos"
    first = pad()
    at = {}

    def script():
        yield from wait(5)
        yield from tap(first, "start")
        first.axis("lefty", 0.7)
        yield from wait(20)
        yield from tap(first, "a")
        first.unplug()
        at["unplugged"] = person.ticks
        yield from wait(40)
        second = pad()
        at["plugged"] = person.ticks
        yield from wait(5)
        second.axis("leftx", 1.0)
        second.axis("righty", -0.5)
        yield from wait(60)
        yield from tap(second, "b")  # undo
        yield from wait(5)
        yield from tap(second, "start")  # go on
        yield from wait(20)
        yield from tap(second, "y", "start")  # success, keep
        yield from until(kept(folder, 1))

    person = Person(script())
    config = RecordConfig(env=env, out=folder, device="gamepad", episodes=1, operator="pad")
    result = record.run(config, person.make_pace)

    store = DemoStore.open(folder)
    episode = store[store.ids()[0]]
    assert result["episodes"] == 1 and episode.success and not episode.terminated
    assert replays_exactly(store, store.ids()[0])
    assert episode.meta["device_settings"]["pad"] == "Virtual Controller"
    assert episode.meta["verdict"]["replays"] is True
    pauses = np.flatnonzero(np.diff(episode.time[:, 0]) > 1.5 / store.spec.control_hz)
    assert len(pauses) == 2  # while it was unplugged, and at the undo
    gap = np.diff(episode.time[:, 0])[pauses[0]]
    assert gap == pytest.approx((at["plugged"] - at["unplugged"]) / store.spec.control_hz, abs=0.5)
    assert np.abs(episode.action[-10:, :2]).max() > 0 and set(episode.action[:, -1].tolist()) - {0.0}


def test_a_pad_that_sdl_does_not_know_records_too(pad, tmp_path):
    folder = tmp_path / "demos"
    one = pad(kind=UNKNOWN, axes=4, buttons=8)

    def press(number):
        one.button(number, True)
        yield from wait(2)
        one.button(number, False)
        yield from wait(2)

    def script():
        yield from wait(5)
        yield from press(7)
        one.axis(1, -1.0)
        yield from wait(30)
        yield from press(7)
        yield from until(kept(folder, 1))

    config = RecordConfig(env="pybullet/Reach-v0", out=folder, device="gamepad", episodes=1)
    record.run(config, Person(script()).make_pace)
    store = DemoStore.open(folder)
    assert len(store) == 1 and replays_exactly(store, store.ids()[0])


def test_without_a_pad_it_says_so_before_anything_is_made(no_screen, tmp_path):
    config = RecordConfig(env="pybullet/Reach-v0", out=tmp_path / "demos", device="gamepad")
    with pytest.raises(LfdError, match="no gamepad is plugged in"):
        record.run(config)
    assert not (tmp_path / "demos").exists()


def test_the_keyboard_can_end_a_session_driven_by_a_pad(pad, tmp_path):
    import pygame

    pad()

    def script():
        yield from wait(5)
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_ESCAPE))
        yield from wait(100)

    config = RecordConfig(env="pybullet/Reach-v0", out=tmp_path / "demos", device="gamepad")
    assert record.run(config, Person(script()).make_pace)["episodes"] == 0


@pytest.mark.parametrize("env", ["pybullet/Push-v0", ROBOSUITE])
def test_pictures_are_those_of_every_instant_though_no_tick_waits_for_them(pad, tmp_path, env):
    folder = tmp_path / "demos"
    one = pad()

    def script():
        yield from wait(5)
        yield from tap(one, "start")
        one.axis("leftx", -1.0)
        yield from wait(12)
        yield from tap(one, "start")
        yield from until(kept(folder, 1))

    made = make_env(env)
    camera = arm_of(made).camera_names[0]
    made.close()
    config = RecordConfig(env=env, out=folder, device="gamepad", episodes=1, cameras=(camera,), size_px=48)
    record.run(config, Person(script()).make_pace)
    store = DemoStore.open(folder)
    episode = store[store.ids()[0]]
    live = store.spec.make_env()
    options = {"model": episode.model, "sim_state": episode.sim_state[0]}
    pictures = [live.reset(seed=episode.meta["seed"], options=options)[0][f"images/{camera}"]]
    pictures += [live.step(a)[0][f"images/{camera}"] for a in episode.action]
    live.close()
    assert np.array_equal(np.array(pictures), episode.obs[f"images/{camera}"]) and len(pictures) > 12
