"""Flat arrays for training: equal to the store's, rebuilt when the store changed, windows inside one episode."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_lfd.demos import cache
from robot_lfd.demos.cache import FlatDemos, load_flat
from robot_lfd.demos.select import Selection
from robot_lfd.demos.store import DemoStore
from robot_lfd.errors import LfdError
from tests.robot_lfd.demos.conftest import made_up_episode, made_up_spec, renamed

LENGTHS = (3, 7, 1, 5)


@pytest.fixture
def filled(store: DemoStore) -> DemoStore:
    """Four episodes of 3, 7, 1 and 5 steps; the first and third succeed."""
    for k, steps in enumerate(LENGTHS):
        store.append(made_up_episode(k, steps))
    return store


def test_flat_arrays_hold_every_episode_once(filled: DemoStore):
    flat = load_flat(filled)
    episodes = [filled[i] for i in filled]
    assert flat.ids == tuple(filled.ids()) and flat.episode_ends.tolist() == [3, 10, 11, 16] and len(flat) == 16
    np.testing.assert_array_equal(flat.action, np.concatenate([e.action for e in episodes]))
    for key in ("eef_pos", "images/front"):
        np.testing.assert_array_equal(flat.obs[key], np.concatenate([e.obs[key] for e in episodes]))
    assert flat.obs["images/front"].dtype == np.uint8 and len(flat.obs["eef_pos"]) == 16 + 4
    assert flat.success.tolist() == [True, False, True, False]


def test_a_step_finds_what_it_saw_and_what_followed(filled: DemoStore):
    flat = load_flat(filled, ["eef_pos"])
    steps = np.arange(len(flat))
    saw = np.concatenate([filled[i].obs["eef_pos"][:-1] for i in filled])
    followed = np.concatenate([filled[i].obs["eef_pos"][1:] for i in filled])
    np.testing.assert_array_equal(flat.obs["eef_pos"][flat.obs_rows(steps)], saw)
    np.testing.assert_array_equal(flat.obs["eef_pos"][flat.obs_rows(steps) + 1], followed)
    assert np.flatnonzero(flat.is_terminal(steps)).tolist() == [2, 9, 10, 15]


@settings(max_examples=40, deadline=None)
@given(lengths=st.lists(st.integers(1, 12), min_size=1, max_size=8), length=st.integers(1, 6))
def test_windows_never_cross_an_episode(lengths: list[int], length: int):
    owner = np.repeat(np.arange(len(lengths)), lengths)
    seen = np.repeat(np.arange(len(lengths)), np.array(lengths) + 1)
    flags = np.ones(len(lengths), bool)
    action = owner[:, None].astype(np.float32)
    flat = FlatDemos({"k": seen}, action, owner, owner, np.cumsum(lengths), flags, flags, ("x",) * len(lengths))
    starts = flat.window_starts(length)
    assert len(starts) == sum(max(0, n - length + 1) for n in lengths)
    for windows in (flat.action_windows(starts, length)[..., 0], flat.obs_windows("k", starts, length)):
        assert (windows == windows[:, :1]).all()


def test_the_cache_is_built_once_and_anew_when_the_content_changes(filled: DemoStore, monkeypatch):
    built = []
    real = cache._write
    monkeypatch.setattr(cache, "_write", lambda *args: (built.append(1), real(*args)))
    load_flat(filled, ["eef_pos"])
    load_flat([filled.path], ["eef_pos"])
    assert len(built) == 1
    filled.label(filled.ids()[1], success=True, note="a verdict changes no array")
    assert load_flat(filled, ["eef_pos"]).success.tolist() == [True, True, True, False] and len(built) == 1
    filled.label(filled.ids()[1], trim=(2, 6))
    assert len(load_flat(filled, ["eef_pos"])) == 13 and len(built) == 2
    filled.delete(filled.ids()[0])
    assert len(load_flat(filled, ["eef_pos"])) == 10 and len(built) == 3


def test_a_trimmed_episode_is_cut_in_every_array(filled: DemoStore):
    episode_id = filled.ids()[1]
    filled.label(episode_id, trim=(2, 6))
    flat = load_flat(filled, selection=Selection(min_steps=4, max_steps=4))
    episode = filled[episode_id]
    np.testing.assert_array_equal(flat.obs["images/front"], episode.obs["images/front"])
    np.testing.assert_array_equal(flat.action, episode.action)
    assert not flat.terminated[0] and len(flat) == 4


def test_large_arrays_are_mapped_from_the_disk(filled: DemoStore):
    flat = load_flat(filled, ram_bytes=0)
    assert isinstance(flat.obs["images/front"], np.memmap)
    np.testing.assert_array_equal(flat.obs["images/front"], load_flat(filled).obs["images/front"])


def test_only_a_few_caches_are_kept(filled: DemoStore):
    for k in range(1, 8):
        load_flat(filled, ["eef_pos"], selection=Selection(min_steps=k))
    (filled.path / "cache" / "flat" / "building-dead").mkdir()
    load_flat(filled, ["gripper_width"])
    assert len(list((filled.path / "cache" / "flat").iterdir())) == cache.CACHES_KEPT


def test_a_dataset_that_cannot_be_written_is_still_read(filled: DemoStore, monkeypatch: pytest.MonkeyPatch):
    real = Path.mkdir

    def refuse(self: Path, *args, **kwargs) -> None:
        if "cache" in self.parts:
            raise OSError(30, "Read-only file system")
        real(self, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", refuse)
    for ram_bytes in (0, 1 << 30):
        flat = load_flat(filled, ram_bytes=ram_bytes)
        np.testing.assert_array_equal(flat.action, np.concatenate([filled[i].action for i in filled]))
    assert not (filled.path / "cache" / "flat").exists()


def test_selections_say_which_demos_are_meant(filled: DemoStore):
    ids = filled.ids()
    filled.label(ids[1], tags=("slow", "left"), split="valid")
    assert load_flat(filled, selection=Selection(success=True)).ids == (ids[0], ids[2])
    assert load_flat(filled, selection=Selection(tags=("left",), split="valid")).ids == (ids[1],)
    assert load_flat(filled, selection=Selection(first=3, min_steps=3)).ids == (ids[0], ids[1], ids[3])
    with pytest.raises(LfdError, match="none of which passes"):
        load_flat(filled, selection=Selection(operator="bob"))


def test_several_datasets_are_read_as_one(filled: DemoStore, tmp_path: Path):
    other = DemoStore.create(tmp_path / "more", made_up_spec())
    other.append(made_up_episode(9, 2))
    flat = load_flat([filled, other.path], ["eef_pos"])
    assert flat.ids == (*filled.ids(), *other.ids()) and len(flat) == 18
    assert load_flat([filled, other], selection=Selection(first=4)).ids == tuple(filled.ids())
    foreign = DemoStore.create(tmp_path / "foreign", renamed(made_up_spec(), env_id="made-up/Other-v0"))
    with pytest.raises(LfdError, match="cannot be mixed"):
        load_flat([filled, foreign])


def test_mistakes_are_named(filled: DemoStore, tmp_path: Path):
    with pytest.raises(LfdError, match=r"unknown observation 'object_pos'; this dataset has: .*eef_pos"):
        load_flat(filled, ["object_pos"])
    empty = DemoStore.create(tmp_path / "empty", made_up_spec())
    with pytest.raises(LfdError, match="holds 0 demos"):
        load_flat(empty)
    with pytest.raises(LfdError, match="no dataset was named"):
        load_flat([])
    bad = filled.ids()[2]
    (filled.path / "episodes.zarr" / bad / "action" / "c.0.0").unlink()
    with pytest.raises(LfdError, match=f"demo {bad}: 'action/c.0.0' cannot be read"):
        load_flat(filled)
    assert not list((filled.path / "cache" / "flat").glob("building-*"))
