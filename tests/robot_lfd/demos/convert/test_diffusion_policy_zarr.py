"""diffusion_policy's ReplayBuffer: ours there and back, foreign ones, damaged ones, and zarr 2 as the judge."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robot_lfd.cli import call
from robot_lfd.demos.convert import diffusion_policy_zarr
from robot_lfd.demos.convert.detect import detect_format
from robot_lfd.demos.convert.diffusion_policy_zarr import export_diffusion_policy, import_diffusion_policy
from robot_lfd.demos.convert.options import ImportOptions
from robot_lfd.demos.store import DemoStore
from robot_lfd.demos.verify import verify
from robot_lfd.errors import LfdError
from tests.robot_lfd.demos.conftest import made_up_episode, made_up_spec, same

PEER = os.environ.get("LFD_PEER_ZARR2")  # a Python with zarr 2, as diffusion_policy has it
PUSH = ImportOptions(env_id="x/Push-v0")
LOOK = """
import sys, zarr, json, numpy as np
assert zarr.__version__.startswith("2."), zarr.__version__
root = zarr.open(sys.argv[1], "r")
ends = root["meta"]["episode_ends"]
for key, value in root["data"].items():
    value = value[: ends[-1]]
    assert value.shape[0] == ends[-1]
copy = zarr.MemoryStore()
zarr.copy_store(source=root.store, dest=copy, source_path="/meta", dest_path="/meta")
zarr.copy_store(source=root.store, dest=copy, source_path="/data", dest_path="/data")
print(json.dumps([ends[:].tolist(), {k: float(v[:].astype("f8").sum()) for k, v in zarr.group(copy)["data"].items()}]))
"""


@pytest.fixture
def filled(store: DemoStore) -> DemoStore:
    """Three demos of 4, 5 and 6 steps, two of them of one model."""
    for k in range(3):
        store.append(made_up_episode(k, 4 + k, model="" if k == 1 else f"<world{k // 2}/>"))
    return store


def test_export_and_import_give_the_same_dataset(filled: DemoStore, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(diffusion_policy_zarr, "CHUNK_BYTES", 8 * 8 * 3 * 4)  # several chunks of four rows
    assert export_diffusion_policy(filled, filled.ids(), tmp_path / "out") == {"demos": 3, "steps": 15}
    assert detect_format(tmp_path / "out") == "diffusion_policy"
    report = import_diffusion_policy(tmp_path / "out", tmp_path / "again")
    assert (report["imported"], report["steps"]) == (3, 15)
    again = DemoStore.open(tmp_path / "again")
    assert again.spec == filled.spec and again.ids() == filled.ids()
    assert all(same(again[i], filled[i], ignore=()) for i in filled)
    assert import_diffusion_policy(tmp_path / "out", tmp_path / "again")["already_there"] == 3


def test_the_buffer_has_the_layout_that_diffusion_policy_reads(filled: DemoStore, tmp_path: Path):
    export_diffusion_policy(filled, filled.ids(), tmp_path / "out")
    root = zarr.open_group(tmp_path / "out", mode="r", zarr_format=2)
    assert root["meta/episode_ends"][...].tolist() == [4, 9, 15] and root["meta/episode_ends"].dtype == np.int64
    assert sorted(root["data"].array_keys()) == ["action", "eef_pos", "front_image", "gripper_width", "reward"]
    pictures = np.concatenate([filled[i].obs["images/front"][:-1] for i in filled])
    np.testing.assert_array_equal(root["data/front_image"][...], pictures)


@pytest.mark.slow
def test_zarr_2_reads_what_we_export(filled: DemoStore, tmp_path: Path):
    if not PEER:
        pytest.skip("set LFD_PEER_ZARR2 to a Python with zarr 2")
    export_diffusion_policy(filled, filled.ids(), tmp_path / "out")
    done = subprocess.run([PEER, "-c", LOOK, tmp_path / "out"], capture_output=True, text=True, check=True)
    ends, sums = json.loads(done.stdout)
    assert ends == [4, 9, 15]
    for name, path in (("action", "action"), ("eef_pos", "obs/eef_pos"), ("front_image", "images/front")):
        rows = [filled[i].arrays()[path][: len(filled[i])] for i in filled]
        assert sums[name] == pytest.approx(float(np.concatenate(rows).astype("f8").sum()), rel=1e-12)


def foreign(path: Path, **changes: np.ndarray | None) -> Path:
    """Writes a buffer as other people's are: float pictures, own names, no reward."""
    rng = np.random.default_rng(0)
    arrays: dict = {
        "data/img": rng.integers(0, 256, (9, 6, 6, 3)).astype(np.float32),
        "data/state": rng.normal(size=(9, 5)),
        "data/action": rng.uniform(0, 512, (9, 2)).astype(np.float32),
        "meta/episode_ends": np.array([4, 9]),
    }
    root = zarr.open_group(path, mode="w", zarr_format=2)
    for name, array in {**arrays, **changes}.items():
        if array is not None:
            root.create_array(name, data=array)
    return path


