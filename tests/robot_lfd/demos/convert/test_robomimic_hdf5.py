"""robomimic files: human ones where they are, a made-up one of robosuite Lift, ours there and back, damaged ones."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robot_lfd.cli import call
from robot_lfd.demos.convert.detect import detect_format
from robot_lfd.demos.convert.options import ImportOptions
from robot_lfd.demos.convert.robomimic_export import export_robomimic_hdf5
from robot_lfd.demos.convert.robomimic_hdf5 import import_robomimic_hdf5
from robot_lfd.demos.store import DemoStore
from robot_lfd.envs.registry import make_env
from robot_lfd.errors import LfdError
from tests.robot_lfd.demos.conftest import made_up_episode, made_up_spec, same

HUMAN = Path(os.environ.get("LFD_DATA", "../shared/data")) / "robosuite" / "square_ph_low_dim.hdf5"
PEER = os.environ.get("LFD_PEER_ROBOMIMIC")  # a Python with robomimic
LOOK = """
import sys, json
import robomimic.utils.file_utils as files
import robomimic.utils.obs_utils as obs_utils
from robomimic.utils.dataset import SequenceDataset
obs_utils.initialize_obs_utils_with_obs_specs({"obs": {"low_dim": ["eef_pos"], "rgb": ["front_image"]}})
def read(**filters):
    return SequenceDataset(sys.argv[1], obs_keys=["eef_pos", "front_image"], seq_length=2, load_next_obs=True,
                           dataset_keys=("actions", "rewards", "dones"), frame_stack=1, pad_seq_length=True, **filters)
data, row = read(), read()[5]
print(json.dumps([files.get_env_metadata_from_dataset(sys.argv[1])["env_name"], len(data), data.n_demos,
                  len(read(filter_by_attribute="train")), row["actions"].tolist(), row["obs"]["eef_pos"].tolist(),
                  row["obs"]["front_image"].tolist()]))
"""
ENV_ARGS = {"env_name": "Lift", "type": 1, "env_kwargs": {"robots": ["Panda"], "control_freq": 20}}


def write_mimic(path: Path, demos: list[dict[str, Any]], env_args: Any = ENV_ARGS) -> Path:
    """Writes a file in robomimic's layout."""
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["env_args"] = json.dumps(env_args)
        for k, arrays in enumerate(demos):
            for name, array in arrays.items():
                data[f"demo_{k}/{name}"] = array
    return path


@pytest.fixture(scope="module")
def lift() -> list[dict[str, Any]]:
    """Two demos of robosuite Lift with random actions, and what was seen in them."""
    env = make_env("robosuite/Lift-v0", terminate_on_success=False)
    found = []
    for seed in range(2):
        obs, _ = env.reset(seed=seed)
        states, seen, rng = [], [], np.random.default_rng(seed)
        actions = rng.uniform(-1, 1, (4 + seed, 7)).astype(np.float32)
        for action in actions:
            states.append(env.unwrapped.sim_state())
            seen.append(obs)
            obs, *_ = env.step(action)
        reward = np.zeros(len(actions))
        reward[-1] = seed  # the second demo succeeds
        found.append({"actions": actions, "states": np.array(states), "rewards": reward, "seen": seen})
    env.close()
    return found


def stored(lift: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in demo.items() if k != "seen"} for demo in lift]


def test_states_are_set_and_observed_in_the_installed_robosuite(lift, tmp_path: Path):
    source = write_mimic(tmp_path / "lift.hdf5", stored(lift))
    assert detect_format(source) == "robomimic"
    report = import_robomimic_hdf5(source, tmp_path / "out", ImportOptions(cameras=("agentview",), size_px=16))
    assert (report["imported"], report["steps"], report["succeeded"]) == (2, 9, 1)
    store = DemoStore.open(tmp_path / "out")
    for episode_id, demo in zip(store.ids(), lift, strict=True):
        episode = store[episode_id]
        np.testing.assert_array_equal(episode.action, demo["actions"])
        np.testing.assert_array_equal(episode.sim_state[:-1], demo["states"])
        recorded = np.array([o["joint_pos"] for o in demo["seen"]])
        np.testing.assert_allclose(episode.obs["joint_pos"][:-1], recorded, atol=1e-6)
        np.testing.assert_allclose(episode.obs["eef_pos"][0], demo["seen"][0]["eef_pos"], atol=1e-6)
        assert episode.obs["images/agentview"].shape == (len(episode) + 1, 16, 16, 3)
        assert episode.obs["images/agentview"].std() > 5
    assert report["demos"][0]["drift_eef_pos_m"] < 0.01
    again = import_robomimic_hdf5(source, tmp_path / "out", ImportOptions(cameras=("agentview",), size_px=16))
    assert (again["imported"], again["already_there"], len(store)) == (0, 2, 2)


