"""The store: all or nothing, readable by any zarr reader, plain words where something is wrong."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from robot_lfd import durable
from robot_lfd.demos.spec import make_spec
from robot_lfd.demos.store import DemoStore
from robot_lfd.envs.registry import make_env
from robot_lfd.errors import LfdError
from tests.robot_lfd.demos.conftest import MODEL, made_up_episode, made_up_spec, renamed, same


def test_an_episode_comes_back_as_it_was_appended(store: DemoStore):
    episode = made_up_episode(steps=9)
    episode_id = store.append(episode)
    assert same(DemoStore.open(store.path)[episode_id], episode)
    assert DemoStore.open(store.path).spec == store.spec


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), steps=st.integers(1, 9))
def test_any_finite_numbers_come_back_bit_for_bit(store: DemoStore, data: st.DataObject, steps: int):
    finite = st.floats(-(2.0**100), 2.0**100, width=32)
    eef_pos = data.draw(hnp.arrays(np.float32, (steps + 1, 3), elements=finite))
    state = data.draw(hnp.arrays(np.float64, (steps + 1, 5), elements=st.floats(allow_nan=False, allow_infinity=False)))
    image = data.draw(hnp.arrays(np.uint8, (steps + 1, 8, 8, 3)))
    episode = made_up_episode(steps=steps)
    episode = episode.replace(obs={**episode.obs, "eef_pos": eef_pos, "images/front": image}, sim_state=state)
    assert same(store[store.append(episode)], episode)


def test_ids_are_in_the_order_of_recording(store: DemoStore):
    appended = [store.append(made_up_episode(k)) for k in range(5)]
    assert store.ids() == appended == sorted(appended)
    assert [store[i].meta["seed"] for i in store] == [0, 1, 2, 3, 4]


def test_any_zarr_reader_opens_the_dataset_without_a_warning(store: DemoStore):
    episode = made_up_episode(steps=9)
    episode_id = store.append(episode)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        group = zarr.open_group(store.path / "episodes.zarr", mode="r")
        assert list(group.group_keys()) == [episode_id]
        names = {k for k, _ in group[episode_id].members(max_depth=None)}
    assert names == {*episode.arrays(), "obs", "images"}
    for path, array in episode.arrays().items():
        np.testing.assert_array_equal(group[episode_id][path][...], array)
    assert group.attrs["env_id"] == "made-up/Task-v0"
    assert group[episode_id].attrs["length"] == 9
    shards = group[episode_id]["images/front"]
    assert shards.chunks == (4, 8, 8, 3) and shards.shards == (12, 8, 8, 3)
    assert not (store.path / "episodes.zarr" / ".zmetadata").exists()


def test_an_array_of_zeros_is_written_so_that_its_loss_is_noticed(store: DemoStore):
    folder = store.path / "episodes.zarr" / store.append(made_up_episode())
    assert (folder / "reward" / "c.0").exists()


def test_a_model_is_stored_once(store: DemoStore):
    for k in range(3):
        store.append(made_up_episode(k))
    store.append(made_up_episode(3, model="plane and cube"))
    store.append(made_up_episode(4, model=""))
    models = sorted(p.suffix for p in (store.path / "models").iterdir())
    assert models == [".txt", ".xml"]
    assert [store[i].model for i in store] == [MODEL] * 3 + ["plane and cube", ""]


def test_labels_change_what_is_read_and_not_what_was_recorded(store: DemoStore):
    episode_id = store.append(made_up_episode(0, steps=8))
    store.label(episode_id, success=False, note="dropped it", tags=("hard",), split="valid")
    store.label(episode_id, trim=(0, 5))
    again = DemoStore.open(store.path)
    episode = again[episode_id]
    assert (len(episode), episode.success, episode.meta["note"], episode.meta["tags"]) == (
        5,
        False,
        "dropped it",
        ["hard"],
    )
    assert (again.info(episode_id).length, again.info(episode_id).split) == (5, "valid")
    assert again.attributes(episode_id)["success"] is True
    store.label(episode_id, trim=(0, 8), success=True, note="", tags=())
    assert same(again[episode_id], made_up_episode(0, steps=8), ignore=("recorded_at", "note", "tags", "split"))


def test_a_deletion_can_be_taken_back(store: DemoStore):
    first, second = store.append(made_up_episode(0)), store.append(made_up_episode(1))
    store.delete(first)
    assert store.ids() == [second] and store.ids(deleted=True) == [first, second] and len(store) == 1
    store.undelete(first)
    assert store.ids() == [first, second]


def test_a_torn_last_line_of_the_label_log_is_ignored_and_mended(store: DemoStore):
    episode_id = store.append(made_up_episode())
    store.label(episode_id, note="first")
    log = store.path / "labels.jsonl"
    log.write_bytes(log.read_bytes() + b'{"id": "' + episode_id.encode() + b'", "note": "to')
    again = DemoStore.open(store.path)
    assert again.info(episode_id).note == "first"
    again.label(episode_id, tags=("second",))
    assert (again.info(episode_id).note, again.info(episode_id).tags) == ("first", ("second",))
    assert len(log.read_bytes().splitlines()) == 2


def test_a_label_written_by_another_process_is_seen(store: DemoStore):
    episode_id = store.append(made_up_episode())
    assert store.info(episode_id).note == ""
    DemoStore.open(store.path).label(episode_id, note="from elsewhere")
    assert store.info(episode_id).note == "from elsewhere"


def test_threads_and_processes_append_at_once_and_nothing_is_lost(store: DemoStore):
    def work(seed: int) -> None:
        for k in range(4):
            store.append(made_up_episode(seed * 10 + k))

    context = multiprocessing.get_context("fork")
    workers = [threading.Thread(target=work, args=(n,)) for n in range(2)]
    workers += [context.Process(target=work, args=(n,)) for n in range(2, 4)]
    for worker in reversed(workers):  # processes first: a fork must not copy half a thread
        worker.start()
    for worker in workers:
        worker.join()
    seeds = sorted(store[i].meta["seed"] for i in store.ids())
    assert seeds == sorted(n * 10 + k for n in range(4) for k in range(4))
    assert list((store.path / "staging").iterdir()) == []


def test_two_recorders_may_create_one_dataset_at_once(tmp_path: Path):
    spec = made_up_spec()
    stores: list[DemoStore] = []
    threads = [
        threading.Thread(target=lambda: stores.append(DemoStore.open_or_create(tmp_path / "d", spec))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, each in enumerate(stores):
        each.append(made_up_episode(k))
    assert len(stores) == 8 and len(DemoStore.open(tmp_path / "d")) == 8


FULL = OSError(errno.ENOSPC, "No space left on device")
BROKEN = OSError(errno.EIO, "Input/output error")
STEPS_OF_AN_APPEND = ["write_all", "fsync", "rename", "mkdir", "open"]


@pytest.mark.parametrize("error", [FULL, BROKEN], ids=["full", "broken"])
@pytest.mark.parametrize("call", STEPS_OF_AN_APPEND)
def test_a_disk_that_fails_during_append_leaves_earlier_episodes_untouched(store, monkeypatch, call, error):
    kept = {i: made_up_episode(k) for k in range(2) for i in [store.append(made_up_episode(k))]}
    for after in (0, 1, 3, 10):
        fail_after(monkeypatch, call, after, error)
        try:
            with pytest.raises(LfdError, match=rf"could not be saved.*{error.strerror}.*earlier demos are untouched"):
                for k in range(12):  # so that the count is reached at last
                    kept[store.append(made_up_episode(10 + k))] = made_up_episode(10 + k)
        finally:
            monkeypatch.undo()
        assert store.ids() == sorted(kept)
        assert [p for p in (store.path / "staging").iterdir() if p.is_file()] == []
    assert all(same(DemoStore.open(store.path)[i], episode) for i, episode in kept.items())
    store.append(made_up_episode(5))


def fail_after(monkeypatch: pytest.MonkeyPatch, call: str, after: int, error: OSError) -> None:
    """Makes the n-th call of the write layer and all later ones fail as a full or broken disk does."""
    owner = durable if call == "write_all" else os
    real, count = getattr(owner, call), iter(range(10**9))

    def failing(*args, **kwargs):
        if call == "open" and not args[1] & os.O_CREAT:
            return real(*args, **kwargs)
        if next(count) < after:
            return real(*args, **kwargs)
        raise error

    monkeypatch.setattr(owner, call, failing)


def test_a_vanished_folder_gives_one_plain_line(store: DemoStore, tmp_path: Path):
    store.append(made_up_episode())
    os.rename(store.path, tmp_path / "elsewhere")
    with pytest.raises(LfdError, match="could not be saved"):
        store.append(made_up_episode(1))
    with pytest.raises(LfdError, match="cannot be read"):
        store.ids()
    assert len(DemoStore.open(tmp_path / "elsewhere")) == 1


@pytest.fixture
def tiny_disk(tmp_path: Path):
    """A real disk of 1 MB, where this machine lets us mount one."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("needs root and a machine that lets it mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_really_full_loses_nothing(tiny_disk: Path):
    spec = made_up_spec(size_px=32)
    store = DemoStore.create(tiny_disk / "demos", spec)
    kept = {}
    with pytest.raises(LfdError, match="No space left on device; free some space"):
        for k in range(100):
            kept[store.append(made_up_episode(k, size_px=32))] = k
    assert len(kept) > 3 and store.ids() == sorted(kept)
    assert all(same(store[i], made_up_episode(k, size_px=32)) for i, k in kept.items())
    assert list((tiny_disk / "demos" / "staging").glob("2*")) == []


