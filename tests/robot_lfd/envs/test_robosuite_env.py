"""One contract suite over the robosuite tasks: two of them by default, all of them with -m slow."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from robot_lfd.envs.contract import ArmEnv
from robot_lfd.envs.registry import ROBOSUITE_TASKS, make_env
from robot_lfd.envs.robosuite_stepper import CompiledStepper
from robot_lfd.envs.robosuite_world import Draws, robosuite
from robot_lfd.errors import LfdError

QUICK = ("Lift", "Door")  # Door is placed by its body, Lift by a joint: the two ways there are
ALL = [t if t in QUICK else pytest.param(t, marks=pytest.mark.slow) for t in ROBOSUITE_TASKS]


@pytest.fixture(scope="module", params=ALL)
def env(request):
    env = make_env(f"robosuite/{request.param}-v0")
    yield env
    env.close()


def some_actions(env: gym.Env, count: int = 25) -> np.ndarray:
    shape = (count, *(env.action_space.shape or ()))
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def played(env: gym.Env, actions: np.ndarray, **start) -> dict[str, np.ndarray]:
    """Returns everything seen while the actions are played: observations, states, rewards."""
    arm = env.unwrapped
    obs, _ = env.reset(**start)
    rows = [{**obs, "sim_state": arm.sim_state(), "reward": 0.0}]
    for action in actions:
        obs, reward, *_ = env.step(action)
        rows.append({**obs, "sim_state": arm.sim_state(), "reward": reward})
    return {k: np.array([row[k] for row in rows]) for k in rows[0]}


def assert_equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    for key, value in one.items():
        assert np.array_equal(value, other[key]), f"{key} differs by {np.abs(value - other[key]).max()}"


def test_gymnasium_finds_no_fault(env):
    check_env(env.unwrapped, skip_render_check=True)


def test_it_offers_the_arm_contract(env):
    arm = env.unwrapped
    assert isinstance(arm, ArmEnv)
    assert arm.control_hz == 20.0
    assert len(arm.action_names) == len(arm.action_scale) == len(arm.action_units) == env.action_space.shape[0]
    assert arm.action_names[:6] == ("dx", "dy", "dz", "drx", "dry", "drz")
    assert np.allclose(arm.action_scale[:6], [0.05] * 3 + [0.5] * 3)
    assert set(arm.policy_keys) <= set(env.observation_space.spaces)
    assert not [k for k in arm.policy_keys if k.endswith("_pos")], "a policy should see relations, not places"
    assert set(arm.proprio_keys) <= set(arm.policy_keys)
    assert (
        {"eef_height", "eef_vel"}
        <= set(arm.proprio_keys)
        <= {"eef_rot", "eef_height", "eef_vel", "gripper_width", "gripper_vel"}
    ), "pixel policies feel the arm alone"
    assert all(s.dtype == np.float32 for s in env.observation_space.spaces.values())


def test_a_policy_sees_how_the_hand_is_turned_where_the_task_turns_it(env):
    cubes = env.unwrapped.task in ("Lift", "Stack")
    assert ("eef_rot" in env.unwrapped.policy_keys) is not cubes


def test_a_seed_says_the_start_and_another_seed_another_one(env):
    none = some_actions(env, 0)
    first, again, other = (played(env, none, seed=s) for s in (5, 5, 6))
    assert_equal(first, again)
    assert not np.array_equal(first["sim_state"], other["sim_state"])
    env.reset(seed=5)
    assert not np.array_equal(env.unwrapped.sim_state(), played(env, none)["sim_state"][0]), "no seed: a new start"


def test_an_episode_plays_again_bit_for_bit_from_model_first_state_and_actions(env):
    actions = some_actions(env)
    recorded = played(env, actions, seed=3)
    env.reset(seed=3)
    start = {"model": env.unwrapped.model(), "sim_state": recorded["sim_state"][0]}
    env.reset(seed=8)  # another world in between
    assert_equal(recorded, played(env, actions, options=start))


def test_it_plays_as_robosuite_itself_does(env):
    actions = some_actions(env)
    ours = played(env, actions, seed=3)
    states, rewards = plain_robosuite(env.unwrapped.task, 3, actions)
    assert np.array_equal(ours["sim_state"], states)
    assert np.array_equal(ours["reward"][1:], np.clip(rewards, 0.0, 1.0))


def plain_robosuite(task: str, seed: int, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the states and rewards of robosuite's own reset and step, with its generator at `seed`."""
    plain = robosuite.make(
        task, robots="Panda", has_offscreen_renderer=False, use_camera_obs=False, reward_shaping=True,
        ignore_done=True, renderer="mujoco",
    )  # fmt: skip
    plain.rng = Draws(plain.rng.bit_generator)  # its own choice of an object hangs on the process's hash seed
    sampler = getattr(plain, "placement_initializer", None)
    for each in (sampler, *getattr(sampler, "samplers", {}).values()):
        if each is not None:
            each.rng = plain.rng
    plain.rng.bit_generator.state = np.random.default_rng(seed).bit_generator.state
    plain.reset()
    states, rewards = [plain.sim.get_state().flatten()], []
    for action in actions:
        _, reward, _, _ = plain.step(action.astype(np.float64))
        plain.done = False  # Wipe ends early by itself
        states.append(plain.sim.get_state().flatten())
        rewards.append(reward)
    plain.close()
    return np.array(states), np.array(rewards)