def test_filters_become_splits_and_tags(lift, tmp_path: Path):
    source = write_mimic(tmp_path / "lift.hdf5", stored(lift))
    with h5py.File(source, "a") as file:
        for name, members in {"train": ["demo_1"], "valid": ["demo_0"], "better": ["demo_1"], "success": []}.items():
            file[f"mask/{name}"] = np.array(members, "S8")
    import_robomimic_hdf5(source, tmp_path / "out", ImportOptions(open_loop=False))
    store = DemoStore.open(tmp_path / "out")
    first, second = (store.info(i) for i in store.ids())
    assert (first.split, first.tags, second.split, second.tags) == ("valid", (), "train", ("better",))
    for k, bad in enumerate((np.zeros(3), np.array(["demo_0"] * 9, "S8"), np.array([b"x" * 2000]))):
        with h5py.File(source, "a") as file:
            del file["mask/better"]
            file["mask/better"] = bad
        with pytest.raises(LfdError, match="mask/better"):
            import_robomimic_hdf5(source, tmp_path / f"bad-{k}")
        assert not (tmp_path / f"bad-{k}").exists()


def test_human_square_demos_come_in(tmp_path: Path):
    if not HUMAN.exists():
        pytest.skip("no human data; set LFD_DATA to the folder that holds robosuite/square_ph_low_dim.hdf5")
    report = import_robomimic_hdf5(HUMAN, tmp_path / "square", ImportOptions(max_demos=1, open_loop=False))
    assert (report["imported"], report["steps"], report["succeeded"]) == (1, 127, 1)
    store = DemoStore.open(tmp_path / "square")
    episode = store[store.ids()[0]]
    with h5py.File(HUMAN) as file:
        seen = file["data/demo_0/obs"]
        for ours, theirs in (("eef_pos", seen["robot0_eef_pos"]), ("joint_pos", seen["robot0_joint_pos"])):
            np.testing.assert_allclose(episode.obs[ours][:-1], theirs[()], atol=2e-6)
        np.testing.assert_allclose(episode.obs["object_pos"][:-1], seen["object"][:, :3], atol=2e-6)
    assert episode.success and episode.terminated


@pytest.mark.slow
def test_square_comes_in_whole(tmp_path: Path):
    if not HUMAN.exists():
        pytest.skip("no human data; set LFD_DATA to the folder that holds robosuite/square_ph_low_dim.hdf5")
    report = import_robomimic_hdf5(HUMAN, tmp_path / "square", ImportOptions(open_loop=False))
    assert (report["imported"], report["steps"], report["succeeded"]) == (200, 30154, 200)


def test_export_and_import_give_the_same_dataset(store: DemoStore, tmp_path: Path):
    for k in range(3):
        store.append(made_up_episode(k, 4 + k))
    store.label(store.ids()[1], split="valid", tags=("hard",))
    expected = {i: store[i] for i in store.ids()}
    assert export_robomimic_hdf5(store, store.ids(), tmp_path / "out.hdf5") == {"demos": 3, "steps": 15}
    report = import_robomimic_hdf5(tmp_path / "out.hdf5", tmp_path / "again")
    assert (report["imported"], report["steps"]) == (3, 15)
    again = DemoStore.open(tmp_path / "again")
    assert again.spec == store.spec and again.ids() == store.ids()
    assert all(same(again[i], episode) for i, episode in expected.items())
    assert import_robomimic_hdf5(tmp_path / "out.hdf5", tmp_path / "again")["imported"] == 0


