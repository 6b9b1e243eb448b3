"""Minari: ours there and back, a foreign one, damaged ones, and Minari itself as the judge."""

from __future__ import annotations

import copy
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import gymnasium as gym
import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robot_lfd.cli import call
from robot_lfd.demos.convert.detect import detect_format
from robot_lfd.demos.convert.minari_hdf5 import export_minari, import_minari
from robot_lfd.demos.convert.options import ImportOptions
from robot_lfd.demos.store import DemoStore
from robot_lfd.demos.tape import Tape
from robot_lfd.demos.verify import verify
from robot_lfd.errors import LfdError
from tests.robot_lfd.demos.conftest import drive, made_up_episode, made_up_spec, pendulum_env, pendulum_spec, same

PEER = os.environ.get("LFD_PEER_MINARI")  # a Python with minari[hdf5]
LOOK = """
import sys, json
from minari import MinariDataset
data = MinariDataset(sys.argv[1])
rows = [[len(e), float(e.actions.astype("f8").sum()),
         {k: float(v.astype("f8").sum()) for k, v in e.observations.items()},
         bool(e.terminations[-1]), bool(e.truncations[-1])] for e in data.iterate_episodes()]
spec = data.env_spec
print(json.dumps([int(data.total_steps), spec.id if spec else None, rows,
                  all(data.observation_space.contains({k: v[0] for k, v in e.observations.items()})
                      and data.action_space.contains(e.actions[0]) for e in data.iterate_episodes())]))
"""


@pytest.fixture
def filled(store: DemoStore) -> DemoStore:
    """Three demos of 4, 5 and 6 steps."""
    for k in range(3):
        store.append(made_up_episode(k, 4 + k))
    return store


def test_export_and_import_give_the_same_dataset(filled: DemoStore, tmp_path: Path):
    assert export_minari(filled, filled.ids(), tmp_path / "out-v0") == {"demos": 3, "steps": 15}
    assert detect_format(tmp_path / "out-v0") == "minari" == detect_format(tmp_path / "out-v0" / "data")
    report = import_minari(tmp_path / "out-v0", tmp_path / "again", ImportOptions(env_id=filled.spec.env_id))
    assert (report["imported"], report["steps"]) == (3, 15)
    again = DemoStore.open(tmp_path / "again")
    assert again.spec == filled.spec and again.ids() == filled.ids()
    assert all(same(again[i], filled[i], ignore=()) for i in filled)


def test_export_names_the_keywords_and_leaves_the_registry_as_it_is(tmp_path: Path):
    env = pendulum_env()
    store = DemoStore.create(tmp_path / "pendulum", pendulum_spec(env))
    store.append(drive(Tape(env), seed=1, steps=4))
    before = copy.deepcopy(gym.spec("Pendulum-v1"))
    export_minari(store, store.ids(), tmp_path / "out-v0")
    assert gym.spec("Pendulum-v1") == before
    written = json.loads((tmp_path / "out-v0" / "data" / "metadata.json").read_text())["env_spec"]
    assert json.loads(written)["max_episode_steps"] == 200 and "max_episode_steps" not in json.loads(written)["kwargs"]


