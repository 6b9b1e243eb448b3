"""The action journal: what it holds after the process is gone."""

from __future__ import annotations

import numpy as np
import pytest

from robot_lfd.demos.journal import is_running, lost_attempts, open_attempt
from robot_lfd.demos.store import DemoStore
from robot_lfd.errors import LfdError
from tests.robot_lfd.demos.conftest import MODEL, made_up_episode

STATE = np.array([0.1, -2.5e-300, 3.0])


def test_an_open_attempt_is_read_back_exactly(store: DemoStore):
    journal = store.journal(operator="ada")
    actions = np.random.default_rng(0).uniform(-1, 1, (7, 4)).astype(np.float32)
    journal.begin(MODEL, STATE, 5)
    for action in actions:
        journal.step(action)
    attempt = open_attempt(journal.path)  # while the writer has closed nothing: as after its death
    assert attempt is not None
    assert np.array(attempt.actions, np.float32).tobytes() == actions.tobytes()
    assert attempt.sim_state.tobytes() == STATE.tobytes()
    assert (attempt.seed, attempt.meta, store.model(attempt.model)) == (5, {"operator": "ada"}, MODEL)
    assert attempt.seconds == sorted(attempt.seconds)
    journal.close()
    assert journal.path.exists()


def test_a_finished_session_leaves_nothing_behind(store: DemoStore):
    with store.journal() as journal:
        journal.begin("", STATE, None)
        journal.step(np.zeros(4, np.float32))
        journal.end()
        assert open_attempt(journal.path) is None
    assert not journal.path.exists()


def test_undo_begins_the_attempt_anew(store: DemoStore):
    with store.journal() as journal:
        for steps in (5, 2):
            journal.begin("", STATE, 1)
            for _ in range(steps):
                journal.step(np.zeros(4, np.float32))
        attempt = open_attempt(journal.path)
        assert attempt is not None and len(attempt.actions) == 2
        journal.end()


def test_a_torn_last_line_costs_one_step_and_a_damaged_one_is_refused(store: DemoStore):
    journal = store.journal()
    journal.begin("", STATE, 1)
    for _ in range(3):
        journal.step(np.zeros(4, np.float32))
    data = journal.path.read_bytes()
    journal.path.write_bytes(data[:-5])
    attempt = open_attempt(journal.path)
    assert attempt is not None and len(attempt.actions) == 2
    journal.path.write_bytes(data.replace(b'"t"', b'"x"', 1))
    with pytest.raises(LfdError, match="is damaged in line 3"):
        open_attempt(journal.path)
    journal.close()


def test_a_running_session_is_told_from_a_dead_one(store: DemoStore):
    journal = store.journal()
    assert is_running(journal.path)
    journal.begin("", STATE, 1)
    journal.close()
    assert not is_running(journal.path)


def test_an_episode_remembers_which_attempt_it_came_from(store: DemoStore):
    with store.journal() as journal:
        for _ in range(2):
            journal.begin("", STATE, 1)
            episode_id = store.append(made_up_episode())
            assert store.attributes(episode_id)["journal"] == f"{journal.session}/{journal.attempt}"
            journal.end()
        assert "journal" not in store.attributes(store.append(made_up_episode()))


def test_a_disk_that_fails_is_reported_at_the_next_step(store: DemoStore, monkeypatch: pytest.MonkeyPatch):
    journal = store.journal()
    journal.begin("", STATE, 1)

    def full(fd: int, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("robot_lfd.demos.journal.write_all", full)
    with pytest.raises(LfdError, match="journal cannot be written: No space left on device"):
        journal.step(np.zeros(4, np.float32))
    journal.close()


def test_lines_are_made_durable_every_second_without_being_asked(store: DemoStore, monkeypatch: pytest.MonkeyPatch):
    import os
    import threading

    synced = threading.Event()
    real = os.fsync
    monkeypatch.setattr("robot_lfd.demos.journal.os.fsync", lambda fd: (real(fd), synced.set()))
    from robot_lfd.demos.journal import Journal

    journal = Journal(store.path / "journal" / "x.jsonl", "x", store.keep_model, flush_s=0.01)
    assert synced.wait(5)
    journal.close()


def test_an_attempt_that_was_kept_stays_until_it_is_written_while_the_next_one_runs(store: DemoStore):
    journal = store.journal()
    what = {"success": True, "terminated": False, "truncated": False, "time": [[0.0, 0.0]], "meta": {"note": "good"}}
    numbers = []
    for seed in (1, 2):
        journal.begin("", STATE, seed)
        journal.step(np.zeros(4, np.float32))
        numbers.append(journal.keep(f"id-{seed}", what))
    journal.begin("", STATE, 3)
    journal.step(np.ones(4, np.float32))
    found = lost_attempts(journal.path)
    assert [(a.seed, a.kept and a.kept["id"]) for a in found] == [(1, "id-1"), (2, "id-2"), (3, None)]
    assert found[0].kept and found[0].kept["meta"] == {"note": "good"} and journal.reference == found[2].reference
    journal.end(numbers[0])
    assert [a.seed for a in lost_attempts(journal.path)] == [2, 3]
    journal.end()  # the running one is discarded
    assert [a.seed for a in lost_attempts(journal.path)] == [2] and open_attempt(journal.path) is None
    journal.close()
    assert journal.path.exists()  # the second one is still wanted
