"""Every importer, every kind of damage: a plain error, soon, in little memory; nothing run, nothing half-written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from robot_lfd.demos.convert.detect import detect_format, exporter, importer
from robot_lfd.demos.convert.options import ImportOptions
from robot_lfd.demos.store import DemoStore
from robot_lfd.envs.registry import make_env
from tests.robot_lfd.demos.conftest import made_up_episode, made_up_spec
from tests.robot_lfd.demos.convert.damage import copy_of, spoil
from tests.robot_lfd.demos.convert.sandbox import MEMORY_BYTES, WITH_SIMULATOR, import_in_sandbox

OPTIONS = ImportOptions(env_id="x/Y-v0", open_loop=False)
FOREIGN = ("diffusion_policy", "minari", "lerobot")  # without our own file of the rest they are as others write them


def export(name: str, folder: Path, **further: str) -> Path:
    """Returns an export of two small made-up demos."""
    if name == "lerobot":
        pytest.importorskip("pyarrow", reason="pip install 'robot-lfd[lerobot]'", exc_type=ImportError)
    store = DemoStore.create(folder / "demos", made_up_spec(size_px=16))
    for k in range(2):
        store.append(made_up_episode(k, 3 + k, size_px=16))
    out = folder / ("source.hdf5" if name == "robomimic" else "source")
    exporter(name)(store, store.ids(), out, **further)
    return out


def raw_lift(folder: Path, *, robomimic: bool) -> Path:
    """Returns a demo of robosuite Lift as robosuite or robomimic stores it."""
    env = make_env("robosuite/Lift-v0", terminate_on_success=False)
    env.reset(seed=0)
    actions, states = np.zeros((3, 7), np.float32), []
    for action in actions:
        states.append(env.unwrapped.sim_state())
        env.step(action)
    info = {"env_name": "Lift", "robots": "Panda"}
    said = {"env_args": {**info, "type": 1, "env_kwargs": {"robots": ["Panda"]}}} if robomimic else {"env_info": info}
    with h5py.File(folder / "source.hdf5", "w") as file:
        data = file.create_group("data")
        for name, value in said.items():
            data.attrs[name] = json.dumps(value)
        data["demo_1/actions"], data["demo_1/states"] = actions, np.array(states)
        data["demo_1"].attrs["model_file"] = env.unwrapped.model()
    env.close()
    return folder / "source.hdf5"


def trajectories(folder: Path) -> Path:
    """Returns two trajectories of Pendulum as papers pass them on."""
    rng = np.random.default_rng(0)
    arrays = {"obs": rng.normal(size=(7, 3)).astype(np.float32), "actions": np.zeros((5, 1), np.float32)}
    lengths, ended = np.array([2, 3]), np.zeros(2, bool)
    np.savez(folder / "source.npz", **arrays, lengths=lengths, terminated=ended, env_id="Pendulum-v1")
    return folder / "source.npz"


SOURCES: dict[str, Callable[[Path], Path]] = {
    "npz": trajectories,
    "robosuite": lambda folder: raw_lift(folder, robomimic=False),
    "robomimic of others": lambda folder: raw_lift(folder, robomimic=True),
    "lerobot with video": lambda folder: export("lerobot", folder, video="h264"),
    **{name: lambda folder, name=name: export(name, folder) for name in ("robomimic", *FOREIGN)},
    **{f"{name} of others": lambda folder, name=name: bare(export(name, folder)) for name in FOREIGN},
}


def bare(source: Path) -> Path:
    """Returns a source without what only this program writes."""
    (source / "lfd.hdf5").unlink()
    return source


@pytest.fixture(scope="module", params=SOURCES)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A healthy source of each kind."""
    return SOURCES[request.param](tmp_path_factory.mktemp("healthy"))


def try_to_import(source: Path, folder: Path, name: str) -> str:
    memory = WITH_SIMULATOR if source.is_file() else MEMORY_BYTES
    options = ImportOptions() if source.suffix == ".npz" else OPTIONS  # which says itself what it is of
    return import_in_sandbox(lambda out: importer(name)(source, out, options), folder, memory)


def damage_and_import(source: Path, tmp_path: Path, data: st.DataObject) -> None:
    folder = tmp_path / os.urandom(6).hex()
    folder.mkdir()
    name, spoilt = detect_format(source), copy_of(source, folder)
    spoil(data, folder, spoilt)
    try_to_import(spoilt, folder, name)


def test_a_healthy_source_is_read(source: Path, tmp_path: Path):
    assert try_to_import(copy_of(source, tmp_path), tmp_path, detect_format(source)) == "read"


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_spoilt_source_is_refused_in_one_line_or_read_whole(source: Path, tmp_path: Path, data: st.DataObject):
    damage_and_import(source, tmp_path, data)


@pytest.mark.slow
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(data=st.data())
def test_a_hundred_spoilt_sources_of_each_kind(source: Path, tmp_path: Path, data: st.DataObject):
    damage_and_import(source, tmp_path, data)
