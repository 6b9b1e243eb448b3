"""PickPlace and Stack: what counts as solved and what does not, and starts that can be solved."""

from __future__ import annotations

import numpy as np
import pytest

from robot_lfd.envs.contract import arm_of
from robot_lfd.envs.registry import make_env

FIRST = 31  # where the bodies begin in sim_state, 13 numbers each
STILL = np.array([0.0, 0.0, 0.0, 0.0], np.float32)


def put(env, *places: tuple[float, float, float], target=None) -> None:
    """Starts from a drawn state with the bodies at other places, unturned and at rest, the arm well above them."""
    env.reset(seed=0)
    state = arm_of(env).sim_state()
    for i, place in enumerate(places):
        state[FIRST + 13 * i : FIRST + 13 * (i + 1)] = [*place, 0, 0, 0, 1, *[0] * 6]
    if target is not None:
        state[10:13] = target
    env.reset(options={"sim_state": state})


def after(env, steps: int, action: np.ndarray = STILL):
    """Returns the last step's five."""
    for _ in range(steps):
        last = env.step(action)
    return last


def test_a_cube_that_rests_in_the_tray_untouched_is_solved_after_a_quarter_of_a_second():
    env = make_env("pybullet/PickPlace-v0")
    put(env, (0.52, 0.13, 0.024), target=(0.5, 0.1, 0.0))
    assert not after(env, 4)[4]["is_success"]
    _, reward, terminated, _, info = after(env, 4)
    assert info["is_success"] and terminated and reward == 1.0


@pytest.mark.parametrize(
    "place",
    [(0.5, 0.19, 0.02), (0.5, 0.165, 0.045), (0.5, 0.1, 0.15)],
    ids=["beside the tray", "on its wall", "in the air above it"],
)
def test_a_cube_that_is_not_in_the_tray_is_not_solved(place):
    env = make_env("pybullet/PickPlace-v0")
    put(env, place, target=(0.5, 0.1, 0.0))
    _, reward, terminated, _, info = after(env, 1)
    assert not info["is_success"] and not terminated and float(reward) < 0.9


def test_the_tray_holds_what_falls_into_it_and_stops_what_slides_against_it():
    env = make_env("pybullet/PickPlace-v0", terminate_on_success=False)
    put(env, (0.5, 0.1, 0.12), target=(0.5, 0.1, 0.0))
    obs, _, _, _, info = after(env, 20)
    assert info["is_success"] and obs["object_height"][0] == pytest.approx(0.004, abs=0.002)
    env.reset(seed=0)
    state = arm_of(env).sim_state()
    state[10:13] = (0.5, 0.1, 0.0)
    state[FIRST : FIRST + 13] = [0.5, -0.1, 0.02, 0, 0, 0, 1, 0.0, 2.0, 0.0, 0, 0, 0]  # slides towards the tray
    env.reset(options={"sim_state": state})
    obs, *_ = after(env, 20)
    assert obs["object_pos"][1] < 0.1 - 0.07 - 0.015, "the wall is solid"


def test_a_cube_that_rests_on_the_other_untouched_is_solved_after_a_quarter_of_a_second():
    env = make_env("pybullet/Stack-v0")
    put(env, (0.5, 0.105, 0.06), (0.5, 0.1, 0.02))
    assert not after(env, 4)[4]["is_success"]
    obs, reward, terminated, _, info = after(env, 6)
    assert info["is_success"] and terminated and reward == 1.0
    assert obs["target_rel"] == pytest.approx([0.0, -0.005, 0.0], abs=1e-3)


@pytest.mark.parametrize(
    "place",
    [(0.5, 0.141, 0.02), (0.5, 0.1, 0.12), (0.5, 0.128, 0.06)],
    ids=["beside the base", "in the air above it", "over its edge"],
)
def test_a_cube_that_does_not_rest_on_the_other_is_not_solved(place):
    env = make_env("pybullet/Stack-v0")
    put(env, place, (0.5, 0.1, 0.02))
    assert not any(after(env, 1)[4]["is_success"] for _ in range(5))


@pytest.mark.parametrize(("task", "held"), [("Stack", 0.063), ("PickPlace", 0.03)])
def test_nothing_is_solved_while_the_gripper_still_holds_the_cube(task: str, held: float):
    env = make_env(f"pybullet/{task}-v0")
    put(env, (0.5, 0.1, 0.02), *([(0.5, -0.2, 0.02)] if task == "Stack" else []))
    gripper, rewards = _grasp_and_raise(env), []
    state = arm_of(env).sim_state()
    state[10:13] = (*gripper[:2], 0.0)
    if task == "Stack":
        state[FIRST + 13 : FIRST + 16] = (*gripper[:2], 0.02)
    env.reset(options={"sim_state": state})  # what is to be under the cube is now under it
    for _ in range(60):
        down = np.array([0, 0, -0.1 * (arm_of(env).sim_state()[FIRST + 2] > held), 1], np.float32)
        _, reward, _, _, info = env.step(down)
        rewards.append(reward)
        assert not info["is_success"]
    assert max(rewards) == 0.95, "it was at its place, in the hand"
    rewards = [env.step(np.array([0, 0, 0.3 * (i > 8), -1], np.float32))[1] for i in range(25)]
    assert rewards[-1] == 1.0, "let go, it stays there"


def _grasp_and_raise(env) -> np.ndarray:
    """Returns the gripper's place after it took the cube at (0.5, 0.1) and raised it by some 8 cm."""
    for goal, grip, steps in (((0.5, 0.1, 0.15), -1, 25), ((0.5, 0.1, 0.02), -1, 25), ((0.5, 0.1, 0.02), 1, 10)):
        for _ in range(steps):
            _drive(env, goal, grip)
    for _ in range(25):
        obs = _drive(env, (0.5, 0.1, 0.10), 1)
    assert obs["object_height"][0] > 0.05
    return obs["eef_pos"]


def _drive(env, goal: tuple[float, float, float], grip: int) -> dict[str, np.ndarray]:
    now = arm_of(env).sim_state()[2:5]
    return env.step(np.array([*np.clip((np.array(goal) - now) / 0.025, -1, 1), grip], np.float32))[0]


@pytest.mark.parametrize("task", ["PickPlace", "Stack"])
def test_starts_leave_room_for_the_fingers_and_differ(task: str):
    env, seen = make_env(f"pybullet/{task}-v0"), []
    room = {"PickPlace": 0.19, "Stack": 0.11}[task]
    for seed in range(60):
        obs, info = env.reset(seed=seed)
        assert np.hypot(*obs["target_rel"][:2]) > room - 1e-6 and not info["is_success"]
        seen.append([*obs["object_pos"][:2], *obs["target_pos"][:2]])
    assert np.ptp(seen, axis=0).min() > 0.15
