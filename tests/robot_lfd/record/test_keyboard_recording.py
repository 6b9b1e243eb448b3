"""`lfd record --device keyboard` from outside: a real window on a real X server, real key presses."""

import signal

import numpy as np
import pytest

from robot_lfd.demos.store import DemoStore
from tests.robot_lfd.record.conftest import replays_exactly


@pytest.mark.parametrize("env", ["pybullet/Reach-v0", pytest.param("robosuite/Lift-v0", marks=pytest.mark.slow)])
def test_a_whole_session_by_key_presses_keep_undo_label_and_quit_and_every_demo_replays_exactly(record, env):
    session = record("--episodes", "3", "--operator", "xdo", env=env)
    session.wait_ready()
    session.keys("key", "Return")
    session.drive(60, "s", "e")
    session.keys("key", "z")  # back by two seconds
    session.wait(lambda: session.attempts() == 2, "the undo")
    undone = session.rest()
    session.keys("key", "Return")  # go on
    session.drive(15, "d")
    session.keys("key", "y", "key", "Return")  # mark as success, keep
    session.wait(lambda: len(session.kept()) == 1, "the first demo")
    session.wait_ready(3)
    session.keys("key", "Return")
    session.drive(15, "a", "q")
    session.keys("key", "BackSpace")  # discard
    session.wait_ready(4)
    session.keys("key", "Return")
    session.drive(20, "w")
    session.keys("key", "n", "key", "Return")  # a failure is kept with its label
    session.wait(lambda: len(session.kept()) == 2, "the second demo")
    session.wait_ready(5)
    session.keys("key", "Escape")
    result = session.result()

    store = DemoStore.open(session.folder)
    first, second = (store[i] for i in store.ids())
    assert result["episodes"] == 2 and result["seeds"] == [0, 2] and result["discarded_seeds"] == [1]
    assert (first.success, second.success) == (True, False) and not first.terminated
    assert len(first) >= undone + 15 and np.abs(first.action[undone + 8, 1]) > 0  # d was held after the undo
    assert first.meta["operator"] == "xdo" and first.meta["device"] == "keyboard"
    assert first.meta["verdict"]["replays"] is True
    assert all(replays_exactly(store, i) for i in store.ids())


def test_a_held_key_is_a_constant_speed_whatever_the_systems_key_repeat(record):
    session = record("--episodes", "1")
    session.wait_ready()
    session.keys("key", "Return")
    session.drive(40, "a")
    session.keys("key", "Return")
    session.result()
    store = DemoStore.open(session.folder)
    sideways = store[store.ids()[0]].action[:, 1]
    full = sideways[np.abs(sideways) > 0.99 * np.abs(sideways).max()]
    assert len(full) >= 30 and len(set(full.tolist())) == 1  # one value only: no gaps between repeats
    assert abs(float(full[0])) * 0.025 * 20 == np.float32(0.2)  # metres a second


def test_kill_9_in_mid_episode_loses_that_episode_at_most_and_the_next_session_offers_it_back(record):
    session = record("--episodes", "5")
    session.wait_ready()
    session.keys("key", "Return")
    session.drive(20, "s")
    session.keys("key", "Return")
    session.wait(lambda: len(session.kept()) == 1, "the first demo")
    session.wait_ready(2)
    session.keys("key", "Return")
    session.drive(30, "d")
    session.process.send_signal(signal.SIGKILL)
    session.process.wait()
    lost = session.steps()
    assert len(DemoStore.open(session.folder)) == 1 and lost >= 30

    again = record("--episodes", "1", folder=session.folder)
    again.wait(lambda: again.attempts() == 1 and again.steps() == lost, "the unfinished episode to be back")
    assert again.rest() == lost
    again.keys("key", "Return")  # go on where the crash came
    again.drive(10, "a")
    again.keys("key", "Return")
    assert again.result()["in_dataset"] == 2
    store = DemoStore.open(session.folder)
    back = store[store.ids()[1]]
    assert len(back) >= lost + 10 and back.meta["seed"] == 1
    assert all(replays_exactly(store, i) for i in store.ids())
    assert not list((session.folder / "journal").glob("*.jsonl"))
