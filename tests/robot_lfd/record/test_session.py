"""What a session does with its episodes: kept, discarded, tried again, undone, resumed, refused."""

import json
import shutil
import subprocess
import sys
from collections import namedtuple

import numpy as np
import pygame
import pytest

from robot_lfd import record
from robot_lfd.cli import call
from robot_lfd.config import RecordConfig
from robot_lfd.demos.store import DemoStore
from robot_lfd.demos.tape import Tape
from robot_lfd.envs.registry import make_env
from robot_lfd.errors import LfdError
from tests.robot_lfd.record.conftest import replays_exactly
from tests.robot_lfd.record.person import Person, kept, until, wait


def _config(folder, **changes):
    return RecordConfig(**{"env": "pybullet/Reach-v0", "out": folder, "device": "scripted", "episodes": 2, **changes})


def _press(*keys):
    for key in keys:
        for kind in (pygame.KEYDOWN, pygame.KEYUP):
            pygame.event.post(pygame.event.Event(kind, key=key))
        yield


def _sit(folder, script, **changes):
    return record.run(_config(folder, device="keyboard", **changes), Person(script).make_pace)


def test_the_scripted_operator_records_without_a_screen_and_every_demo_replays_exactly(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
    folder = tmp_path / "demos"
    words = ["record", "--env", "pybullet/Reach-v0", "--device", "scripted", "--out", str(folder), "--episodes", "3"]
    assert call([*words, "--json"]) == 0
    result = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    store = DemoStore.open(folder)
    assert result["ids"] == store.ids() and result["episodes"] == 3 and result["success"] == 3
    assert result["seeds"] == [0, 1, 2] and result["steps"] == sum(len(store[i]) for i in store.ids())
    assert all(replays_exactly(store, i) for i in store.ids())
    assert store[store.ids()[0]].meta["device"] == "scripted"


def test_a_dataset_grows_with_the_next_unused_starts(tmp_path):
    folder = tmp_path / "demos"
    record.run(_config(folder, seeds=(1,), episodes=1))
    again = record.run(_config(folder, episodes=3))
    assert again["seeds"] == [0, 2, 3] and again["in_dataset"] == 4


def test_listed_seeds_are_taken_in_their_order_and_then_it_ends(tmp_path):
    result = record.run(_config(tmp_path / "demos", seeds=(7, 3), episodes=10))
    assert result["seeds"] == [7, 3]


class Idler:
    """Stands in for an operator who gets nowhere."""

    name = "scripted"

    def see(self, obs): ...

    def reset(self): ...

    def settings(self):
        return {}

    def read(self, events):
        from teleop.device import Command

        return Command()


def test_failures_are_kept_with_their_label_unless_they_are_not_wanted(tmp_path, monkeypatch):
    monkeypatch.setattr("teleop.scripted.make_scripted_operator", lambda env_id, seed: Idler())
    labelled = record.run(_config(tmp_path / "a", episodes=1))
    store = DemoStore.open(tmp_path / "a")
    assert labelled["success"] == 0 and not store[store.ids()[0]].success and store[store.ids()[0]].truncated
    none = record.run(_config(tmp_path / "b", episodes=1, keep_failures=False, seeds=(4, 5)))
    assert none["episodes"] == 0 and none["discarded_seeds"] == [4, 5]


def test_a_start_can_be_tried_again_and_quitting_in_mid_episode_has_to_be_said_twice(no_screen, tmp_path):
    folder = tmp_path / "demos"

    def script():
        yield from wait(3)
        yield from _press(pygame.K_RETURN)
        yield from wait(20)
        yield from _press(pygame.K_t)  # the same start again
        yield from wait(3)
        yield from _press(pygame.K_RETURN)
        yield from wait(20)
        yield from _press(pygame.K_RETURN)  # keep
        yield from until(kept(folder, 1))
        yield from wait(40)
        yield from _press(pygame.K_RETURN)
        yield from wait(20)
        yield from _press(pygame.K_ESCAPE)
        yield from wait(5)
        yield from _press(pygame.K_RETURN)  # go on after all
        yield from wait(5)
        yield from _press(pygame.K_ESCAPE, pygame.K_ESCAPE)
        yield from wait(100)

    result = _sit(folder, script())
    assert result["seeds"] == [0] and result["discarded_seeds"] == [1] and result["in_dataset"] == 1
    assert not list((folder / "journal").glob("*.jsonl"))


def test_a_save_that_fails_keeps_the_episode_until_it_can_be_saved(no_screen, tmp_path, monkeypatch):
    folder, append, failures = tmp_path / "demos", DemoStore.append, [1]

    def full_once(self, episode, **kwargs):
        if failures:
            failures.pop()
            raise LfdError("the demo could not be stored: No space left on device; free some space")
        return append(self, episode, **kwargs)

    monkeypatch.setattr(DemoStore, "append", full_once)

    def script():
        yield from wait(3)
        yield from _press(pygame.K_RETURN)
        yield from wait(20)
        yield from _press(pygame.K_RETURN)
        yield from until(lambda: not failures)
        yield from wait(40)
        yield from _press(pygame.K_RETURN)  # try again
        yield from until(kept(folder, 1))

    assert _sit(folder, script(), episodes=1)["episodes"] == 1


def test_a_key_pressed_twice_at_the_start_does_not_keep_an_empty_episode(no_screen, tmp_path):
    def script():
        yield from wait(3)
        yield from _press(pygame.K_RETURN, pygame.K_RETURN)
        yield from wait(20)
        yield from _press(pygame.K_RETURN)
        yield from until(kept(tmp_path / "demos", 1))

    assert _sit(tmp_path / "demos", script(), episodes=1)["steps"] > 15


@pytest.mark.parametrize(
    ("env", "points"),
    [
        ("pybullet/Lift-v0", 20),
        pytest.param("pybullet/Lift-v0", 200, marks=pytest.mark.slow),
        ("robosuite/Lift-v0", 5),
        pytest.param("robosuite/Lift-v0", 200, marks=pytest.mark.slow),
        pytest.param("robosuite/Door-v0", 40, marks=pytest.mark.slow),
    ],
)
def test_after_an_undo_the_state_is_the_one_of_that_step_bit_for_bit(env, points):
    rng = np.random.default_rng(5)
    tape = Tape(make_env(env))
    for seed in range(points // 5):
        tape.reset(seed=seed)
        steps = int(rng.integers(8, 30))
        for _ in range(steps):
            tape.step(rng.uniform(-1, 1, tape.action_space.shape).astype(np.float32))
        original = tape.episode()
        for left in sorted(rng.integers(1, steps, 5), reverse=True):
            obs = tape.rewind(len(tape) - left)
            now = tape.episode()
            assert np.array_equal(now.sim_state, original.sim_state[: left + 1])
            assert all(np.array_equal(obs[k], original.obs[k][left]) for k in obs)
    tape.close()


def test_a_crashed_session_is_named_with_the_command_that_gets_it_back(tmp_path, capsys):
    folder = tmp_path / "demos"
    record.run(_config(folder, episodes=1))
    killed = (
        "import os, numpy as np\n"
        "from robot_lfd.demos.store import DemoStore\n"
        "from robot_lfd.demos.tape import Tape\n"
        f"store = DemoStore.open({str(folder)!r})\n"
        "journal = store.journal(operator='', device='keyboard')\n"
        "tape = Tape(store.spec.make_env(), on_reset=journal.begin, on_step=journal.step)\n"
        "tape.reset(seed=1)\n"
        "for _ in range(12): tape.step(np.zeros(4, np.float32))\n"
        "os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", killed], check=False).returncode == 9
    record.run(_config(folder, episodes=1))
    said = capsys.readouterr().err
    assert f"lfd data repair {folder}" in said and "(12 steps)" in said
    assert len(list((folder / "journal").glob("*.jsonl"))) == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--env", "pybullet/Lfit-v0"], "near matches: pybullet/Lift-v0"),
        (["--env", "robosuite/Door-v0"], "it knows: pybullet/Reach-v0"),
        (["--env", "CartPole-v1"], "expected a Box"),
        (["--env", "pybullet/Reach-v0", "--episodes", "0"], "--episodes is 0"),
        (["--env", "pybullet/Reach-v0", "--env-kwargs", "control"], "expected KEY=VALUE"),
        (["--env", "pybullet/Reach-v0", "--control-hz", "17"], "control_hz is 17"),
        (["--env", "pybullet/Reach-v0", "--hold-s", "-1"], "--hold-s is -1.0, expected at least 0"),
        (["--env", "pybullet/Reach-v0", "--countdown-s", "-3"], "--countdown-s is -3.0"),
        (["--env", "pybullet/Reach-v0", "--view-px", "0"], "--view-px is 0, expected at least 32"),
    ],
)
def test_bad_input_gets_one_plain_line_and_makes_no_dataset(tmp_path, capsys, options, says):
    code = call(["record", "--device", "scripted", "--out", str(tmp_path / "demos"), *options])
    error = capsys.readouterr().err
    assert code == 1 and says in error and error.count("\n") == 1 and not (tmp_path / "demos").exists()