def test_a_quick_reset_gives_the_world_that_compiling_it_anew_gives(env):
    arm = env.unwrapped
    for seed in (3, 4):
        worlds = []
        for compile_anew in (False, True):
            arm._world.seed(seed)
            state = arm._world.draw(compile_anew=compile_anew)
            arm._begin(state)
            worlds.append({"state": state, "text": np.array(arm.model()), **model_numbers(arm)})
        assert_equal(*worlds)


def test_a_recorded_world_of_another_box_size_is_built_without_compiling(env):
    arm = env.unwrapped
    recorded = played(env, some_actions(env, 3), seed=7)
    env.reset(seed=7)
    text, numbers = arm.model(), model_numbers(arm)
    env.reset(seed=8)
    compiled = arm._world.compiled
    again = played(env, some_actions(env, 3), options={"model": text, "sim_state": recorded["sim_state"][0]})
    assert_equal(recorded, again)
    assert_equal(numbers, model_numbers(arm) if arm.task != "Wipe" else numbers)
    assert arm._world.compiled == compiled or arm.task == "Wipe"


def model_numbers(arm) -> dict[str, np.ndarray]:
    """Returns every array of MuJoCo's compiled model, and its statistics, which the solver uses."""
    model = arm._env.sim.model._model
    fields = {k: getattr(model, k) for k in dir(model) if not k.startswith("_")}
    arrays = {k: v.copy() for k, v in fields.items() if isinstance(v, np.ndarray) and k != "geom_rgba"}
    return {**arrays, "meaninertia": np.array(model.stat.meaninertia)}


def test_its_model_names_no_place_on_this_machine(env):
    env.reset(seed=1)
    text = env.unwrapped.model()
    assert str(Path.home()) not in text and sys.prefix not in text
    assert 'file="robosuite/models/assets/' in text


def test_rewards_stay_between_zero_and_one_and_success_is_told(env):
    env.reset(seed=2)
    for action in some_actions(env, 10):
        _, reward, terminated, truncated, info = env.step(action)
        assert 0.0 <= reward <= 1.0
        assert info["is_success"] is False and not terminated and not truncated


REPLAY = """
import sys, numpy as np
from robot_lfd.envs.registry import make_env
file = np.load(sys.argv[1])
env = make_env("robosuite/Lift-v0")
env.reset(options={"model": str(file["model"]), "sim_state": file["states"][0]})
for action, state in zip(file["actions"], file["states"][1:]):
    env.step(action)
    assert np.array_equal(env.unwrapped.sim_state(), state)
picture = env.unwrapped.render_camera("agentview", 64, 48)
assert picture.shape == (64, 48, 3) and picture.std() > 10
"""


