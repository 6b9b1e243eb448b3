"""Every PyBullet task keeps the contract: Gymnasium's own checks, seeds, exact restarts, success, plain errors."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from robot_lfd.demos.tape import Tape
from robot_lfd.envs.contract import ArmEnv, arm_of
from robot_lfd.envs.registry import PYBULLET_TASKS, make_env
from robot_lfd.errors import LfdError
from robot_lfd.rollout import rollout
from teleop.human import HumanPolicy
from teleop.scripted import make_scripted_operator

TASKS = tuple(PYBULLET_TASKS)


@pytest.mark.parametrize("control", ["position", "pose"])
@pytest.mark.parametrize("task", TASKS)
def test_gymnasiums_own_checker_passes(task: str, control: str):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(gym.make(f"pybullet/{task}-v0", control=control).unwrapped, skip_render_check=True)


@pytest.mark.parametrize("task", TASKS)
def test_the_arm_contract_is_kept(task: str):
    env = make_env(f"pybullet/{task}-v0")
    arm = arm_of(env)
    obs, _ = env.reset(seed=0)
    assert isinstance(arm, ArmEnv)
    assert set(arm.policy_keys) <= set(obs) and all(v.dtype == np.float32 for v in obs.values())
    assert len(arm.action_names) == len(arm.action_scale) == len(arm.action_units) == env.action_space.shape[0]
    assert not any(k in arm.policy_keys for k in ("eef_pos", "object_pos", "target_pos")), "features are relative"
    assert set(arm.proprio_keys) <= set(obs) and not [k for k in arm.proprio_keys if "object" in k or "target" in k]
    for camera in arm.camera_names:
        picture = arm.render_camera(camera, 48, 64)
        assert picture.shape == (48, 64, 3) and picture.dtype == np.uint8 and picture.std() > 5


@pytest.mark.parametrize("task", TASKS)
def test_equal_seeds_give_equal_starts_and_other_seeds_others(task: str):
    env = make_env(f"pybullet/{task}-v0")
    arm = arm_of(env)
    states = []
    for seed in (4, 5, 4):
        env.reset(seed=seed)
        states.append(arm.sim_state())
    assert np.array_equal(states[0], states[2]) and not np.array_equal(states[0], states[1])


@pytest.mark.parametrize("task", TASKS)
def test_a_scripted_demo_restarts_bit_for_bit_also_after_other_episodes(task: str):
    first = record_scripted(Tape(make_env(f"pybullet/{task}-v0")), task, seed=3)
    env = Tape(make_env(f"pybullet/{task}-v0"))
    record_scripted(env, task, seed=8)  # leaves contacts behind
    env.reset(options={"model": first.model, "sim_state": first.sim_state[0]})
    for action in first.action:
        env.step(action)
    again = env.episode()
    for name, array in first.arrays().items():
        assert np.array_equal(array, again.arrays()[name]), name


def test_another_process_re_simulates_the_same_bits(tmp_path):
    demo = record_scripted(Tape(make_env("pybullet/Lift-v0")), "Lift", seed=1)
    np.savez(tmp_path / "demo.npz", start=demo.sim_state[0], action=demo.action, end=demo.sim_state[-1])
    code = (
        "import sys, numpy as np\n"
        "from robot_lfd.envs.registry import make_env\n"
        "import robot_lfd\n"
        "d = np.load(sys.argv[1]); env = make_env('pybullet/Lift-v0')\n"
        "env.reset(options={'sim_state': d['start']})\n"
        "for a in d['action']: env.step(a)\n"
        "sys.exit(0 if np.array_equal(env.unwrapped.sim_state(), d['end']) else 3)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "demo.npz")], check=False).returncode == 0


@pytest.mark.parametrize("task", TASKS)
def test_the_scripted_operator_solves_the_task(task: str):
    env = Tape(make_env(f"pybullet/{task}-v0"))
    solved = [record_scripted(env, task, seed=100 + s).success for s in range(8)]
    assert sum(solved) >= 7


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_the_scripted_operator_succeeds_in_at_least_95_of_100(task: str):
    env = Tape(make_env(f"pybullet/{task}-v0"))
    policy = scripted_policy(env, task, seed=0)
    solved = 0
    for seed in range(100):
        for _ in rollout(env, policy, seed=seed):
            pass
        solved += env.success
    assert solved >= 95


def test_success_terminates_and_a_time_limit_only_truncates():
    done = record_scripted(Tape(make_env("pybullet/Reach-v0")), "Reach", seed=0)
    assert done.terminated and done.success and not done.truncated
    env = Tape(make_env("pybullet/Reach-v0", max_episode_steps=5))
    cut = record_scripted(env, "Reach", seed=0)
    assert cut.truncated and not cut.terminated and len(cut) == 5
    blind = Tape(make_env("pybullet/Reach-v0", terminate_on_success=False))
    held = record_scripted(blind, "Reach", seed=0)
    assert held.success and not held.terminated and held.truncated


def test_an_action_of_one_moves_the_goal_by_its_stated_scale():
    env = make_env("pybullet/Reach-v0")
    arm = arm_of(env)
    env.reset(seed=0)
    start = arm.sim_state()[2:5].copy()
    env.step(np.array([0.0, 1.0, 0.0, 0.0], np.float32))
    assert arm.sim_state()[2:5] - start == pytest.approx([0.0, arm.action_scale[1], 0.0], abs=1e-3)


def test_unknown_things_are_said_plainly_with_near_matches():
    with pytest.raises(LfdError, match="pybullet/Lift-v0"):
        make_env("pybullet/Lif-v0")
    with pytest.raises(LfdError, match="front, side, wrist"):
        make_env("pybullet/Lift-v0", cameras=("bird",))
    with pytest.raises(LfdError, match="'position' or 'pose'"):
        make_env("pybullet/Lift-v0", control="velocity")
    with pytest.raises(LfdError, match="divisor of 240"):
        make_env("pybullet/Lift-v0", control_hz=17)
    env = make_env("pybullet/Lift-v0")
    with pytest.raises(LfdError, match="recorded world"):
        env.reset(options={"model": json.dumps({"world": "other"}), "sim_state": np.zeros(44)})
    with pytest.raises(LfdError, match="expected \\(44,\\)"):
        env.reset(options={"sim_state": np.zeros(3)})


def scripted_policy(env: gym.Env, task: str, seed: int) -> HumanPolicy:
    arm = arm_of(env)
    operator = make_scripted_operator(f"pybullet/{task}-v0", seed)
    return HumanPolicy(operator, arm.action_names, arm.action_scale, arm.action_units, arm.control_hz)


def record_scripted(env: Tape, task: str, seed: int):
    for _ in rollout(env, scripted_policy(env, task, seed), seed=seed):
        pass
    return env.episode()
