"""What is kept is judged at once, written beside the recording, and safe whatever dies meanwhile."""

import os
import signal
import threading
import time

import numpy as np
import pygame
import pytest

from robot_lfd import record
from robot_lfd.config import RecordConfig
from robot_lfd.demos.journal import lost_attempts
from robot_lfd.demos.store import DemoStore
from robot_lfd.demos.verify import verify
from robot_lfd.saving import SaveBeside, _Darkroom
from tests.robot_lfd.record.conftest import replays_exactly
from tests.robot_lfd.record.person import Person, kept, press, until, wait

CAMERAS = ("--cameras", "front", "--size-px", "160")


def _pictures(store, episode_id):
    """What the environment draws along the recorded actions."""
    episode, env = store[episode_id], store.spec.make_env()
    options = {"model": episode.model, "sim_state": episode.sim_state[0]}
    seen = [env.reset(seed=episode.meta["seed"], options=options)[0], *(env.step(a)[0] for a in episode.action)]
    env.close()
    return {k: np.array([o[k] for o in seen]) for k in episode.obs if k.startswith("images/")}


@pytest.mark.parametrize(
    ("env", "cameras"),
    [
        ("pybullet/Lift-v0", CAMERAS),
        pytest.param("robosuite/Lift-v0", ("--cameras", "agentview", "--size-px", "192"), marks=pytest.mark.slow),
    ],
)
def test_the_verdict_takes_less_than_two_seconds_and_the_next_episode_runs_while_the_last_is_filmed(
    record, env, cameras
):
    session = record("--episodes", "2", *cameras, env=env)
    session.wait_ready()
    session.keys("key", "Return")
    session.drive(60, "s")
    session.keys("key", "y", "key", "Return")
    pressed = time.monotonic()
    session.wait(lambda: session.attempts() == 2, "the next start")
    assert time.monotonic() - pressed < 3.0  # the verdict, and a new start
    written_late = len(session.kept()) == 0
    session.keys("key", "Return")
    session.drive(20, "a")
    session.keys("key", "Return")
    result = session.result()
    store = DemoStore.open(session.folder)
    assert written_late and result["verdict_s"] < 2.0 and result["in_dataset"] == 2 and result["in_journal"] == 0
    assert all(replays_exactly(store, i) and store[i].meta["verdict"]["replays"] is True for i in store.ids())
    assert store[store.ids()[0]].success
    assert not list((session.folder / "journal").glob("*.jsonl"))


@pytest.mark.slow
def test_kill_9_while_an_episode_is_filmed_loses_nothing_that_was_kept(record):
    session = record("--episodes", "5", *CAMERAS, env="pybullet/Lift-v0")
    session.wait_ready()
    session.keys("key", "Return")
    session.drive(40, "s")
    session.keys("key", "y", "key", "Return")
    session.wait(lambda: session.attempts() == 2, "the next start")
    session.keys("key", "Return")
    session.drive(12, "d")
    session.process.send_signal(signal.SIGKILL)
    session.process.wait()
    journal = next((session.folder / "journal").glob("*.jsonl"))
    first, second = lost_attempts(journal)
    assert session.kept() == [] and first.kept and first.kept["success"] and second.kept is None

    again = record("--episodes", "1", *CAMERAS, env="pybullet/Lift-v0", folder=session.folder)
    again.wait(lambda: again.attempts() == 1 and again.steps() == len(second.actions), "the unfinished one to be back")
    store = DemoStore.open(session.folder)
    assert store.ids() == [first.kept["id"]]  # written before the window opened
    episode = store[store.ids()[0]]
    assert episode.success and len(episode) == len(first.actions) and episode.meta["verdict"]["replays"] is True
    assert np.array_equal(episode.time, np.array(first.kept["time"])) and replays_exactly(store, store.ids()[0])
    for key, pictures in _pictures(store, store.ids()[0]).items():
        assert np.array_equal(pictures, episode.obs[key])
    again.keys("key", "BackSpace", "key", "Escape")


def _sit(folder, script, **changes):
    config = {"env": "pybullet/Reach-v0", "out": folder, "episodes": 1, **changes}
    return record.run(RecordConfig(**config), Person(script).make_pace)