def test_an_exported_file_has_what_robomimic_documents(store: DemoStore, tmp_path: Path):
    ids = [store.append(made_up_episode(k, 4)) for k in range(2)]
    store.label(ids[1], split="valid")
    export_robomimic_hdf5(store, ids, tmp_path / "out.hdf5")
    with h5py.File(tmp_path / "out.hdf5") as file:
        data = file["data"]
        assert data.attrs["total"] == 8 and json.loads(data.attrs["env_args"])["env_name"] == "made-up/Task-v0"
        demo = data["demo_1"]
        assert demo.attrs["num_samples"] == 4 and demo.attrs["model_file"].startswith("<mujoco>")
        episode = store[ids[1]]
        np.testing.assert_array_equal(demo["obs/eef_pos"][()], episode.obs["eef_pos"][:-1])
        np.testing.assert_array_equal(demo["next_obs/eef_pos"][()], episode.obs["eef_pos"][1:])
        np.testing.assert_array_equal(demo["obs/front_image"][()], episode.obs["images/front"][:-1])
        np.testing.assert_array_equal(demo["states"][()], episode.sim_state[:-1])
        assert demo["dones"][()].tolist() == [0, 0, 0, 1]
        assert file["mask/valid"][()].tolist() == [b"demo_1"] and file["mask/success"][()].tolist() == [b"demo_0"]


def test_a_robosuite_dataset_names_its_environment_as_robomimic_does(lift, tmp_path: Path):
    import_robomimic_hdf5(
        write_mimic(tmp_path / "a.hdf5", stored(lift)), tmp_path / "out", ImportOptions(open_loop=False)
    )
    store = DemoStore.open(tmp_path / "out")
    export_robomimic_hdf5(store, store.ids(), tmp_path / "b.hdf5")
    with h5py.File(tmp_path / "b.hdf5") as file:
        env_args = json.loads(file["data"].attrs["env_args"])
    assert (env_args["env_name"], env_args["type"], env_args["env_kwargs"]["robots"]) == ("Lift", 1, ["Panda"])
    assert env_args["env_kwargs"]["controller_configs"]["body_parts"]
    from robot_lfd.demos.convert.robomimic_hdf5 import _environment

    assert _environment(env_args) == (store.spec.env_id, store.spec.env_kwargs)


@pytest.mark.slow
def test_robomimic_reads_what_we_export(store: DemoStore, tmp_path: Path):
    if not PEER:
        pytest.skip("set LFD_PEER_ROBOMIMIC to a Python with robomimic")
    ids = [store.append(made_up_episode(k, 4 + k)) for k in range(3)]
    store.label(ids[0], split="train")
    export_robomimic_hdf5(store, ids, tmp_path / "out.hdf5")
    done = subprocess.run([PEER, "-c", LOOK, tmp_path / "out.hdf5"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    name, total, demos, train, action, seen, image = json.loads(done.stdout.splitlines()[-1])
    assert (name, total, demos, train) == ("made-up/Task-v0", 15, 3, 4)
    episode = store[ids[1]]
    np.testing.assert_allclose(action, episode.action[1:3])
    np.testing.assert_allclose(seen, episode.obs["eef_pos"][1:3])
    np.testing.assert_array_equal(image, episode.obs["images/front"][1:3])


GOOD = {"actions": np.zeros((3, 7), np.float32), "states": np.zeros((3, 32)), "rewards": np.zeros(3)}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"states": None}, "demo_0 has no states"),
        ({"actions": None}, "actions is missing"),
        ({"actions": np.zeros((3, 5))}, "actions of 5 dimensions"),
        ({"actions": np.full((3, 7), 2.0)}, "beyond"),
        ({"actions": np.zeros((0, 7))}, "has no steps"),
        ({"states": np.zeros((2, 32))}, "states has shape"),
        ({"states": np.full((3, 32), np.nan)}, "states holds NaN"),
        ({"states": np.array([[b"x"] * 32] * 3)}, "expected plain numbers"),
        ({"rewards": np.zeros((3, 1))}, "rewards has shape"),
        ({"states": np.zeros((3, 31))}, "states of 31 numbers"),
    ],
)
def test_malformed_demos_are_refused_in_plain_words_and_nothing_is_stored(tmp_path: Path, changes, words):
    demo = {k: v for k, v in {**GOOD, **changes}.items() if v is not None}
    source = write_mimic(tmp_path / "bad.hdf5", [demo])
    with pytest.raises(LfdError, match=words):
        import_robomimic_hdf5(source, tmp_path / "out", ImportOptions(open_loop=False))
    assert not (tmp_path / "out").exists() or len(DemoStore.open(tmp_path / "out")) == 0