def test_a_dataset_of_another_environment_is_refused_and_left_alone(tmp_path, capsys):
    folder = tmp_path / "demos"
    record.run(_config(folder, episodes=1))
    code = call(["record", "--env", "pybullet/Push-v0", "--device", "scripted", "--out", str(folder)])
    assert code == 1 and "holds demos of pybullet/Reach-v0" in capsys.readouterr().err
    assert len(DemoStore.open(folder)) == 1


@pytest.mark.parametrize("display", [None, ":4711"])
def test_without_a_display_it_says_what_to_do(tmp_path, monkeypatch, capsys, display):
    monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", display) if display else monkeypatch.delenv("DISPLAY", raising=False)
    pygame.display.quit()
    code = call(["record", "--env", "pybullet/Reach-v0", "--out", str(tmp_path / "demos")])
    error = capsys.readouterr().err
    assert code == 1 and "no window can be opened" in error and "xvfb-run" in error and "--device scripted" in error
    assert not (tmp_path / "demos").exists()


def test_a_full_disk_is_found_before_anything_begins(tmp_path, monkeypatch, capsys):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 12_000_000))
    code = call(["record", "--env", "pybullet/Reach-v0", "--device", "scripted", "--out", str(tmp_path / "demos")])
    assert code == 1 and "disk full: 12 MB free" in capsys.readouterr().err