def test_a_read_only_disk_gives_one_plain_line(tiny_disk: Path):
    store = DemoStore.create(tiny_disk / "demos", made_up_spec())
    episode_id = store.append(made_up_episode())
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    with pytest.raises(LfdError, match=r"could not be saved.*Read-only file system"):
        store.append(made_up_episode(1))
    with pytest.raises(LfdError, match=r"label .* could not be saved.*Read-only file system"):
        store.label(episode_id, note="no")
    assert same(DemoStore.open(store.path)[episode_id], made_up_episode())


def test_a_disk_that_vanishes_gives_one_plain_line_and_keeps_what_it_held(tiny_disk: Path, tmp_path: Path):
    store = DemoStore.create(tiny_disk / "demos", made_up_spec())
    kept = {store.append(made_up_episode(k)): k for k in range(2)}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    subprocess.run(["mount", "--bind", str(tiny_disk), str(elsewhere)], check=True)
    try:
        subprocess.run(["umount", "-l", str(tiny_disk)], check=True)  # pulled out while the recorder runs
        with pytest.raises(LfdError, match="could not be saved"):
            store.append(made_up_episode(2))
        with pytest.raises(LfdError, match="no such dataset"):
            DemoStore.open(store.path)
        again = DemoStore.open(elsewhere / "demos")
        assert again.ids() == sorted(kept) and all(same(again[i], made_up_episode(k)) for i, k in kept.items())
        subprocess.run(["mount", "--bind", str(elsewhere), str(tiny_disk)], check=True)  # and put back
        store.append(made_up_episode(2))
        assert len(store) == 3
    finally:
        subprocess.run(["umount", "-l", str(elsewhere)], check=True)


