import numpy as np
import pytest

from robot_lfd.driving_frames import driving_frames, upright
from robot_lfd.envs.contract import arm_of
from robot_lfd.envs.registry import make_env


@pytest.mark.parametrize("env", ["pybullet/Reach-v0", pytest.param("robosuite/Lift-v0", marks=pytest.mark.slow)])
def test_left_is_left_in_the_picture_away_is_away_and_up_is_up(env):
    made = make_env(env)
    obs, _ = made.reset(seed=0)
    arm = arm_of(made)
    frame = driving_frames(arm, made.observation_space)["camera"](obs)
    right, up, back = arm.camera_rotation(arm.camera_names[0]).T
    assert np.allclose(frame.T @ frame, np.eye(3), atol=1e-6) and np.linalg.det(frame) == pytest.approx(1.0)
    away, left, above = frame.T
    assert away @ back < -0.5 and left @ right < -0.9 and above @ up > 0.5 and above[2] == 1.0
    made.close()


def test_a_camera_that_looks_straight_down_drives_as_the_picture_lies():
    down = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # its right is -y, its up is x
    assert np.allclose(upright(down)[:, 0], [1.0, 0.0, 0.0])


def test_driving_away_moves_the_arm_away_from_the_camera():
    made = make_env("pybullet/Reach-v0")
    obs, _ = made.reset(seed=0)
    frame = driving_frames(arm_of(made), made.observation_space)["camera"](obs)
    action = np.append(frame @ [0.5, 0.0, 0.0], 0.0).astype(np.float32)
    before = obs["eef_pos"]
    for _ in range(10):
        obs, *_ = made.step(action)
    assert obs["eef_pos"][0] < before[0] - 0.05  # the camera in front looks at the robot's base
    made.close()


def test_without_rotation_there_is_no_tool_frame_and_with_it_there_is():
    for control, names in (("position", ["camera", "world"]), ("pose", ["camera", "world", "tool"])):
        made = make_env("pybullet/Lift-v0", control=control)
        obs, _ = made.reset(seed=0)
        frames = driving_frames(arm_of(made), made.observation_space)
        assert list(frames) == names
        if control == "pose":  # it points down, so its "away" is down
            assert frames["tool"](obs)[:, 0] == pytest.approx([0, 0, -1], abs=0.1)
        made.close()
