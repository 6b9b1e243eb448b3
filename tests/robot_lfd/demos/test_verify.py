"""Verify finds every flipped bit and names its place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from robot_lfd.demos.layout import BLANK, seal
from robot_lfd.demos.repair import repair
from robot_lfd.demos.store import DemoStore
from robot_lfd.demos.tape import Tape
from robot_lfd.demos.verify import verify
from robot_lfd.demos.zarr_format import encode_array
from robot_lfd.errors import LfdError
from tests.robot_lfd.demos.conftest import drive, made_up_episode, pendulum_env, pendulum_spec, same


@pytest.fixture
def two(store: DemoStore) -> DemoStore:
    """Two episodes and a label."""
    for k in range(2):
        store.append(made_up_episode(k, 4))
    store.label(store.ids()[0], note="first")
    return store


def flips(path: Path, count: int | None, rng: np.random.Generator) -> list[tuple[Path, int]]:
    """Returns bits of a dataset: all, or a sample with every file in it."""
    files = sorted(p for p in path.rglob("*") if p.is_file() and p.stat().st_size)
    if count is None:
        return [(p, bit) for p in files for bit in range(8 * p.stat().st_size)]
    return [(p, int(rng.integers(8 * p.stat().st_size))) for p in files for _ in range(-(-count // len(files)))]


def every_flip_is_found(store: DemoStore, sample: list[tuple[Path, int]]) -> None:
    for path, bit in sample:
        data = bytearray(path.read_bytes())
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        try:
            try:
                found = verify(DemoStore.open(store.path)).problems
            except LfdError as error:
                raise AssertionError(f"{path} bit {bit}: the dataset does not open: {error}") from error
            assert found, f"{path.relative_to(store.path)} bit {bit} was not found"
        finally:
            data[bit // 8] ^= 1 << bit % 8
            path.write_bytes(data)
    assert verify(store).problems == []


def test_a_sample_of_flipped_bits_is_found(two: DemoStore):
    every_flip_is_found(two, flips(two.path, 120, np.random.default_rng(0)))


@pytest.mark.slow
def test_every_flipped_bit_is_found(tmp_path: Path):
    from tests.robot_lfd.demos.conftest import made_up_spec

    store = DemoStore.create(tmp_path / "tiny", made_up_spec(cameras=()))
    store.append(made_up_episode(0, 1, cameras=()))
    store.label(store.ids()[0], success=False)
    every_flip_is_found(store, flips(store.path, None, np.random.default_rng(0)))


def test_a_healthy_dataset_has_no_problems(two: DemoStore):
    findings = verify(two)
    assert (findings.problems, findings.notes, findings.checked, findings.damaged) == ([], [], 2, [])


def test_every_missing_file_is_found_and_named(two: DemoStore):
    good, bad = two.ids()
    folder = two.path / "episodes.zarr" / bad
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes()
        path.unlink()
        findings = verify(two)
        assert findings.damaged == [bad], path
        assert findings.problems[0]["where"].startswith(f"demo {bad}")
        assert same(two[good], made_up_episode(0, 4), ignore=("recorded_at", "note"))
        path.write_bytes(data)


def test_a_stranger_among_the_files_is_found(two: DemoStore):
    (two.path / "episodes.zarr" / two.ids()[0] / "obs" / "extra").write_text("x")
    (two.path / "episodes.zarr" / "notes.txt").write_text("x")
    wheres = [p["where"] for p in verify(two).problems]
    assert wheres == ["episodes.zarr/notes.txt", f"demo {two.ids()[0]}"]


def forge(store: DemoStore, episode_id: str, path: str, array: np.ndarray) -> None:
    """Replaces an array and every checksum of it: what a buggy writer would have stored."""
    import hashlib

    from robot_lfd.demos.layout import array_checksum

    folder = store.path / "episodes.zarr" / episode_id
    document = json.loads((folder / "zarr.json").read_bytes())
    attributes = document["attributes"]
    for name, data in encode_array(path, array).items():
        (folder / name).write_bytes(data)
        attributes["file_checksums"][name] = hashlib.sha256(data).hexdigest()
    attributes["checksums"][path] = array_checksum(array)
    attributes["checksum"] = BLANK
    (folder / "zarr.json").write_bytes(seal(json.dumps(document).encode()))


@pytest.mark.parametrize(
    ("path", "array", "where", "what"),
    [
        ("reward", np.array([0, np.nan, 0, 0], np.float32), "", "reward holds NaN"),
        ("reward", np.zeros(3, np.float32), "", "reward has shape (3,)"),
        ("action", np.zeros((4, 5), np.float32), "", "'action' has [5]"),
        ("obs/eef_pos", np.zeros((5, 3), np.float64), "", "obs/eef_pos has shape (5, 3) and type float64"),
        (
            "time",
            np.array([[0, 0], [0.05, 0.06], [0.1, 0.04], [0.15, 0.2]]),
            " time",
            "actual time runs backwards at step 2",
        ),
    ],
)
def test_what_a_buggy_writer_could_store_is_found(two: DemoStore, path, array, where, what):
    bad = two.ids()[1]
    forge(two, bad, path, array)
    (problem,) = verify(two).problems
    assert problem["where"] == f"demo {bad}{where}" and what in problem["what"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"length": "4"}, "no proper 'length'"),
        ({"file_checksums": None}, "no proper 'file_checksums'"),
        ({"file_checksums": {"../../secret": "0" * 64}}, "no proper 'file_checksums'"),
        ({"file_checksums": {"/etc/passwd": "0" * 64}}, "no proper 'file_checksums'"),
        ({"checksums": []}, "no proper 'checksums'"),
        ({"model": "../labels"}, "no proper 'model'"),
        ({"meta": None}, "no proper 'meta'"),
        ({"checksums": {"action": "0" * 64}}, "lacks 'reward'"),
        ({"file_checksums": {}}, "has no array 'action'"),
    ],
)
def test_a_sealed_description_that_nobody_of_us_wrote_is_refused(two: DemoStore, change, words):
    bad = two.ids()[1]
    path = two.path / "episodes.zarr" / bad / "zarr.json"
    document = json.loads(path.read_bytes())
    document["attributes"] |= {**change, "checksum": BLANK}
    path.write_bytes(seal(json.dumps(document).encode()))
    with pytest.raises(LfdError, match=words):
        two[bad]
    assert verify(two).damaged == [bad]
    assert same(two[two.ids()[0]], made_up_episode(0, 4), ignore=("recorded_at", "note"))


def test_a_damaged_root_still_opens_and_is_mended(two: DemoStore):
    for name in ("episodes.zarr/zarr.json", "dataset.json"):
        path = two.path / name
        healthy = path.read_bytes()
        path.write_bytes(healthy[:-9])
        again = DemoStore.open(two.path)
        assert len(again) == 2 and again.spec == two.spec
        assert [p["where"] for p in verify(again).problems] == [name]
        assert repair(again).mended == [name] and path.read_bytes() == healthy
        assert verify(again).problems == []
    shutil.copy(two.path / "labels.jsonl", two.path / "episodes.zarr" / "zarr.json")
    (two.path / "dataset.json").write_bytes(b"{}")
    with pytest.raises(LfdError, match="description is damaged"):
        DemoStore.open(two.path)


def test_a_damaged_label_line_is_named_and_left_out(two: DemoStore):
    two.label(two.ids()[0], split="valid")
    log = two.path / "labels.jsonl"
    log.write_bytes(log.read_bytes().replace(b"first", b"fIrst"))
    again = DemoStore.open(two.path)
    assert (again.info(two.ids()[0]).note, again.info(two.ids()[0]).split) == ("", "valid")
    assert verify(again).problems[0]["where"] == "labels.jsonl line 1"


def test_replay_finds_an_episode_that_no_simulation_makes(tmp_path: Path):
    env = pendulum_env()
    store = DemoStore.create(tmp_path / "demos", pendulum_spec(env))
    tape = Tape(env)
    good, episode = store.append(drive(tape, 1, 10)), drive(tape, 2, 10)
    assert verify(store, replay=True).problems == []
    obs = episode.obs["state"].copy()
    obs[7, 0] = np.nextafter(obs[7, 0], np.float32(2))
    bad = store.append(episode.replace(obs={"state": obs}))
    assert verify(store).problems == []
    findings = verify(store, replay=True)
    assert findings.damaged == [bad] and good not in findings.damaged
    assert findings.problems == [{"where": f"demo {bad} obs/state", "what": "re-simulation differs from row 7 on"}]