def test_wrong_folders_are_refused_in_plain_words(tmp_path: Path):
    with pytest.raises(LfdError, match=r"no such dataset: '.*nothing'"):
        DemoStore.open(tmp_path / "nothing")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(LfdError, match="is no dataset"):
        DemoStore.open(tmp_path / "other")
    with pytest.raises(LfdError, match="exists and is no dataset"):
        DemoStore.create(tmp_path / "other", made_up_spec())
    zarr.open_group(tmp_path / "foreign" / "episodes.zarr", mode="w", zarr_format=3)
    with pytest.raises(LfdError, match="description is damaged"):
        DemoStore.open(tmp_path / "foreign")


def test_a_newer_format_is_refused(store: DemoStore):
    root = store.path / "episodes.zarr" / "zarr.json"
    document = root.read_bytes().replace(b'"format_version": 1', b'"format_version": 2')
    checksum = json.loads(document)["attributes"]["checksum"].encode()
    from robot_lfd.demos.layout import BLANK, seal

    root.write_bytes(seal(document.replace(checksum, BLANK.encode())))
    with pytest.raises(LfdError, match="format version 2, this lfd reads 1"):
        DemoStore.open(store.path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"env_id": "made-up/Other-v0"}, "holds demos of made-up/Task-v0, not of made-up/Other-v0"),
        ({"env_kwargs": {}}, "was recorded with"),
        ({"control_hz": 10.0}, "20 Hz, not at 10 Hz"),
        ({"features": made_up_spec(cameras=()).features}, "has 'images/front'"),
        ({"features": made_up_spec(size_px=16).features}, r"'images/front' with \[8, 8, 3\]"),
    ],
)
def test_a_dataset_of_another_kind_does_not_grow(store: DemoStore, changes, words):
    with pytest.raises(LfdError, match=words):
        DemoStore.open_or_create(store.path, renamed(store.spec, **changes))


