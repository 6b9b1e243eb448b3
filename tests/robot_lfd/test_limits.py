"""Limits: no policy, however hostile, gets the arm beyond them, and every stop has its reason."""

import re
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_lfd.errors import LfdError
from robot_lfd.guards import JointGuard, ObservationGuard, Unsafe
from robot_lfd.limits import Limited, Limits, default_limits
from robot_lfd.rollout import rollout
from robot_lfd.watch import Watched
from tests.robot_lfd.point_arm import Chase, PointArm, Script, make_point_arm

BOX = np.array([[-0.2, -0.1, -0.15], [0.2, 0.1, 0.15]])
SLOW = Limits(
    np.array([0.5, 0.25, 1.0, 20.0]), np.array([2.5, 2.5, 5.0, np.inf]), BOX
)  # 1.0 of dx is 1 m/s: shares 0.5, 0.25, 1.0 of the range, changing by 0.125, 0.125, 0.25 a step

numbers = st.one_of(st.floats(-2, 2), st.sampled_from([1e9, -1e9, 1.0, -1.0, 0.0]))
hostile = st.lists(st.tuples(numbers, numbers, numbers, numbers), min_size=5, max_size=60)
alternating = st.integers(1, 12).map(
    lambda n: [(s, -s, s, s) for i in range(60) for s in [1.0 if i // n % 2 else -1.0]]
)
saturated = st.tuples(*[st.sampled_from([-1.0, 1.0])] * 4).map(lambda a: [a] * 60)


PLACE = {"eef_pos": np.zeros(3)}


def drive(policy, limits=SLOW, **kwargs):
    env = make_point_arm(terminate_on_success=False, **kwargs)
    limited = Limited(policy, PointArm(), limits)
    return list(rollout(env, limited, seed=0)), limited


@settings(max_examples=60, deadline=None)
@given(st.one_of(hostile, alternating, saturated), st.sampled_from([0.0, 0.3, 0.5]))
def test_an_adversarial_policy_cannot_exceed_speed_acceleration_or_the_box(actions, lag):
    steps, _ = drive(Script(actions), lag=lag)
    sent = np.array([s.action for s in steps], np.float64)
    places = np.array([s.next_obs["eef_pos"] for s in steps])
    assert (np.abs(sent) <= np.array([0.5, 0.25, 1.0, 1.0]) + 1e-6).all()
    before = np.vstack([np.zeros(3), sent[:-1, :3]])
    braking = (sent[:, :3] * before >= 0) & (np.abs(sent[:, :3]) < np.abs(before))  # at a wall, as hard as it takes
    assert (braking | (np.abs(sent[:, :3] - before) <= np.array([0.125, 0.125, 0.25]) + 1e-6)).all()
    assert (places >= BOX[0] - 1e-6).all() and (places <= BOX[1] + 1e-6).all()


def test_a_policy_within_the_limits_is_not_touched():
    actions = [(0.1, 0.05, -0.2, 1.0), (0.2, 0.1, -0.1, -1.0), (0.1, 0.0, 0.0, 1.0)]
    steps, limited = drive(Script(actions))
    assert np.allclose([s.action for s in steps[:3]], actions) and not limited.held_back.total()


def test_each_limit_counts_how_often_it_held_an_action_back():
    _, limited = drive(Script([(2.0, 0.0, 0.0, 0.0)] * 60))
    assert limited.held_back["range"] == limited.held_back["speed"] == 60
    assert limited.held_back["acceleration"] >= 3 and limited.held_back["box"] > 10


def test_the_gripper_may_change_at_once_while_the_arm_may_not():
    steps, _ = drive(Script([(1, 1, 1, 1), (1, 1, 1, -1)]))
    assert [s.action[3] for s in steps[:2]] == [1.0, -1.0]
    assert np.allclose(steps[0].action[:3], [0.125, 0.125, 0.25])


def test_a_gripper_outside_the_box_is_brought_back_whatever_the_policy_wants():
    limited = Limited(Script([(1, -1, 0, 0), (0, 0, 0, 0), (-1, 1, 0, 0)]), PointArm(), SLOW)
    limited.reset()
    obs = {"eef_pos": np.array([0.21, 0.0, 0.0]), "target_rel": np.zeros(3)}
    assert limited.act(obs)[0] == pytest.approx(-0.5 * 0.01 / 0.05)  # half of the way
    assert limited.act(obs)[0] == pytest.approx(-0.1)
    assert limited.act(obs)[0] < -0.1  # the policy itself wants back faster


def test_a_gripper_far_outside_and_going_on_is_out_of_control_and_stops():
    limited = Limited(Script([(1, 0, 0, 1)] * 9), PointArm(), SLOW)
    limited.reset()
    for place in (0.0, 0.22, 0.24):
        limited.act({"eef_pos": np.array([place, 0.0, 0.0]), "target_rel": np.zeros(3)})
    assert limited.stop_reason == "the gripper is 4 cm outside its workspace and going on"


def test_without_a_named_workspace_the_box_is_about_the_first_place():
    limits = Limits(SLOW.speed, SLOW.acceleration)
    places = np.array([s.next_obs["eef_pos"] for s in drive(Script([(1, 0, 0, 0)] * 200), limits)[0]])
    assert 0.35 < places[-1, 0] <= 0.4 + 1e-6


def test_the_default_limits_are_the_arms_own_speed_reached_in_a_tenth_of_a_second():
    limits = default_limits(PointArm())
    assert np.allclose(limits.speed, [1.0, 1.0, 1.0, 20.0])
    assert np.allclose(limits.acceleration[:3], 10.0) and np.isinf(limits.acceleration[3])
    steps, _ = drive(Script([(1, 0, 0, 0)] * 3), limits)
    assert [round(float(s.action[0]), 6) for s in steps[:3]] == [0.5, 1.0, 1.0]


@pytest.mark.parametrize("bad", [{"speed": np.zeros(4)}, {"acceleration": -np.ones(4)}, {"box": np.zeros((2, 3))}])
def test_senseless_limits_are_refused(bad):
    with pytest.raises(LfdError, match="expected"):
        Limits(**{"speed": np.ones(4), "acceleration": np.ones(4), **bad})


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((np.nan, 0, 0, 0), "action is not finite"),
        ((0, np.inf, 0, 0), "action is not finite"),
        ((0, 0, 0), r"shape \(3,\), expected \(4,\)"),
    ],
)
def test_an_unusable_answer_stops_the_arm_from_that_very_tick_with_its_reason(answer, reason):
    steps, limited = drive(Script([(0.25, 0, 0, 1)] * 5 + [answer] + [(1, 1, 1, -1)] * 60))
    assert re.search(reason, str(limited.stop_reason))
    speeds = [float(s.action[0]) for s in steps[4:9]]
    assert np.allclose(speeds, [0.25, 0.125, 0.0, 0.0, 0.0])  # brakes by 0.125 a step, then rests
    assert all(s.action[3] == 1.0 for s in steps[5:])  # what is held is not dropped
    assert limited.at_rest


