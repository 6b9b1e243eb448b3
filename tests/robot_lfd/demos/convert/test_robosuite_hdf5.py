"""Raw robosuite files: one that the test writes as robosuite 1.4 would, and the human ones where they are."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from robot_lfd.demos.convert.detect import detect_format
from robot_lfd.demos.convert.options import ImportOptions
from robot_lfd.demos.convert.robosuite_export import export_robosuite_hdf5
from robot_lfd.demos.convert.robosuite_hdf5 import import_robosuite_hdf5
from robot_lfd.demos.convert.robosuite_settings import world_of
from robot_lfd.demos.resimulate import first_difference
from robot_lfd.demos.store import DemoStore
from robot_lfd.envs.registry import make_env
from robot_lfd.errors import LfdError
from robot_lfd.replay import replay_env, replay_episode
from tests.robot_lfd.demos.conftest import made_up_episode, made_up_spec

HUMAN = Path(os.environ.get("LFD_DATA", "../shared/data")) / "robosuite" / "lift_human_fast.hdf5"
CONTROLLER = {
    "type": "OSC_POSE", "input_max": 1, "input_min": -1, "output_max": [0.05, 0.05, 0.05, 0.5, 0.5, 0.5],
    "output_min": [-0.05, -0.05, -0.05, -0.5, -0.5, -0.5], "kp": 150, "damping_ratio": 1, "impedance_mode": "fixed",
    "kp_limits": [0, 300], "damping_ratio_limits": [0, 10], "position_limits": None, "orientation_limits": None,
    "uncouple_pos_ori": True, "control_delta": True, "interpolation": None, "ramp_ratio": 0.2,
}  # fmt: skip
ENV_INFO = {"env_name": "Lift", "robots": "Panda", "controller_configs": CONTROLLER}
CUBE_QPOS = 1 + 7 + 2  # after time, the arm's joints and the fingers


@pytest.fixture(scope="module")
def recordings() -> list[tuple[str, np.ndarray, np.ndarray]]:
    """A demo that holds the cube in the air and one that leaves it on the table: model, states, actions."""
    env = make_env("robosuite/Lift-v0", terminate_on_success=False)
    arm, found = env.unwrapped, []
    for seed, lift in ((1, 0.5), (2, 0.0)):
        env.reset(seed=seed)
        state = arm.sim_state()
        state[CUBE_QPOS + 2] += lift
        env.reset(options={"model": arm.model(), "sim_state": state})
        actions = np.random.default_rng(seed).uniform(-3.75, 3.75, (4 + seed, 7))  # a keyboard's are not clipped
        states = []
        for action in actions:
            states.append(arm.sim_state())
            env.step(np.clip(action, -1, 1).astype(np.float32))
        found.append((arm.model().replace("gripper0_right_", "gripper0_"), np.array(states), actions))
    env.close()
    return found


def write(path: Path, recordings, env_info: dict | None = None) -> Path:
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["env_info"] = json.dumps(ENV_INFO if env_info is None else env_info)
        data.attrs["repository_version"] = "1.4.1"
        for i, (model, states, actions) in enumerate(recordings):
            demo = data.create_group(f"demo_{i + 1}")
            demo.attrs["model_file"] = model
            demo["states"], demo["actions"] = states, actions
    return path


def test_demos_come_in_with_observations_labels_and_origin_and_play_again_bit_for_bit(tmp_path, recordings, capsys):
    source = write(tmp_path / "raw.hdf5", recordings)
    result = import_robosuite_hdf5(source, tmp_path / "d", ImportOptions(cameras=("agentview",), size_px=24))
    held, left = result["demos"]
    assert (result["imported"], result["succeeded"], result["env_kwargs"]) == (2, 1, {})
    assert (held["success"], held["first_success"], left["success"], left["first_success"]) == (True, 1, False, None)
    assert max(d[k] for d in (held, left) for k in d if k.startswith("drift")) < 1e-9
    assert "demo_2" in capsys.readouterr().out

    store = DemoStore.open(tmp_path / "d")
    assert store.spec.env_id == "robosuite/Lift-v0" and len(store) == 2
    with replay_env(store.spec) as env:
        for episode_id, recording in zip(store.ids(), recordings, strict=True):
            episode = store[episode_id]
            assert np.array_equal(episode.action, np.clip(recording[2], -1, 1).astype(np.float32))
            assert np.array_equal(episode.sim_state[0], recording[1][0])
            assert episode.obs["images/agentview"].shape == (len(episode) + 1, 24, 24, 3)
            again, _ = replay_episode(env, episode)
            assert first_difference(episode, again) is None
    first, second = (store[i] for i in store.ids())
    assert first.terminated and not first.truncated and not second.terminated and second.truncated
    assert second.meta["source"]["demo"] == "demo_2" and second.meta["source"]["file"] == "raw.hdf5"
    assert second.meta["source"]["attributes"]["repository_version"] == "1.4.1"

    again = import_robosuite_hdf5(source, tmp_path / "d", ImportOptions(cameras=("agentview",), size_px=24))
    assert (again["imported"], again["already_there"], len(store)) == (0, 2, 2)


def test_the_cube_has_the_size_that_it_had(tmp_path, recordings):
    model, states, actions = recordings[1]
    big = model.replace(size_of(model), "0.03 0.031 0.032")
    source = write(tmp_path / "raw.hdf5", [(big, states, actions)])
    import_robosuite_hdf5(source, tmp_path / "d")
    store = DemoStore.open(tmp_path / "d")
    stored = store[store.ids()[0]].model
    assert size_of(stored) == "0.03 0.031 0.032" and stored.count("0.03 0.031 0.032") == 2  # it collides and is seen


def size_of(model: str) -> str:
    geom = re.search(r'<geom [^>]*name="cube_g0"[^>]*>', model)
    assert geom is not None
    return geom[0].split(' size="')[1].split('"')[0]


def test_export_and_import_give_the_same_numbers(tmp_path, recordings):
    import_robosuite_hdf5(write(tmp_path / "raw.hdf5", recordings), tmp_path / "d")
    store = DemoStore.open(tmp_path / "d")
    assert export_robosuite_hdf5(store, store.ids(), tmp_path / "out.hdf5") == {"demos": 2, "steps": 11}
    assert detect_format(tmp_path / "out.hdf5") == "robosuite"
    import_robosuite_hdf5(tmp_path / "out.hdf5", tmp_path / "again")
    again = DemoStore.open(tmp_path / "again")
    assert store.spec.difference(again.spec) == "" and len(again) == 2
    for mine, theirs in zip(store.ids(), again.ids(), strict=True):
        before, after = store[mine], again[theirs]
        assert before.success == after.success and before.model == after.model
        for name, array in before.arrays().items():
            assert array.tobytes() == after.arrays()[name].tobytes(), name


def test_robosuite_itself_plays_what_we_export(tmp_path, recordings):
    import robosuite

    import_robosuite_hdf5(write(tmp_path / "raw.hdf5", recordings), tmp_path / "d")
    store = DemoStore.open(tmp_path / "d")
    export_robosuite_hdf5(store, store.ids(), tmp_path / "out.hdf5")
    with h5py.File(tmp_path / "out.hdf5") as file:
        info, demo = json.loads(file["data"].attrs["env_info"]), file["data/demo_1"]
        model, states, actions = demo.attrs["model_file"], demo["states"][()], demo["actions"][()]
    env = robosuite.make(**info, has_renderer=False, has_offscreen_renderer=False, use_camera_obs=False)
    env.reset()
    env.reset_from_xml_string(env.edit_model_xml(model))  # as robosuite's playback script does
    env.sim.reset()
    env.sim.set_state_from_flattened(states[0])
    env.sim.forward()
    np.testing.assert_array_equal(env.sim.get_state().flatten(), states[0])
    for action in actions:
        env.step(action)
    cube = slice(CUBE_QPOS, CUBE_QPOS + 3)
    last = store[store.ids()[0]].sim_state[-1]
    np.testing.assert_allclose(env.sim.get_state().flatten()[cube], last[cube], atol=0.02)
    env.close()


def test_demos_of_another_simulator_have_no_place_in_robosuites_format(tmp_path):
    store = DemoStore.create(tmp_path / "d", made_up_spec())
    store.append(made_up_episode())
    with pytest.raises(LfdError, match="expected an environment of robosuite"):
        export_robosuite_hdf5(store, store.ids(), tmp_path / "out.hdf5")
    assert not (tmp_path / "out.hdf5").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"env_name": "Lfit"}, "task 'Lfit'.*near matches: Lift"),
        ({"robots": ["Panda", "Panda"]}, "expected one single-arm robot"),
        ({"robots": "Pandda"}, "unknown robot 'Pandda'"),
        ({"controller_configs": {**CONTROLLER, "control_delta": False}}, "absolute goals"),
        ({"controller_configs": {**CONTROLLER, "impedance_mode": "variable"}}, "stiffness"),
        ({"controller_configs": {**CONTROLLER, "type": "OSC_POSITION"}}, "output_max has 6 numbers, expected 3"),
        ({"controller_configs": {"type": "OSC_POSITION"}}, "actions of 7 dimensions"),
        ({"table_shape": "round"}, "robosuite cannot build Lift"),
    ],
)
def test_settings_without_a_counterpart_are_refused_with_the_reason(tmp_path, recordings, change, message):
    source = write(tmp_path / "raw.hdf5", recordings, {**ENV_INFO, **change})
    with pytest.raises(LfdError, match=message):
        import_robosuite_hdf5(source, tmp_path / "d")
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: f["data"].attrs.pop("env_info"), "no raw robosuite file"),
        (lambda f: f["data"].attrs.modify("env_info", "{"), "is no JSON"),
        (lambda f: f["data/demo_2"].pop("states"), "demo_2 has no states; is this a file of robomimic"),
        (lambda f: f["data/demo_2"].attrs.pop("model_file"), "no attribute model_file"),
        (lambda f: f["data/demo_1/actions"].write_direct(np.full((5, 7), np.nan)), "holds NaN"),
        (lambda f: replace(f, "data/demo_1/actions", np.array([b"text"] * 5)), "expected plain numbers"),
        (lambda f: promise(f, "data/demo_1/actions", (2**40, 7)), "more than the file can hold"),
        (lambda f: replace(f, "data/demo_1/actions", np.zeros((3, 7))), "expected .T, .. both"),
        (lambda f: replace(f, "data/demo_1/states", np.zeros((5, 45))), "states have 45 numbers"),
        (lambda f: f["data/demo_1"].attrs.modify("model_file", "<mujoco>"), "no XML"),
        (lambda f: f["data/demo_1"].attrs.modify("model_file", "<mujoco/>"), "no MJCF"),
        (lambda f: (f["data"].pop("demo_1"), f["data"].pop("demo_2")), "holds no demos"),
    ],
)
def test_a_damaged_file_is_told_plainly_and_leaves_nothing_behind(tmp_path, recordings, damage, message):
    source = write(tmp_path / "raw.hdf5", recordings)
    with h5py.File(source, "a") as file:
        damage(file)
    with pytest.raises(LfdError, match=message):
        import_robosuite_hdf5(source, tmp_path / "d")
    assert not (tmp_path / "d").exists()


def promise(file, path: str, shape: tuple[int, ...]) -> None:
    del file[path]
    file.create_dataset(path, shape=shape, dtype="f8", chunks=(64, 7))


def replace(file: h5py.File, name: str, array: np.ndarray) -> None:
    del file[name]
    file[name] = array


def test_a_file_that_is_none_is_told_plainly(tmp_path):
    with pytest.raises(LfdError, match="no such file"):
        import_robosuite_hdf5(tmp_path / "none.hdf5", tmp_path / "d")
    (tmp_path / "text.hdf5").write_text("demos")
    with pytest.raises(LfdError, match="cannot be read as HDF5"):
        import_robosuite_hdf5(tmp_path / "text.hdf5", tmp_path / "d")


@pytest.mark.skipif(not HUMAN.exists(), reason=f"no human demos at {HUMAN}; set LFD_DATA")
def test_a_persons_demo_of_robosuite_1_4_still_succeeds_and_plays_again(tmp_path):
    result = import_robosuite_hdf5(HUMAN, tmp_path / "d", ImportOptions(max_demos=1))
    demo = result["demos"][0]
    assert demo["success"] and demo["steps"] == 85 and demo["drift_object_m"] < 0.02
    store = DemoStore.open(tmp_path / "d")
    with replay_env(store.spec) as env:
        episode = store[demo["id"]]
        assert first_difference(episode, replay_episode(env, episode)[0]) is None
        assert episode.obs["object_height"][-1, 0] > 0.04


@pytest.mark.slow
@pytest.mark.skipif(not HUMAN.exists(), reason=f"no human demos at {HUMAN}; set LFD_DATA")
@pytest.mark.parametrize("speed", ["fast", "slow"])
def test_every_human_demo_still_succeeds(tmp_path, speed):
    result = import_robosuite_hdf5(HUMAN.with_name(f"lift_human_{speed}.hdf5"), tmp_path / "d")
    assert result["succeeded"] == result["imported"] > 3


class World:
    """Stands in for an environment of which only the model's text is asked."""

    def __init__(self, text: str) -> None:
        self.text = text

    def model(self) -> str:
        return self.text


