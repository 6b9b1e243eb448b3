"""What the window says while a session goes on: playing back, holding a success, a machine that is too slow."""

import threading
from types import SimpleNamespace

import numpy as np
import pygame
import pytest

from robot_lfd import record
from robot_lfd.config import RecordConfig
from robot_lfd.demos.store import DemoStore
from robot_lfd.errors import LfdError
from robot_lfd.saving import SaveBeside
from robot_lfd.screen import Screen, _too_slow
from robot_lfd.session import Session
from tests.robot_lfd.record.conftest import replays_exactly
from tests.robot_lfd.record.person import Person, kept, press, tap, until, wait


def _sit(folder, script, **changes):
    config = {"env": "pybullet/Reach-v0", "out": folder, "episodes": 2, **changes}
    return record.run(RecordConfig(**config), Person(script).make_pace)


def test_the_last_episode_is_played_back_step_by_step_and_the_next_start_is_untouched(no_screen, tmp_path, seen):
    folder = tmp_path / "demos"

    def script():
        yield from wait(3)
        yield from press(pygame.K_RETURN)
        yield from wait(30)
        yield from press(pygame.K_RETURN)  # keep
        yield from until(kept(folder, 1))
        yield from wait(3)
        yield from press(pygame.K_r)
        yield from wait(80)
        yield from press(pygame.K_RETURN)  # the next episode
        yield from wait(20)
        yield from press(pygame.K_p, pygame.K_r)  # in a pause, what there is so far
        yield from wait(8)
        yield from press(pygame.K_RETURN)  # enough
        yield from wait(3)
        yield from press(pygame.K_RETURN)  # go on
        yield from wait(10)
        yield from press(pygame.K_RETURN)  # keep
        yield from until(kept(folder, 2))

    _sit(folder, script())
    store = DemoStore.open(folder)
    first, second = (store[i] for i in store.ids())
    played = [m for m in seen if m.state == "REPLAY"]
    whole = [m.step for m in played if "kept last" in m.message]
    assert sorted(set(whole)) == list(range(len(first) + 1)) and whole == sorted(whole)
    assert 2 < max(m.step for m in played if "so far" in m.message) < 12  # it was cut short
    assert {m.does.get("start") for m in played} == {"enough"}
    assert len(second) >= 28 and all(replays_exactly(store, i) for i in store.ids())
    assert second.meta["verdict"]["replays"] is True  # the mirror came back to the present


def test_a_pad_plays_the_last_episode_back_with_its_pause_button(pad, tmp_path, seen):
    folder, one = tmp_path / "demos", pad()

    def script():
        yield from wait(5)
        yield from tap(one, "start")
        yield from wait(20)
        yield from tap(one, "start")
        yield from until(kept(folder, 1))
        yield from tap(one, "x")
        yield from wait(60)
        yield from press(pygame.K_ESCAPE)
        yield from wait(50)

    _sit(folder, script(), device="gamepad")
    assert {m.state for m in seen} >= {"READY", "REC", "REPLAY"}


def test_an_episode_ends_once_its_task_has_stayed_solved_for_as_long_as_asked(tmp_path):
    steps = {}
    for hold_s in (None, 1.0):
        folder = tmp_path / str(hold_s)
        config = RecordConfig(env="pybullet/Reach-v0", out=folder, device="scripted", episodes=1, hold_s=hold_s)
        assert record.run(config)["success"] == 1
        store = DemoStore.open(folder)
        episode = store[store.ids()[0]]
        steps[hold_s] = len(episode)
        assert episode.terminated and not episode.truncated and replays_exactly(store, store.ids()[0])
    assert steps[1.0] == steps[None] + 19  # the last of them is the twentieth solved one