def test_an_emergency_stop_asks_for_rest_at_once_and_outlives_a_reset():
    limited = Limited(Script([(1, 0, 0, 1)] * 60), PointArm(), SLOW)
    limited.reset()
    for tick in range(5):
        limited.act({"eef_pos": np.array([0.01 * tick, 0.0, 0.0])})
    limited.stop("key", at_once=True)
    limited.stop("a later reason")
    assert limited.act(PLACE).tolist() == [0, 0, 0, 1]
    limited.reset()
    assert limited.act(PLACE)[0] == 0 and limited.stop_reason == "key"


def test_any_other_stop_ends_with_its_episode():
    _, limited = drive(Script([(np.nan, 0, 0, 0)]))
    assert limited.stop_reason
    limited.reset()
    assert limited.stop_reason is None


def test_jerk_stays_within_its_limit_and_nothing_overshoots():
    limits = Limits(SLOW.speed, SLOW.acceleration, jerk=np.array([20.0, 20.0, 20.0, np.inf]))  # 0.05 a step, twice
    steps, limited = drive(Script([(0.4, 0.2, -0.3, 1.0)] * 12 + [(-0.4, 0.0, 0.3, -1.0)] * 20), limits)
    speed = np.vstack([np.zeros((2, 3)), [s.action[:3] for s in steps]]).astype(np.float64)
    assert np.abs(np.diff(speed, 2, axis=0)).max() <= 0.05 + 1e-6
    assert 0.39 < speed[:14, 0].max() <= 0.4 + 1e-6 and limited.held_back["jerk"] > 5


def test_a_stop_brakes_within_the_jerk_limit_from_its_very_tick():
    limits = Limits(SLOW.speed, SLOW.acceleration, jerk=np.array([40.0, 40.0, 40.0, np.inf]))  # 0.1 a step, twice
    steps, limited = drive(Script([(0.4, 0, 0, 1)] * 8 + [(np.nan, 0, 0, 1)]), limits)
    speeds = [float(s.action[0]) for s in steps[6:14]]
    assert speeds[1] == pytest.approx(0.4) and np.allclose(speeds[2:7], [0.3, 0.175, 0.05, 0.0, 0.0], atol=0.03)
    assert limited.at_rest