def _one_episode(then):
    yield from wait(3)
    yield from press(pygame.K_RETURN)
    yield from wait(20)
    yield from press(pygame.K_RETURN)
    yield from then


def test_a_writing_process_that_is_killed_is_started_again_and_nothing_is_missing(no_screen, tmp_path, monkeypatch):
    folder, started = tmp_path / "demos", []
    start = SaveBeside._start

    def watched(self):
        start(self)
        started.append(self._process)

    monkeypatch.setattr(SaveBeside, "_start", watched)

    def then():
        os.kill(started[0].pid, signal.SIGKILL)
        yield from until(kept(folder, 1))

    result = _sit(folder, _one_episode(then()), cameras=("front",), size_px=64)
    assert len(started) == 2 and result["in_journal"] == 0
    assert verify(DemoStore.open(folder)).problems == []


def test_a_writing_process_that_cannot_live_leaves_the_episode_to_the_next_session(no_screen, tmp_path, monkeypatch):
    folder = tmp_path / "demos"
    start = SaveBeside._start

    def doomed(self):
        start(self)
        self._process.kill()

    with monkeypatch.context() as patch:
        patch.setattr(SaveBeside, "_start", doomed)
        result = _sit(folder, _one_episode(wait(100)))
    assert result["in_journal"] == 1 and len(DemoStore.open(folder)) == 0
    again = record.run(RecordConfig(env="pybullet/Reach-v0", out=folder, device="scripted", episodes=1))
    store = DemoStore.open(folder)
    assert again["in_dataset"] == 2 and store.ids()[0] == result["ids"][0]
    assert again["seeds"] == [1]  # the start of the rebuilt one counts as used
    assert not list((folder / "journal").glob("*.jsonl"))


def test_quitting_twice_leaves_what_is_not_written_to_the_journal(no_screen, tmp_path, monkeypatch):
    hung_up = threading.Event()

    def never(self, job):
        hung_up.wait(30)
        raise EOFError

    monkeypatch.setattr(SaveBeside, "_written", never)

    def then():
        yield from wait(10)
        yield from press(pygame.K_ESCAPE)
        yield from wait(3)
        yield from press(pygame.K_ESCAPE)
        hung_up.set()
        yield from wait(100)

    result = _sit(tmp_path / "demos", _one_episode(then()))
    assert result["episodes"] == 1 and result["in_journal"] == 1


def test_second_thoughts_reach_an_episode_that_is_not_written_yet(no_screen, tmp_path):
    folder = tmp_path / "demos"

    def then():
        yield from until(lambda: (folder / "journal").exists() and _keeps(folder) == 1)
        yield from wait(3)
        yield from press(pygame.K_y)
        yield from wait(2)
        yield from press(pygame.K_ESCAPE)
        yield from wait(400)

    _sit(folder, _one_episode(then()), cameras=("front",), size_px=128, episodes=2)
    store = DemoStore.open(folder)
    assert len(store) == 1 and store[store.ids()[0]].success


def _keeps(folder):
    return sum(path.read_text().count('"keep": {') for path in (folder / "journal").glob("*.jsonl"))


class Line:
    """A connection that nobody has hung up, and what was said on it."""

    def __init__(self):
        self.said = []

    def send_bytes(self, data):
        self.said.append(data.decode())

    def poll(self, timeout_s):
        return False


def test_a_full_disk_is_told_and_the_episode_is_written_once_there_is_space(tmp_path, monkeypatch):
    from robot_lfd.errors import LfdError

    config = RecordConfig(env="pybullet/Reach-v0", out=tmp_path / "demos", device="scripted", episodes=1)
    record.run(config)
    store, line = DemoStore.open(tmp_path / "demos"), Line()
    append, failures = DemoStore.append, [1, 1]

    def full_twice(self, episode, **kwargs):
        if failures:
            failures.pop()
            raise LfdError("the demo could not be saved: No space left on device; free some space and try again")
        return append(self, episode, **kwargs)

    monkeypatch.setattr(DemoStore, "append", full_twice)
    header = {"id": store.promise_id(), "reference": None}
    _Darkroom(line, store).append(store[store.ids()[0]], header)
    assert len(store) == 2 and len(line.said) == 2 and all("No space left" in s for s in line.said)