def _write(text):
    for letter in text:
        pygame.event.post(pygame.event.Event(pygame.TEXTINPUT, text=letter))
        yield


def test_notes_marks_and_second_thoughts_reach_the_dataset(no_screen, tmp_path):
    folder = tmp_path / "demos"

    def one_demo(count):
        yield from _press(pygame.K_RETURN)
        yield from wait(40)  # a countdown of a second, then a second of driving
        yield from _press(pygame.K_c)
        yield from _write(f"demo {count}")
        yield from _press(pygame.K_RETURN)  # ends the note, and waits in PAUSED
        yield from wait(3)
        yield from _press(pygame.K_p)
        yield from wait(20)
        yield from _press(pygame.K_RETURN)
        yield from until(kept(folder, count))
        yield from wait(40)

    def script():
        yield from wait(3)
        yield from one_demo(1)
        yield from _press(pygame.K_y)  # on second thoughts, it was a success
        yield from one_demo(2)
        yield from _press(pygame.K_z)  # on second thoughts, away with it
        yield from wait(5)
        yield from _press(pygame.K_ESCAPE)
        yield from wait(50)

    result = _sit(folder, script(), episodes=5, countdown_s=1.0)
    store = DemoStore.open(folder)
    assert result["episodes"] == 1 and len(store) == 1 and len(store.ids(deleted=True)) == 2
    episode = store[store.ids()[0]]
    assert episode.success and episode.meta["note"] == "demo 1" and replays_exactly(store, store.ids()[0])


def test_help_changes_the_window_alone_and_muted_nothing_is_heard(no_screen, tmp_path, seen, monkeypatch):
    def script():
        yield from wait(3)
        yield from _press(pygame.K_h, pygame.K_m)
        yield from wait(3)
        assert seen[-1].help and seen[-1].muted and seen[-1].state == "READY"
        yield from _press(pygame.K_RETURN)
        yield from wait(20)
        yield from _press(pygame.K_m)
        yield from wait(3)
        yield from _press(pygame.K_x)
        yield from wait(3)
        assert not seen[-1].muted and seen[-1].state == "PAUSED" and seen[-1].message.startswith("emergency stop")
        yield from _press(pygame.K_z, pygame.K_ESCAPE, pygame.K_ESCAPE)
        yield from wait(50)

    heard = []
    monkeypatch.setattr("teleop.sounds.Sounds.play", lambda self, name: heard.append(name))
    _sit(tmp_path / "demos", script())
    assert heard == ["trouble", "undo", "discard"]  # the start was not


def test_a_persons_own_keys_locks_clutch_slow_key_and_frames_reach_the_actions(no_screen, tmp_path, seen):
    folder, at = tmp_path / "demos", {}
    mine = tmp_path / "mine.toml"
    mine.write_text('[drive]\nforward = "up"\nclutch = "f2"\n[session]\nstart = "f5"\n')

    def hold(*keys, name):
        for kind, order in ((pygame.KEYDOWN, keys), (pygame.KEYUP, keys[::-1])):
            for key in order:
                pygame.event.post(pygame.event.Event(kind, key=key))
            yield from wait(8)
            at[name] = at.get(name, seen[-1].step)

    def script():
        yield from wait(3)
        yield from _press(pygame.K_RETURN)  # no longer bound
        yield from wait(3)
        assert seen[-1].state == "READY"
        yield from _press(pygame.K_F5)
        yield from hold(pygame.K_UP, name="camera")
        yield from hold(pygame.K_LSHIFT, pygame.K_UP, name="slow")
        yield from hold(pygame.K_F2, pygame.K_UP, name="clutch")
        yield from _press(pygame.K_1)
        yield from hold(pygame.K_UP, name="locked")
        yield from _press(pygame.K_1, pygame.K_TAB)
        yield from hold(pygame.K_UP, name="world")
        yield from _press(pygame.K_TAB, pygame.K_MINUS)
        yield from hold(pygame.K_UP, name="slower")
        yield from _press(pygame.K_F5)
        yield from until(kept(folder, 1))

    _sit(folder, script(), episodes=1, bindings=mine, env_kwargs=("terminate_on_success=false",))
    store = DemoStore.open(folder)
    episode = store[store.ids()[0]]
    assert replays_exactly(store, store.ids()[0])
    speed = {name: round(float(episode.action[step - 1, 0]) * 0.025 * 20, 4) for name, step in at.items()}
    # the camera in front looks at the robot: away from it is the world's -x
    assert speed == {"camera": -0.2, "slow": -0.05, "clutch": 0.0, "locked": 0.0, "world": 0.2, "slower": -0.12}
    assert episode.meta["device_settings"]["bindings"]["up"] == "forward"