def test_a_gripper_that_presses_harder_than_the_limit_is_not_driven():
    arm = PointArm()
    arm.gripper_force_n = 60.0
    with pytest.raises(LfdError, match="60 N, the limit is 40 N"):
        Limited(Chase(), arm)


def frames(**changes):
    """Three observations of an arm that moves, the last one changed."""
    seen = [{"eef_pos": np.array([0.03 * k, 0, 0]), "images/front": np.full((4, 4, 3), k, np.uint8)} for k in range(3)]
    return [*seen[:2], {**seen[2], **changes}]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (frames()[1], "the observation is stale"),
        ({"images/front": frames()[1]["images/front"]}, "picture of 'front' is stale"),
        ({"eef_pos": np.array([np.nan, 0, 0])}, "'eef_pos' is not finite"),
        ({"images/front": None}, "'images/front' is missing"),
    ],
)
def test_a_stale_missing_or_broken_observation_stops_the_arm_in_its_very_tick_with_the_reason(changes, reason):
    limited = Limited(Script([(0.1, 0, 0, 1)] * 9), PointArm(), SLOW)
    limited.reset()
    for obs in frames(**changes):
        assert limited.stop_reason is None
        sent = limited.act(obs)
    assert re.search(reason, str(limited.stop_reason)) and sent[0] == 0


def test_a_camera_in_the_hand_may_see_the_same_plain_table_while_the_arm_moves():
    guard, table = ObservationGuard(), np.full((4, 4, 3), 7, np.uint8)
    for k in range(5):
        guard.check({"eef_pos": np.array([0.03 * k, 0, 0]), "images/robot0_eye_in_hand": table}, np.ones(3))


def test_a_world_that_rests_is_not_stale_while_the_arm_is_told_to_rest():
    guard = ObservationGuard()
    for _ in range(5):
        guard.check(PLACE, np.zeros(3))


def test_a_joint_near_its_end_slows_the_arm_and_one_at_its_end_stops_it_unless_it_goes_away():
    guard = JointGuard(np.array([[-1.0, -2.0], [1.0, 2.0]]))

    def share(place, speed):
        return guard.share({"joint_pos": np.array([place, 0.0]), "joint_vel": np.array([speed, 0.0])})

    assert share(0.0, 1.0) == share(0.9, -1.0) == share(0.99, -0.1) == 1.0
    assert 0.05 < share(0.85, 0.1) < 1.0 and share(0.9, 0.3) == pytest.approx(0.05)
    with pytest.raises(Unsafe, match="joint 1 is at its end and going on"):
        share(0.98, 0.1)


OBS = {"target_rel": np.zeros(3, np.float32), "eef_pos": np.zeros(3, np.float32)}


@pytest.mark.parametrize(
    ("obs", "reason"),
    [
        ({"eef_pos": np.zeros(3)}, "observation 'target_rel' is missing"),
        ({**OBS, "eef_pos": np.array([0, np.nan, 0])}, "observation 'eef_pos' is not finite"),
    ],
)
def test_a_missing_or_broken_observation_is_not_asked_about(obs, reason):
    with pytest.raises(Unsafe, match=reason):
        Watched(Chase(), needs=("target_rel",)).act(obs)


class Brooding:
    """Answers only when it is let."""

    def __init__(self) -> None:
        self.let = threading.Event()

    def reset(self) -> None:
        pass

    def act(self, obs):
        self.let.wait()
        return np.zeros(4, np.float32)


def test_an_answer_after_its_deadline_counts_as_none_and_the_loop_goes_on_in_time():
    policy = Brooding()
    watched = Watched(policy, deadline_s=0.02)
    began = time.perf_counter()
    with pytest.raises(Unsafe, match="longer than its 20 ms"):
        watched.act(OBS)
    assert time.perf_counter() - began < 1.0
    policy.let.set()
    watched.reset()
    assert watched.act(OBS).tolist() == [0, 0, 0, 0]
    watched.close()


@pytest.mark.parametrize("deadline_s", [None, 5.0])
def test_a_policy_that_breaks_is_a_stop_and_not_a_crash(deadline_s):
    class Broken(Brooding):
        def act(self, obs):
            raise ValueError("wrong size")

    with pytest.raises(Unsafe, match="the policy failed: ValueError: wrong size"):
        Watched(Broken(), deadline_s=deadline_s).act(OBS)


def test_every_answer_has_its_latency():
    ticks = iter([0.0, 0.004, 1.0, 1.007])
    watched = Watched(Chase(), clock=lambda: next(ticks))
    watched.act(OBS), watched.act(OBS)
    assert watched.latencies_s == pytest.approx([0.004, 0.007])
