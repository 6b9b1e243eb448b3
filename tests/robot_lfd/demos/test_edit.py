"""Labels, deletions, merges, splits: nothing is lost before compact says so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from robot_lfd.cli import call
from robot_lfd.demos import edit
from robot_lfd.demos.store import DemoStore
from robot_lfd.demos.verify import verify
from robot_lfd.errors import LfdError
from tests.robot_lfd.demos.conftest import made_up_episode, made_up_spec, renamed, same


@pytest.fixture
def filled(store: DemoStore) -> DemoStore:
    """Six demos of 4 to 9 steps, every second one a success."""
    for k in range(6):
        store.append(made_up_episode(k, 4 + k))
    return store


def lfd(capsys: pytest.CaptureFixture, *words: object) -> dict:
    """Runs a data command and returns its JSON."""
    assert call(["data", *map(str, words), "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def fails(capsys: pytest.CaptureFixture, *words: object) -> str:
    """Runs a data command that ends with a plain error, and returns that."""
    assert call(["data", *map(str, words)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("lfd: error: ") and error.count("\n") == 1
    return error


def test_label_delete_undelete_by_command(filled: DemoStore, capsys):
    first, second, *_ = filled.ids()
    lfd(capsys, "label", filled.path, "--demo", first[-6:], "--success", "no", "--note", "slipped", "--tags", "a", "b")
    info = filled.info(first)
    assert (info.success, info.note, info.tags) == (False, "slipped", ("a", "b"))
    lfd(capsys, "label", filled.path, "--demo", first, second, "--trim", 1, 3)
    assert len(filled[second]) == 2
    assert lfd(capsys, "delete", filled.path, "--demo", second)["left"] == 5
    assert lfd(capsys, "undelete", filled.path)["demos"] == [second] and len(filled) == 6
    assert "nothing to say" in fails(capsys, "label", filled.path, "--demo", first)
    assert "names 6 demos" in fails(capsys, "delete", filled.path, "--demo", first[:4])
    assert "names no demo" in fails(capsys, "delete", filled.path, "--demo", "zzz")
    assert "trim 3:99 lies outside" in fails(capsys, "label", filled.path, "--demo", first, "--trim", 3, 99)


def test_merge_copies_demos_with_labels_ids_and_origin(filled: DemoStore, tmp_path: Path, capsys):
    other = DemoStore.create(tmp_path / "other", made_up_spec())
    other.append(made_up_episode(20, 5))
    filled.label(filled.ids()[0], note="kept", tags=("x",))
    filled.delete(filled.ids()[5])
    report = lfd(capsys, "merge", filled.path, other.path, "--out", tmp_path / "all")
    merged = DemoStore.open(tmp_path / "all")
    assert (report["copied"], len(merged)) == (6, 6)
    for episode_id in filled.ids():
        assert same(merged[episode_id], filled[episode_id], ignore=())
    assert merged.attributes(other.ids()[0])["provenance"] == ["other"]
    assert lfd(capsys, "merge", filled.path, other.path, "--out", tmp_path / "all")["already_there"] == 6
    assert verify(merged).problems == []


def test_merge_filters(filled: DemoStore, tmp_path: Path, capsys):
    filled.label(filled.ids()[4], tags=("x",))
    words = ("merge", filled.path, "--out")
    assert lfd(capsys, *words, tmp_path / "a", "--success", "yes", "--min-steps", 5)["copied"] == 2
    assert lfd(capsys, *words, tmp_path / "b", "--success", "no", "--max-steps", 7)["copied"] == 2
    assert lfd(capsys, *words, tmp_path / "c", "--tags", "x", "--operator", "ada")["copied"] == 1
    assert lfd(capsys, *words, tmp_path / "d", "--operator", "bob")["copied"] == 0


def test_datasets_of_different_tasks_are_not_merged(filled: DemoStore, tmp_path: Path, capsys):
    other = DemoStore.create(tmp_path / "other", renamed(made_up_spec(), control_hz=10.0))
    assert "cannot be merged" in fails(capsys, "merge", filled.path, other.path, "--out", tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_split_shares_successes_out_evenly_and_is_drawn_from_the_seed(filled: DemoStore, capsys):
    report = lfd(capsys, "split", filled.path, "--valid", 0.34)
    valid = {i for i in filled.ids() if filled.info(i).split == "valid"}
    assert valid == set(report["valid"]) and sorted(filled.info(i).success for i in valid) == [False, True]
    assert set(lfd(capsys, "split", filled.path, "--valid", 0.34)["valid"]) == valid
    assert "between 0 and 1" in fails(capsys, "split", filled.path, "--valid", 1.5)


def test_compact_makes_deletions_and_trims_real(filled: DemoStore, capsys):
    ids = filled.ids()
    extra = filled.append(made_up_episode(50, 3, model="another world"))
    filled.delete(extra)
    filled.delete(ids[0])
    filled.label(ids[1], trim=(1, 4), success=True, note="cut")
    kept, cut = {i: filled[i] for i in ids[2:]}, filled[ids[1]]
    assert "removes 2 deleted demo(s) and cuts 1" in fails(capsys, "compact", filled.path)
    report = lfd(capsys, "compact", filled.path, "--yes")
    again = DemoStore.open(filled.path)
    new = report["cut"][ids[1]]
    assert again.ids(deleted=True) == [new, *ids[2:]]
    assert same(again[new], cut) and again.attributes(new)["provenance"] == [f"cut from {ids[1]}"]
    assert all(same(again[i], e) for i, e in kept.items())
    assert len(list((filled.path / "models").iterdir())) == 1
    assert verify(again).problems == [] and list((filled.path / "staging").iterdir()) == []


def test_compact_that_was_interrupted_does_not_cut_twice(filled: DemoStore, capsys, monkeypatch):
    first = filled.ids()[0]
    filled.label(first, trim=(0, 2))

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(edit, "_remove", die)
        assert call(["data", "compact", str(filled.path), "--yes"]) == 1
    assert len(filled) == 7
    lfd(capsys, "compact", filled.path, "--yes")
    assert len(filled) == 6 and sorted(len(filled[i]) for i in filled) == [2, 5, 6, 7, 8, 9]


def test_compact_waits_for_a_running_session(filled: DemoStore, capsys):
    with filled.journal():
        assert "being recorded into" in fails(capsys, "compact", filled.path, "--yes")


def test_info_tells_what_a_dataset_holds(filled: DemoStore, capsys):
    report = lfd(capsys, "info", filled.path)
    assert (report["episodes"], report["steps"], report["successes"], report["success_rate"]) == (6, 39, 3, 0.5)
    assert report["length"] == {"min": 4, "median": 6.5, "mean": 6.5, "max": 9}
    assert report["operators"] == {"ada": 6} and report["duration_s"] == pytest.approx(39 / 20)
    stats = report["features"]["obs/eef_pos"]["stats"]
    rows = np.concatenate([filled[i].obs["eef_pos"] for i in filled])
    np.testing.assert_allclose(stats["mean"], rows.mean(0), rtol=1e-5)
    np.testing.assert_allclose(stats["quantiles"]["0.5"], np.quantile(rows, 0.5, 0), rtol=1e-5)
    assert report["features"]["images/front"]["stats"]["max"] == [255, 255, 255]


def test_info_shows_success_duration_and_every_number_in_eighty_columns(filled: DemoStore, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    filled.label(filled.ids()[0], tags=("hard",), note="slipped", success=False)
    groups = {(g["by"], g["name"]): g for g in lfd(capsys, "info", filled.path)["groups"]}
    assert (groups["all", ""]["successes"], groups["tag", "hard"]["successes"]) == (2, 0)
    assert groups["operator", "ada"]["seconds"] == {"min": 0.2, "median": 0.325, "mean": 0.325, "max": 0.45}
    assert call(["data", "info", str(filled.path)]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines()[1:])) <= 80 and "…" not in shown
    for words in ("slipped", "tag hard", "99 %", "images/front uint8 8x8x3", "  green"):
        assert words in shown
    eef_pos = np.concatenate([filled[i].obs["eef_pos"] for i in filled])
    line = shown.splitlines()[shown.splitlines().index("obs/eef_pos float32 3") + 2]
    assert [float(x) for x in line.split()[1:]] == pytest.approx(
        [*(f(eef_pos[:, 1]) for f in (np.min, lambda x: np.quantile(x, 0.01), np.median)),
         *(f(eef_pos[:, 1]) for f in (lambda x: np.quantile(x, 0.99), np.max, np.mean, np.std))], rel=0.06, abs=1e-3
    )  # fmt: skip


def test_info_and_verify_name_a_damaged_demo(filled: DemoStore, capsys):
    bad = filled.ids()[2]
    (filled.path / "episodes.zarr" / bad / "reward" / "c.0").write_bytes(b"")
    report = lfd(capsys, "info", filled.path)
    assert report["damaged"] == [bad] and report["episodes"] == 5
    assert call(["data", "verify", str(filled.path), "--json"]) == 1
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["damaged"] == [bad] and report["problems"][0]["where"] == f"demo {bad} reward"
    lfd(capsys, "delete", filled.path, "--demo", bad)
    assert lfd(capsys, "info", filled.path)["damaged"] == []


def test_an_empty_dataset_can_be_described(store: DemoStore, capsys):
    report = lfd(capsys, "info", store.path)
    assert (report["episodes"], report["success_rate"], report["length"]) == (0, None, None)
    assert lfd(capsys, "repair", store.path)["rebuilt"] == []
    with pytest.raises(LfdError):
        edit.named(store, ("x",))
