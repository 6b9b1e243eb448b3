"""A recorder killed at any instant loses at most what its journal does not hold: nothing that was committed, ever."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from robot_lfd.demos.episode import Episode
from robot_lfd.demos.repair import repair
from robot_lfd.demos.spec import make_spec
from robot_lfd.demos.store import DemoStore
from robot_lfd.demos.tape import Tape
from robot_lfd.demos.verify import verify
from robot_lfd.envs.registry import make_env
from tests.robot_lfd.demos.conftest import drive, pendulum_env, pendulum_spec

STEPS = 40


def record_for_ever(path: Path, diary: Path, seed: int) -> None:
    """A recorder that says in its diary what it has done, once it is done."""
    fd = os.open(diary, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    env = pendulum_env()
    store = DemoStore.open_or_create(path, pendulum_spec(env))
    journal = store.journal(operator="ada")
    steps = 0

    def step(action: np.ndarray) -> None:
        nonlocal steps
        journal.step(action)
        steps += 1
        os.write(fd, f"stepped {seed} {steps}\n".encode())

    tape = Tape(env, on_reset=journal.begin, on_step=step)
    while True:
        steps = 0
        episode_id = store.append(drive(tape, seed, STEPS))
        journal.end()
        os.write(fd, f"committed {seed} {episode_id}\n".encode())
        store.label(episode_id, note=f"note {seed}")
        os.write(fd, f"labelled {seed} {episode_id}\n".encode())
        seed += 1


def kill_after(delay_s: float, path: Path, diary: Path, seed: int) -> None:
    """Starts a recorder in a process of its own and kills it, as nothing but SIGKILL or a power cut can."""
    pid = os.fork()
    if pid == 0:
        try:
            record_for_ever(path, diary, seed)
        finally:
            os._exit(1)
    deadline = time.monotonic() + 60
    while not diary.exists() and time.monotonic() < deadline:
        time.sleep(0.0005)
    time.sleep(delay_s)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), "the recorder failed by itself"


def is_prefix(part: Episode, whole: Episode) -> bool:
    """Returns whether `part` is the beginning of `whole`, bit for bit (its clock times aside)."""
    ours, theirs = part.arrays(), whole.arrays()
    return all(a.tobytes() == theirs[k][: len(a)].tobytes() for k, a in ours.items() if k != "time")


def crash_many_times(tmp_path: Path, instants: int) -> dict[str, int]:
    """Kills a recorder again and again, repairs, checks; returns what happened how often."""
    rng = np.random.default_rng(7)
    path, tape = tmp_path / "demos", Tape(pendulum_env())
    seen = {"rebuilt": 0, "published": 0, "cleared": 0, "committed": 0}
    checked: dict[str, str] = {}
    for run in range(instants):
        diary, first_seed = tmp_path / f"diary-{run}", run * 1000
        kill_after(float(rng.uniform(0, 0.25)), path, diary, first_seed)
        if not (path / "episodes.zarr").exists():
            continue  # killed before there was a dataset
        store = DemoStore.open(path)
        assert all(store.attributes(i)["checksum"] == c for i, c in checked.items()), "a committed episode changed"
        done = repair(store)
        assert done.failed == [] and len(done.rebuilt) + len(done.published) <= 1
        said = [line.split() for line in diary.read_text().splitlines()]
        by_seed = {store.info(i).seed: i for i in store.ids() if i not in checked}
        assert len(by_seed) + len(checked) == len(store), "an attempt came out twice"
        for seed, episode_id in by_seed.items():
            episode, expected = store[episode_id], drive(tape, seed, STEPS)
            assert is_prefix(episode, expected), f"episode {episode_id} differs from what was recorded"
            assert episode.meta["operator"] == "ada"
            checked[episode_id] = store.attributes(episode_id)["checksum"]
        for what, seed, value in said:
            if what == "committed":
                assert by_seed[int(seed)] == value and len(store[value]) == STEPS
            if what == "labelled":
                assert store.info(value).note == f"note {seed}"
            if what == "stepped" and int(value) > 1:  # the action is in the journal before the step is done
                assert len(store[by_seed[int(seed)]]) >= int(value)
        seen["committed"] += sum(w == "committed" for w, *_ in said)
        for key in ("rebuilt", "published"):
            seen[key] += len(getattr(done, key))
        seen["cleared"] += done.cleared
    findings = verify(DemoStore.open(path), replay=True)
    assert findings.problems == [] and findings.notes == []
    assert repair(DemoStore.open(path)).rebuilt == []
    assert list((path / "journal").iterdir()) == [] and list((path / "staging").iterdir()) == []
    return seen


def test_a_recorder_killed_at_any_instant_loses_no_committed_episode(tmp_path: Path):
    seen = crash_many_times(tmp_path, 50)
    assert seen["rebuilt"] >= 3 and seen["committed"] >= 3, seen


@pytest.mark.slow
def test_hundreds_of_kills_lose_no_committed_episode(tmp_path: Path):
    seen = crash_many_times(tmp_path, 300)
    print(seen)
    assert seen["rebuilt"] >= 50, seen


@pytest.mark.parametrize(
    ("env_id", "options"),
    [
        ("pybullet/Lift-v0", {"cameras": ("front",), "size_px": 16}),
        ("robosuite/Lift-v0", {"terminate_on_success": False}),
    ],
)
def test_an_interrupted_arm_episode_is_rebuilt_bit_for_bit(tmp_path: Path, env_id: str, options: dict):
    env = make_env(env_id, **options)
    store = DemoStore.create(tmp_path / "demos", make_spec(env_id, env, options))
    journal = store.journal(device="keyboard")
    tape, rng = Tape(env, on_reset=journal.begin, on_step=journal.step), np.random.default_rng(0)
    tape.reset(seed=3)
    for _ in range(12):
        tape.step(rng.uniform(-1, 1, env.action_space.shape).astype(np.float32))
    expected = tape.episode()
    journal.close()  # with the attempt open: all that a dead process leaves
    env.close()
    done = repair(DemoStore.open(store.path))
    assert [(r["steps"], r["exact_start"]) for r in done.rebuilt] == [(12, True)]
    rebuilt = store[store.ids()[0]]
    assert is_prefix(rebuilt, expected) and len(rebuilt) == 12 and rebuilt.model == expected.model
    assert rebuilt.arrays().keys() == expected.arrays().keys() and rebuilt.meta["device"] == "keyboard"
    assert verify(store, replay=True).resimulated == 1


def test_undo_and_discard_are_respected_by_repair(tmp_path: Path):
    env = pendulum_env()
    store = DemoStore.create(tmp_path / "demos", pendulum_spec(env))
    journal = store.journal()
    tape = Tape(env, on_reset=journal.begin, on_step=journal.step)
    drive(tape, 1, 20)
    journal.end()  # discarded
    expected = drive(tape, 2, 20)
    tape.rewind(8)
    journal.close()
    done = repair(DemoStore.open(store.path))
    assert [r["steps"] for r in done.rebuilt] == [12]
    assert is_prefix(store[store.ids()[0]], expected) and len(store) == 1
    assert store[store.ids()[0]].truncated


def test_a_running_session_is_left_alone(tmp_path: Path):
    env = pendulum_env()
    store = DemoStore.create(tmp_path / "demos", pendulum_spec(env))
    with store.journal() as journal:
        drive(Tape(env, on_reset=journal.begin, on_step=journal.step), 1, 5)
        assert repair(DemoStore.open(store.path)).rebuilt == [] and journal.path.exists()
        assert "recording right now" in verify(store).notes[0]
        journal.end()


def test_a_journal_that_cannot_be_played_is_kept_and_named(tmp_path: Path):
    store = DemoStore.create(tmp_path / "demos", pendulum_spec(pendulum_env()))
    journal = store.journal()
    drive(Tape(pendulum_env(), on_reset=journal.begin, on_step=journal.step), 1, 5)
    journal.close()
    data = journal.path.read_bytes()
    journal.path.write_bytes(data.replace(b'"t"', b'"x"', 1))
    assert "is damaged in line" in repair(store).failed[0] and journal.path.exists()
    journal.path.write_bytes(data)
    assert len(repair(store).rebuilt) == 1 and not journal.path.exists()