@pytest.mark.slow
def test_minari_reads_what_we_export(filled: DemoStore, tmp_path: Path):
    if not PEER:
        pytest.skip("set LFD_PEER_MINARI to a Python with minari[hdf5]")
    env = pendulum_env()
    pendulum = DemoStore.create(tmp_path / "pendulum", pendulum_spec(env))
    pendulum.append(drive(Tape(env), 1, 8))
    for store, env_id, steps in ((filled, None, 15), (pendulum, "Pendulum-v1", 8)):
        out = tmp_path / f"out-{steps}-v0"
        export_minari(store, store.ids(), out)
        done = subprocess.run([PEER, "-c", LOOK, out / "data"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        total, found_id, rows, fits = json.loads(done.stdout.splitlines()[-1])
        assert (total, found_id, fits) == (steps, env_id, True)
        for episode_id, (length, action, seen, terminated, truncated) in zip(store.ids(), rows, strict=True):
            episode = store[episode_id]
            assert (length, terminated, truncated) == (len(episode), episode.terminated, episode.truncated)
            assert action == pytest.approx(float(episode.action.astype("f8").sum()))
            key = next(k for k in episode.obs if not k.startswith("images/"))
            assert seen[key] == pytest.approx(float(episode.obs[key].astype("f8").sum()))


SPACE = json.dumps({"type": "Box", "dtype": "float32", "shape": [1], "low": [-2.0], "high": [2.0]})


def foreign(path: Path, metadata: dict[str, Any] | None = None, **changes: Any) -> Path:
    """Writes a dataset as Minari does for Pendulum: one Box observation, actions in [-2, 2]."""
    rng = np.random.default_rng(0)
    arrays = {
        "observations": rng.normal(size=(6, 3)).astype(np.float32),
        "actions": rng.uniform(-2, 2, (5, 1)).astype(np.float32),
        "rewards": rng.normal(size=5),
        "terminations": np.zeros(5, bool),
        "truncations": np.arange(5) == 4,
    }
    (path / "data").mkdir(parents=True)
    with h5py.File(path / "data" / "main_data.hdf5", "w") as file:
        for number in range(2):
            group = file.create_group(f"episode_{number}")
            group.attrs["seed"] = number
            for name, array in {**arrays, **changes}.items():
                if array is not None:
                    group[name] = array
    spec = json.dumps({"id": "Pendulum-v1", "entry_point": "os:system"})
    said = {"total_episodes": 2, "total_steps": 10, "data_format": "hdf5", "action_space": SPACE, "env_spec": spec}
    (path / "data" / "metadata.json").write_text(json.dumps({**said, **(metadata or {})}))
    return path


def test_a_foreign_dataset_comes_in_with_actions_as_our_environments_take_them(tmp_path: Path, capsys):
    source = foreign(tmp_path / "pendulum-v0")
    assert call(["data", "import", str(source), "--out", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["imported"] == 2
    store = DemoStore.open(tmp_path / "out")
    episode = store[store.ids()[1]]
    with h5py.File(source / "data" / "main_data.hdf5") as file:
        np.testing.assert_allclose(episode.action, file["episode_1/actions"][()] / 2, atol=1e-6)
        np.testing.assert_array_equal(episode.obs["state"], file["episode_1/observations"][()])
    assert (store.spec.env_id, store.spec.control_hz, episode.meta["seed"]) == ("Pendulum-v1", 30.0, 1)
    assert not episode.terminated and episode.truncated and verify(store).problems == []


def test_nested_observations_get_names_with_dots(tmp_path: Path):
    rows = {"arm": {"pos": np.zeros((6, 2))}, "goal": np.ones(6)}
    source = foreign(tmp_path / "a", observations=None)
    with h5py.File(source / "data" / "main_data.hdf5", "a") as file:
        for group in file.values():
            group["observations/arm/pos"], group["observations/goal"] = rows["arm"]["pos"], rows["goal"]
    import_minari(source, tmp_path / "out")
    store = DemoStore.open(tmp_path / "out")
    assert {k: v.shape for k, v in store[store.ids()[0]].obs.items()} == {"arm.pos": (6, 2), "goal": (6, 1)}


@pytest.mark.parametrize(
    ("metadata", "changes", "words"),
    [
        ({}, {"actions": None}, "actions is missing"),
        ({}, {"observations": np.zeros((5, 3))}, "has shape"),
        ({}, {"rewards": np.zeros(4)}, "rewards has shape"),
        ({}, {"terminations": None}, "terminations is missing"),
        ({}, {"observations": np.full((6, 3), np.nan)}, "holds NaN"),
        ({}, {"actions": np.zeros((0, 1))}, "has no steps"),
        ({"total_episodes": 3}, {}, "episode_2 is missing"),
        ({"total_episodes": 10**12}, {}, "episode_2 is missing"),
        ({"total_episodes": "two"}, {}, "says that it holds 'two'"),
        ({"data_format": "arrow"}, {}, "expected hdf5"),
        ({"env_spec": None}, {}, "name it with --env"),
        ({"action_space": json.dumps({"type": "Tuple"})}, {}, "expected Box or Discrete"),
        ({"action_space": json.dumps({"type": "Box", "low": [-1e999], "high": [1]})}, {}, "no finite bounds"),
    ],
)
def test_malformed_datasets_are_refused_and_nothing_is_stored(tmp_path: Path, metadata, changes, words):
    source = foreign(tmp_path / "bad", metadata, **changes)
    with pytest.raises(LfdError, match=words):
        import_minari(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_dataset_is_refused_or_read_but_never_a_surprise(tmp_path: Path, data: st.DataObject):
    folder = tmp_path / os.urandom(6).hex()
    store = DemoStore.create(folder / "demos", made_up_spec(size_px=2))
    store.append(made_up_episode(0, 2, size_px=2))
    export_minari(store, store.ids(), folder / "out")
    path = data.draw(st.sampled_from(sorted(p for p in (folder / "out").rglob("*") if p.is_file())))
    damaged = bytearray(path.read_bytes())
    for _ in range(3):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged[: data.draw(st.integers(0, len(damaged)) | st.just(len(damaged)))])
    try:
        import_minari(folder / "out", folder / "again", ImportOptions(env_id="x/Y-v0"))
    except LfdError as error:
        assert "\n" not in str(error)