def test_an_episode_plays_again_in_a_fresh_process_which_can_draw_it_and_says_nothing(tmp_path):
    env = make_env("robosuite/Lift-v0")
    actions = some_actions(env, 15)
    states = played(env, actions, seed=4)["sim_state"]
    env.reset(seed=4)
    np.savez(tmp_path / "e.npz", actions=actions, states=states, model=env.unwrapped.model())
    done = subprocess.run([sys.executable, "-c", REPLAY, str(tmp_path / "e.npz")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "" and done.stderr == ""


def test_success_ends_the_episode_unless_told_otherwise():
    for ends in (True, False):
        env = make_env("robosuite/Lift-v0", terminate_on_success=ends)
        arm = env.unwrapped
        env.reset(seed=0)
        state = arm.sim_state()
        state[1 + 9 + 2] += 0.1  # the cube ten centimetres up, after time, 7 joints and 2 fingers
        env.reset(options={"sim_state": state})
        _, reward, terminated, _, info = env.step(np.zeros(7, np.float32))
        assert info["is_success"] is True and terminated is ends and reward == 1.0
        env.close()


def test_pictures_are_upright_and_of_any_size():
    env = make_env("robosuite/Lift-v0", cameras=("frontview", "robot0_eye_in_hand"), size_px=100)
    obs, _ = env.reset(seed=0)
    front = obs["images/frontview"].astype(float)
    assert front.shape == (100, 100, 3)
    assert front[62:80, 20:80].mean() > front[85:, 20:80].mean() + 30  # the white table stands above the floor
    red = (front[..., 0] - front[..., 1] > 60).nonzero()
    assert len(red[0]) > 4 and 55 < red[0].mean() < 75  # and the red cube lies on it
    big = env.unwrapped.render_camera("frontview", 700, 900)
    assert big.shape == (700, 900, 3) and big.std() > 10
    with pytest.raises(LfdError, match=r"unknown camera 'nose'.*agentview"):
        env.unwrapped.render_camera("nose", 10, 10)
    env.close()


def test_fast_pictures_look_like_the_reference_and_leave_the_physics_alone():
    envs = [make_env("robosuite/Lift-v0", pictures=quality) for quality in ("reference", "fast")]
    views = []
    for env in envs:
        env.reset(seed=0)
        views.append(
            [env.unwrapped.render_camera(c, 84, 84).astype(float) for c in ("agentview", "robot0_eye_in_hand")]
        )
    for reference, fast in zip(*views, strict=True):
        error = np.mean((reference - fast) ** 2)
        assert 0 < error < 255**2 / 10**2.8  # 28 dB
    assert_equal(*(played(env, some_actions(env, 5), seed=1) for env in envs))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"pictures": "nice"}, "picture quality is 'nice'"),
        ({"task": "Lfit"}, "unknown robosuite task 'Lfit'; near matches: Lift"),
        ({"robots": "Pandda"}, "unknown robot 'Pandda'; near matches: Panda"),
        ({"controller": "OSC_POSES"}, "unknown controller 'OSC_POSES'; near matches: OSC_POSE"),
        ({"controller": {"type": "OSC_POSE", "input_type": "absolute"}}, "expected delta"),
        ({"control_hz": 30}, "control_hz is 30"),
        ({"task_options": {"table": "round"}}, "robosuite cannot build Lift with Panda"),
    ],
)
def test_a_wrong_keyword_is_told_plainly(keywords, message):
    with pytest.raises(LfdError, match=message):
        make_env("robosuite/Lift-v0", **keywords)


def test_a_world_of_another_task_is_refused():
    env = make_env("robosuite/Lift-v0")
    state = env.reset(seed=0) and env.unwrapped.sim_state()
    with pytest.raises(LfdError, match=r"expected \(32,\)"):
        env.reset(options={"sim_state": state[:-1]})
    with pytest.raises(LfdError, match="no world of this task"):
        env.reset(options={"sim_state": state, "model": "<mujoco><asset/><worldbody/></mujoco>"})
    obs, _ = env.reset(seed=0)
    assert obs["object_height"][0] > 0, "a refused world leaves the environment usable"
    env.close()


@pytest.mark.slow
@pytest.mark.parametrize("robot", ["Panda", "Sawyer", "UR5e", "IIWA", "Jaco", "Kinova3", "XArm7"])
def test_every_arm_opens_and_closes_its_gripper_in_metres(robot):
    env = make_env("robosuite/Lift-v0", robots=robot)
    widths = {}
    for order in (-1.0, 1.0):
        obs, _ = env.reset(seed=0)
        for _ in range(25):
            obs, *_ = env.step(np.array([0, 0, 0, 0, 0, 0, order], np.float32))
        widths[order] = float(obs["gripper_width"][0])
    assert -0.005 < widths[1.0] < widths[-1.0] - 0.01 < 0.15
    env.close()


def test_the_compiled_control_path_is_taken_where_it_can_be(env):
    assert env.unwrapped.stepper_name == "compiled, exact"


@pytest.mark.parametrize(
    ("keywords", "name"),
    [
        ({"control_path": "robosuite"}, "robosuite's own (as asked)"),
        ({"robots": "IIWA"}, "robosuite's own (the robot's base is turned)"),
    ],
)
def test_where_the_compiled_path_is_not_taken_it_says_why(keywords, name):
    env = make_env("robosuite/Lift-v0", **keywords)
    assert env.unwrapped.stepper_name == name
    env.close()


