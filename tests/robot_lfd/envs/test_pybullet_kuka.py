"""The KUKA takes the Panda's place in every PyBullet task by a keyword."""

from __future__ import annotations

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from robot_lfd.cli import call
from robot_lfd.demos.tape import Tape
from robot_lfd.envs.pybullet_table import TableEnv
from robot_lfd.envs.registry import PYBULLET_TASKS, make_env
from robot_lfd.errors import LfdError
from tests.robot_lfd.envs.test_pybullet_envs import record_scripted, scripted_policy


def kuka(task: str) -> Tape:
    return Tape(make_env(f"pybullet/{task}-v0", robot="kuka"))


@pytest.mark.parametrize("control", ["position", "pose"])
def test_gymnasiums_own_checker_passes(control: str):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(gym.make("pybullet/Stack-v0", robot="kuka", control=control).unwrapped, skip_render_check=True)


@pytest.mark.parametrize("task", PYBULLET_TASKS)
def test_it_begins_where_the_panda_does_and_sees_the_same_things(task: str):
    arms = [make_env(f"pybullet/{task}-v0", robot=robot).unwrapped for robot in ("panda", "kuka")]
    assert all(isinstance(arm, TableEnv) for arm in arms)
    panda, other = (arm.reset(seed=3)[0] for arm in arms)
    assert {k: v.shape for k, v in panda.items()} == {k: v.shape for k, v in other.items()}
    assert np.array_equal(panda["target_pos"], other["target_pos"])
    assert np.abs(panda["eef_pos"] - other["eef_pos"]).max() < 0.06, "both start above the table's middle"
    assert arms[1].joint_limits.shape == (2, 7) and np.abs(arms[1].joint_limits).max() < 3.1
    assert all(arms[1].render_camera(c, 48, 48).std() > 5 for c in arms[1].camera_names)


def test_its_gripper_points_down_opens_to_8_cm_and_shuts():
    env = make_env("pybullet/Lift-v0", robot="kuka", control="pose")
    obs, _ = env.reset(seed=0)
    assert obs["eef_rot"] == pytest.approx([1, 0, 0, 0, -1, 0], abs=0.15)
    widths = []
    for grip in (1.0, -1.0):
        for _ in range(15):
            obs, *_ = env.step(np.array([0, 0, 0, 0, 0, 0, grip], np.float32))
        widths.append(obs["gripper_width"][0])
    assert widths == pytest.approx([0.0, 0.08], abs=0.002)


@pytest.mark.parametrize("task", ["Push", "PickPlace", "Stack"])
def test_the_scripted_operator_solves_the_task_with_it_and_the_demo_restarts_bit_for_bit(task: str):
    first = record_scripted(kuka(task), task, seed=3)
    env = kuka(task)
    record_scripted(env, task, seed=8)  # leaves contacts behind
    env.reset(options={"model": first.model, "sim_state": first.sim_state[0]})
    for action in first.action:
        env.step(action)
    again = env.episode()
    assert first.success
    for name, array in first.arrays().items():
        assert np.array_equal(array, again.arrays()[name]), name


@pytest.mark.slow
@pytest.mark.parametrize("task", PYBULLET_TASKS)
def test_the_scripted_operator_succeeds_with_it_in_at_least_45_of_50(task: str):
    env, solved = kuka(task), 0
    policy = scripted_policy(env, task, seed=0)
    for seed in range(50):
        obs, _ = env.reset(seed=seed)
        policy.reset()
        ended = False
        while not ended:
            obs, _, terminated, truncated, _ = env.step(policy.act(obs))
            ended = terminated or truncated
        solved += env.success
    assert solved >= 45


def test_fast_pictures_are_drawn_of_it_with_the_same_physics(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    arms = [make_env("pybullet/Lift-v0", robot="kuka", pictures=q).unwrapped for q in ("reference", "fast")]
    for arm in arms:
        arm.reset(seed=1)
        for _ in range(10):
            arm.step(np.array([0.3, 0.4, -0.5, 1.0], np.float32))
    assert arms[0].sim_state().tobytes() == arms[1].sim_state().tobytes()
    pictures = [arm.render_camera("front", 84, 84).astype(float) for arm in arms]
    assert 26 < 10 * np.log10(255**2 / np.square(pictures[0] - pictures[1]).mean()) < 60


def test_demos_of_the_other_arm_and_unknown_arms_are_refused_in_one_line(tmp_path, capfd):
    demo = record_scripted(Tape(make_env("pybullet/Reach-v0")), "Reach", seed=0)
    with pytest.raises(LfdError, match=r"pybullet-panda.*pybullet-kuka"):
        kuka("Reach").reset(options={"model": demo.model, "sim_state": demo.sim_state[0]})
    words = ["record", "--env", "pybullet/Lift-v0", "--device", "scripted", "--out", str(tmp_path / "d")]
    assert call([*words, "--env-kwargs", "robot=ur5"]) == 1
    assert "robot is 'ur5', expected one of: panda, kuka" in capfd.readouterr().err