def test_an_episode_of_another_kind_is_refused(store: DemoStore):
    with pytest.raises(LfdError, match="episode lacks 'images/front'"):
        store.append(made_up_episode(cameras=()))
    with pytest.raises(LfdError, match="'images/front' has"):
        store.append(made_up_episode(size_px=16))
    with pytest.raises(LfdError, match="cannot be stored"):
        store.append(made_up_episode().replace(meta={"note": object()}))
    assert len(store) == 0 and list((store.path / "staging").iterdir()) == []


def test_an_unknown_demo_is_named(store: DemoStore):
    for wrong in ("nope", "../models", "20260101-000000-000000-abcdef"):
        with pytest.raises(LfdError, match="no demo"):
            store[wrong]


def test_a_damaged_episode_is_named_and_the_others_are_read(store: DemoStore):
    good, bad = store.append(made_up_episode(0)), store.append(made_up_episode(1))
    chunk = store.path / "episodes.zarr" / bad / "action" / "c.0.0"
    data = bytearray(chunk.read_bytes())
    data[-1] ^= 1
    chunk.write_bytes(data)
    again = DemoStore.open(store.path)
    assert same(again[good], made_up_episode(0))
    with pytest.raises(LfdError, match=rf"demo {bad}: 'action/c.0.0' does not .*lfd data verify"):
        again[bad]


def test_the_spec_says_what_every_array_means():
    env = make_env("Pendulum-v1")
    spec = make_spec("Pendulum-v1", env, {"cameras": ("view",), "g": 9.0})
    assert spec.env_kwargs == {"g": 9.0}
    assert spec.features["obs/state"]["shape"] == [3]
    assert spec.features["action"] == {
        "shape": [1],
        "dtype": "float32",
        "unit": ["1"],
        "names": ["a0"],
        "scale": [1.0],
    }
    assert spec.versions["gymnasium"]
    env.close()


def test_opening_reads_no_episode(store: DemoStore, monkeypatch: pytest.MonkeyPatch):
    for k in range(3):
        store.append(made_up_episode(k))
    code = f"""
import time
from robot_lfd.demos.store import DemoStore
opened = []
import sys
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
store = DemoStore.open({str(store.path)!r})
assert len(store) == 3
assert [p for p in opened if "episodes.zarr" in p] == [{str(store.path / "episodes.zarr" / "zarr.json")!r}], opened
"""
    subprocess.run([sys.executable, "-c", code], check=True)