def test_how_long_a_success_has_been_held_is_shown(no_screen, tmp_path, seen):
    config = RecordConfig(
        env="pybullet/Reach-v0", out=tmp_path / "demos", device="scripted", episodes=2, hold_s=0.5, window=True
    )
    record.run(config, Person(wait(1)).make_pace)
    held = sorted({round(m.held_s, 2) for m in seen if m.state == "REC"})
    assert [m.held_s for m in seen if m.step == 0] == [0.0] * sum(m.step == 0 for m in seen)
    assert held[:3] == [0.0, 0.05, 0.1] and {m.hold_s for m in seen} == {0.5}


def test_while_the_last_ones_are_written_the_window_says_what_quitting_would_do(no_screen, tmp_path, seen, monkeypatch):
    released = threading.Event()
    written = SaveBeside._written

    def slowly(self, job):
        released.wait(30)
        return written(self, job)

    monkeypatch.setattr(SaveBeside, "_written", slowly)

    def script():
        yield from wait(3)
        yield from press(pygame.K_RETURN)
        yield from wait(20)
        yield from press(pygame.K_RETURN)
        yield from until(lambda: seen[-1].state == "SAVING" and "writing the last 1" in seen[-1].message)
        assert seen[-1].does["quit"] == "leave the rest for later" and seen[-1].episode == seen[-1].episodes == 1
        released.set()

    _sit(tmp_path / "demos", script(), episodes=1)
    assert len(DemoStore.open(tmp_path / "demos")) == 1


def test_keys_that_drive_are_shown_as_doing_something_only_while_they_do(no_screen, tmp_path, seen):
    def script():
        yield from wait(3)
        yield from press(pygame.K_RETURN)
        yield from wait(10)
        yield from press(pygame.K_p)
        yield from wait(3)
        yield from press(pygame.K_ESCAPE, pygame.K_ESCAPE)
        yield from wait(20)

    _sit(tmp_path / "demos", script())
    drives = {state: {"forward" in m.does for m in seen if m.state == state} for state in ("READY", "REC", "PAUSED")}
    assert drives == {"READY": {False}, "REC": {True}, "PAUSED": {False}}
    assert seen[0].pictures or seen[0].no_picture == "the first picture is on its way ..."


def test_a_hold_time_is_refused_where_the_session_cannot_end_the_episode(tmp_path):
    with pytest.raises(LfdError, match="--hold-s is for pybullet/ and robosuite/"):
        record.run(RecordConfig(env="Pendulum-v1", out=tmp_path / "demos", device="scripted", hold_s=1.0))


def _timed(late):
    due = np.arange(100) / 20.0
    times = [(d, d + (0.03 if i in late else 0.0)) for i, d in enumerate(due)]
    return SimpleNamespace(times=times, rules=SimpleNamespace(control_hz=20.0), late=Session.late.fget(_bare(times)))


def _bare(times):
    return SimpleNamespace(times=times, rules=SimpleNamespace(control_hz=20.0))


def test_a_machine_that_loses_the_rate_is_told_of_and_so_is_the_mark():
    assert _too_slow(_timed(set())) == "" and _too_slow(_timed({50, 60})) == ""
    told = _too_slow(_timed(set(range(40, 52))))
    assert "too slow: 12 of the last 100 ticks late" in told and "the episode is marked" in told


def test_pictures_become_rarer_before_a_tick_is_late(monkeypatch):
    now, drawn = [0.0], []

    def draw(model):
        drawn.append(now[0])
        now[0] += 0.12  # a drawing that takes more than two periods

    screen = Screen(SimpleNamespace(draw=draw), None, None, "", ())
    monkeypatch.setattr(Screen, "model", lambda self, session: None)
    monkeypatch.setattr("robot_lfd.screen.time", SimpleNamespace(perf_counter=lambda: now[0]))
    session = SimpleNamespace(muted=False, rules=SimpleNamespace(control_hz=20.0))
    for _ in range(200):
        screen.show(session)
        now[0] += 0.05
    assert 0.12 * len(drawn) / now[0] < 0.6 and max(np.diff(drawn)) < 0.5  # rarer, but never frozen