def test_with_another_mujoco_robosuites_own_path_is_taken_and_says_why(monkeypatch):
    monkeypatch.setattr("mujoco.__version__", "3.10.1")
    env = make_env("robosuite/Lift-v0")
    assert env.unwrapped.stepper_name == "robosuite's own (MuJoCo is 3.10.1; compiled steps are tested with 3.9 only)"
    env.close()


@pytest.mark.parametrize("keywords", [{"controller": "JOINT_POSITION"}, {"robots": "UR5e", "gripper": "PandaGripper"}])
def test_other_controllers_and_arms_are_compiled_too(keywords):
    assert_compiled_and_equal("Lift", 30, [11], **keywords)


@pytest.mark.slow
@pytest.mark.parametrize("controller", ["OSC_POSITION", "JOINT_POSITION", "JOINT_TORQUE"])
@pytest.mark.parametrize("robot", ["Panda", "Sawyer", "UR5e"])
def test_200_steps_of_each_controller_differ_by_no_bit(robot, controller):
    assert_compiled_and_equal("Lift", 200, range(3), robots=robot, controller=controller)


def assert_compiled_and_equal(task: str, count: int, seeds: Iterable[int], **keywords) -> None:
    """Plays random actions by the compiled and by robosuite's own path; everything seen must be equal."""
    pair = [make_env(f"robosuite/{task}-v0", **keywords, control_path=path) for path in ("exact", "robosuite")]
    assert pair[0].unwrapped.stepper_name == "compiled, exact"
    actions = some_actions(pair[0], count)
    for seed in seeds:
        assert_equal(*(played(e, actions, seed=seed) for e in pair))
    for env in pair:
        env.close()


@pytest.mark.parametrize("robot", ["Panda", pytest.param("UR5e", marks=pytest.mark.slow)])
def test_the_fast_path_differs_by_rounding_alone_in_a_single_step(robot):
    exact, fast = (make_env("robosuite/Lift-v0", robots=robot, control_path=p) for p in ("exact", "fast"))
    assert fast.unwrapped.stepper_name == "compiled, fast"
    exact.reset(seed=0)
    fast.reset(seed=0)
    away = []
    for action in some_actions(exact, 60):
        copy_simulation(exact.unwrapped, fast.unwrapped)
        exact.step(action)
        fast.step(action)
        away.append(np.abs(exact.unwrapped.sim_state() - fast.unwrapped.sim_state()).max())
    assert 0.0 < np.median(away) < 1e-12  # contact may amplify a rounding by orders of magnitude: hence the median


def copy_simulation(source, target) -> None:
    """Makes the target's simulation equal to the source's in everything, warm start and contacts included."""
    import mujoco

    mujoco.mj_copyData(target._env.sim.data._data, target._env.sim.model._model, source._env.sim.data._data)


def test_a_compiled_path_that_rounds_otherwise_is_not_taken(monkeypatch):
    exact = CompiledStepper.play
    monkeypatch.setattr(CompiledStepper, "play", lambda self, action: exact(self, action * (1 + 1e-15)))
    env = make_env("robosuite/Lift-v0")
    assert "robosuite's own (the compiled path differs by" in env.unwrapped.stepper_name
    env.close()


@pytest.mark.slow
@pytest.mark.parametrize("robot", ["Panda", "Sawyer", "UR5e", "Kinova3"])
@pytest.mark.parametrize("task", ["Lift", "Stack", "PickPlaceCan", "NutAssemblySquare", "Door", "Wipe"])
def test_200_steps_of_the_compiled_path_differ_by_no_bit(task, robot):
    assert_compiled_and_equal(task, 200, range(3), robots=robot)


_STARTED = """
from robot_lfd.envs import robosuite_kernel
from robot_lfd.envs.registry import make_env
env = make_env("robosuite/Lift-v0")
env.reset(seed=0)
env.step(env.action_space.sample())
print(env.unwrapped.stepper_name, sum(robosuite_kernel.osc_step.stats.cache_misses.values()),
      sum(robosuite_kernel.osc_step.stats.cache_hits.values()))
"""


@pytest.mark.slow
def test_a_later_start_takes_the_compiled_control_path_from_the_disk_and_says_nothing():
    run = [sys.executable, "-c", _STARTED]
    subprocess.run(run, check=True, capture_output=True)  # compiles where no process has yet
    later = subprocess.run(run, check=True, capture_output=True, text=True)
    assert later.stdout.split() == ["compiled,", "exact", "0", "1"]
    assert "compiling" not in later.stderr