def test_a_foreign_buffer_comes_in_when_its_environment_is_named(tmp_path: Path, capsys):
    source = foreign(tmp_path / "pusht.zarr")
    assert call(["data", "import", str(source), "--out", str(tmp_path / "out")]) == 1
    assert "name it with --env" in capsys.readouterr().err
    assert call(["data", "import", str(source), "--out", str(tmp_path / "out"), "--env", "x/Push-v0", "--json"]) == 0
    store = DemoStore.open(tmp_path / "out")
    first, second = (store[i] for i in store.ids())
    assert (len(first), len(second), store.spec.env_id) == (4, 5, "x/Push-v0")
    data = zarr.open_group(source, mode="r", zarr_format=2)["data"]
    np.testing.assert_array_equal(second.action, data["action"][4:9])
    np.testing.assert_array_equal(second.obs["images/img"][:-1], data["img"][4:9].astype(np.uint8))
    np.testing.assert_array_equal(second.obs["state"][-1], second.obs["state"][-2])
    assert verify(store).problems == [] and second.meta["resimulates"] is False


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data/action": None}, "expected 'action' and observations"),
        ({"meta/episode_ends": None}, "KeyError|no group 'meta'"),
        ({"meta/episode_ends": np.array([4, 4, 9])}, "does not rise"),
        ({"meta/episode_ends": np.array([-3, 9])}, "does not rise"),
        ({"meta/episode_ends": np.array([4.0, 9.0])}, "expected \\(E,\\) integers"),
        ({"meta/episode_ends": np.array([4, 10])}, "expected 10 rows"),
        ({"data/state": np.zeros((8, 5))}, "expected 9 rows"),
        ({"data/state": np.full((9, 5), np.nan)}, "holds NaN"),
        ({"data/img": np.full((9, 6, 6, 3), 0.5)}, "pictures are neither"),
    ],
)
def test_malformed_buffers_are_refused_and_nothing_is_stored(tmp_path: Path, changes, words):
    with pytest.raises(LfdError, match=words):
        import_diffusion_policy(
            foreign(tmp_path / "bad", **changes), tmp_path / "out", ImportOptions(env_id="x/Push-v0")
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [10**12, 2]},
        {"shape": [9, 2], "chunks": [10**12, 2]},
        {"dtype": "|O", "filters": [{"id": "pickle"}]},
        {"compressor": {"id": "pickle"}},
        {"compressor": {"id": "no such"}},
        {"dtype": [["a", "<f4"]]},
        {"zarr_format": 7},
        {"shape": "nine"},
    ],
)
def test_hostile_buffers_are_refused_without_being_read(tmp_path: Path, changes):
    source = foreign(tmp_path / "bad")
    description = source / "data" / "action" / ".zarray"
    description.write_text(json.dumps({**json.loads(description.read_text()), **changes}))
    with pytest.raises(LfdError):
        import_diffusion_policy(source, tmp_path / "out", PUSH)
    assert not (tmp_path / "out").exists()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_buffer_is_refused_or_read_but_never_a_surprise(tmp_path: Path, data: st.DataObject):
    folder = tmp_path / os.urandom(6).hex()
    store = DemoStore.create(folder / "demos", made_up_spec(size_px=2))
    store.append(made_up_episode(0, 2, size_px=2))
    export_diffusion_policy(store, store.ids(), folder / "out")
    files = sorted(p for p in (folder / "out").rglob("*") if p.is_file())
    path = data.draw(st.sampled_from(files))
    damaged = bytearray(path.read_bytes())
    damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged[: data.draw(st.integers(0, len(damaged)) | st.just(len(damaged)))])
    try:
        import_diffusion_policy(folder / "out", folder / "again")
    except LfdError as error:
        assert "\n" not in str(error)


def test_an_export_that_fails_leaves_nothing(filled: DemoStore, tmp_path: Path):
    (filled.path / "episodes.zarr" / filled.ids()[2] / "action" / "c.0.0").unlink()
    with pytest.raises(LfdError, match="cannot be read"):
        export_diffusion_policy(filled, filled.ids(), tmp_path / "out" / "buffer")
    assert list((tmp_path / "out").iterdir()) == []
    (tmp_path / "taken").mkdir()
    with pytest.raises(LfdError, match="exists already"):
        export_diffusion_policy(filled, filled.ids()[:1], tmp_path / "taken")