DOOR = """<mujoco><worldbody>
<body name="robot0_base" pos="{robot}"><body name="robot0_arm"><joint name="robot0_j" /></body></body>
<body name="door_main" pos="{door}" quat="1 0 0 0"><body name="door"><joint name="hinge" /></body></body>
<body name="cube_main"><joint name="cube_joint0" type="free" /></body>
</worldbody></mujoco>"""


def test_a_fixed_object_stands_where_it_stood_and_the_robot_where_it_stands_now():
    state = np.arange(1 + 9 + 8, dtype=float)
    world = world_of(
        DOOR.format(robot="1 1 1", door="0.3 0.2 0.1"), state, World(DOOR.format(robot="0 0 0", door="0 0 0"))
    )
    assert "door_main" in world.text and "[0.3, 0.2, 0.1, 1.0, 0.0, 0.0, 0.0]" in world.text.replace("&quot;", '"')
    assert "robot0_base&quot;" not in world.text
    assert np.array_equal(world.first_state, state)
    assert list(world.joint_columns) == [1] and list(world.object_columns) == [3, 4, 5]


def test_joints_are_matched_by_name_not_by_place():
    joint = '<body name="{0}"><joint name="{0}" /></body>'.format
    world_with = "<mujoco><worldbody>{}</worldbody></mujoco>".format
    ours = World(world_with(joint("robot0_a") + joint("gripper0_right_f")))
    world = world_of(world_with(joint("gripper0_f") + joint("robot0_a")), np.array([0.0, 1, 2, 3, 4]), ours)
    assert list(world.first_state) == [0, 2, 1, 4, 3]
    with pytest.raises(LfdError, match=r"other joints.*gripper0_right_f"):
        world_of(world_with(joint("robot0_a")), np.zeros(3), ours)