@pytest.mark.parametrize(
    ("env_args", "words"),
    [
        ({"env_name": "Hopper", "type": 2, "env_kwargs": {}}, "kind 2, expected robosuite"),
        ({**ENV_ARGS, "env_name": "Lifft"}, "near matches: Lift"),
        ({**ENV_ARGS, "env_kwargs": None}, "expected robosuite"),
        (["no", "object"], "is no JSON object"),
    ],
)
def test_environments_that_cannot_be_built_are_refused(tmp_path: Path, env_args, words):
    with pytest.raises(LfdError, match=words):
        import_robomimic_hdf5(write_mimic(tmp_path / "bad.hdf5", [GOOD], env_args), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_hostile_files_are_refused_without_being_read(tmp_path: Path):
    outside = tmp_path / "outside.hdf5"
    write_mimic(outside, [GOOD])
    (tmp_path / "raw.bin").write_bytes(bytes(10**6))

    def huge(demo: h5py.Group) -> None:
        demo.create_dataset("actions", (10**11, 7), "f4", chunks=(1024, 7))

    def bomb(demo: h5py.Group) -> None:
        demo.create_dataset("actions", data=np.zeros((10**7, 7), "f4"), chunks=(10**6, 7), compression="gzip")

    def objects(demo: h5py.Group) -> None:
        demo.create_dataset("actions", (3,), h5py.string_dtype())

    def elsewhere(demo: h5py.Group) -> None:
        demo["actions"] = h5py.ExternalLink(str(outside), "/data/demo_0/actions")

    def raw(demo: h5py.Group) -> None:
        demo.create_dataset("actions", (3, 7), "f4", external=[(str(tmp_path / "raw.bin"), 0, 84)])

    def virtual(demo: h5py.Group) -> None:
        layout = h5py.VirtualLayout((3, 7), "f4")
        layout[:] = h5py.VirtualSource(str(outside), "/data/demo_0/actions", (3, 7))
        demo.create_virtual_dataset("actions", layout)

    def loop(demo: h5py.Group) -> None:
        demo["actions"] = h5py.SoftLink("/data/demo_0/actions")

    for k, attack in enumerate((huge, bomb, objects, elsewhere, raw, virtual, loop)):
        source = tmp_path / f"hostile-{k}.hdf5"
        with h5py.File(source, "w") as file:
            file.create_group("data").attrs["env_args"] = json.dumps(ENV_ARGS)
            attack(file["data"].create_group("demo_0"))
        with pytest.raises(LfdError, match=r"actions (declares|is missing|keeps|has type)"):
            import_robomimic_hdf5(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of an exported file of two small demos."""
    folder = tmp_path_factory.mktemp("exported")
    store = DemoStore.create(folder / "demos", made_up_spec())
    for k in range(2):
        store.append(made_up_episode(k, 3))
    export_robomimic_hdf5(store, store.ids(), folder / "out.hdf5")
    return (folder / "out.hdf5").read_bytes()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_refused_or_read_but_never_a_surprise(exported: bytes, tmp_path: Path, data: st.DataObject):
    damaged = bytearray(exported)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)) | st.just(len(damaged)))
    folder = tmp_path / os.urandom(6).hex()
    folder.mkdir()
    (folder / "bad.hdf5").write_bytes(damaged[:cut])
    try:
        import_robomimic_hdf5(folder / "bad.hdf5", folder / "out")
    except LfdError as error:
        assert "\n" not in str(error)


def test_the_commands_import_and_export(store: DemoStore, tmp_path: Path, capsys: pytest.CaptureFixture):
    for k in range(4):
        store.append(made_up_episode(k))
    out = str(tmp_path / "out.hdf5")
    assert call(["data", "export", str(store.path), "--out", out, "--success", "yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["demos"] == 2
    assert call(["data", "export", str(store.path), "--out", out]) == 1
    assert "exists already" in capsys.readouterr().err
    assert call(["data", "import", out, "--out", str(tmp_path / "again"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["imported"] == 2
    for bad in (str(tmp_path / "none.hdf5"), str(store.path), str(store.path / "dataset.json")):
        assert call(["data", "import", bad, "--out", str(tmp_path / "x")]) == 1
        assert capsys.readouterr().err.startswith("lfd: error: ")
