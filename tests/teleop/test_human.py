import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teleop.device import Command, Event
from teleop.human import Drive, HumanPolicy

HZ = 20.0
POSE = ("dx", "dy", "dz", "drx", "dry", "drz", "gripper")
POSE_UNITS = ("m",) * 3 + ("rad",) * 3 + ("1",)
POSE_SCALE = np.array([0.05] * 3 + [0.5] * 3 + [1.0], np.float32)
ARM = ("dx", "dy", "dz", "gripper")
ARM_UNITS = ("m", "m", "m", "m")
ARM_SCALE = np.array([0.025, 0.025, 0.025, 0.02], np.float32)


class Hand:
    """A device that says what the test tells it to."""

    name = "hand"

    def __init__(self):
        self.axes, self.events, self.connected = np.zeros(7, np.float32), (), True

    def see(self, obs):
        pass

    def read(self, events):
        said, self.events = self.events, ()
        return Command(np.asarray(self.axes, np.float32), said, self.connected)

    def reset(self):
        pass

    def settings(self):
        return {}


def _arm(hand, **kwargs):
    return HumanPolicy(hand, ARM, ARM_SCALE, ARM_UNITS, HZ, **kwargs)


def _pose(hand, **kwargs):
    return HumanPolicy(hand, POSE, POSE_SCALE, POSE_UNITS, HZ, **kwargs)


def _speed(policy, action, scale):
    """Metres a second of an action."""
    return float(np.linalg.norm(action[:3] * scale[:3]) * HZ)


def _settled(policy, steps=20):
    return [policy.act({}) for _ in range(steps)][-1]


def test_a_key_held_is_a_constant_speed_in_metres_a_second():
    hand = Hand()
    policy = _arm(hand, drive=Drive(level=2))
    hand.axes[0] = 1.0
    actions = [policy.act({}) for _ in range(30)]
    assert {a.tobytes() for a in actions[4:]} == {actions[-1].tobytes()}
    assert _speed(policy, actions[-1], ARM_SCALE) == pytest.approx(0.12, rel=1e-5)


@pytest.mark.parametrize("axes", [(1, 1, 0), (1, -1, 1), (-1, -1, -1), (0, 1, 1)])
def test_a_diagonal_is_as_fast_as_a_straight_line(axes):
    hand = Hand()
    policy = _arm(hand)
    hand.axes[:3] = axes
    assert _speed(policy, _settled(policy), ARM_SCALE) == pytest.approx(policy.speed_m, rel=1e-5)


def test_turning_about_two_axes_is_as_fast_as_about_one():
    hand = Hand()
    policy = _pose(hand)
    hand.axes[3:6] = (1, 1, 0)
    turned = _settled(policy)[3:6] * POSE_SCALE[3:6] * HZ
    assert np.linalg.norm(turned) == pytest.approx(policy.speed_rad, rel=1e-5)


def test_speed_rises_and_falls_smoothly():
    hand = Hand()
    policy = _arm(hand)
    hand.axes[1] = 1.0
    up = [_speed(policy, policy.act({}), ARM_SCALE) for _ in range(4)]
    hand.axes[1] = 0.0
    down = [_speed(policy, policy.act({}), ARM_SCALE) for _ in range(4)]
    third = policy.speed_m / 3  # the ramp lasts three steps of 50 ms
    assert np.allclose(up, [third, 2 * third, 3 * third, 3 * third], atol=1e-6)
    assert np.allclose(down, [2 * third, third, 0.0, 0.0], atol=1e-6)


def test_no_step_changes_the_speed_by_more_than_the_ramp_allows():
    hand, rng = Hand(), np.random.default_rng(0)
    policy = _arm(hand)
    before, reach = np.zeros(3), policy.speed_m / 3
    for _ in range(200):
        hand.axes[:3] = rng.integers(-1, 2, 3)
        now = policy.act({})[:3] * ARM_SCALE[:3] * HZ
        assert np.linalg.norm(now - before) <= reach * (1 + 1e-4)
        before = now


def test_speed_levels_go_up_and_down_and_stop_at_the_ends():
    hand = Hand()
    policy = _arm(hand)
    speeds = []
    for _ in range(8):
        hand.events = (Event.SPEED_UP,)
        policy.act({})
        speeds.append(policy.speed_m)
    assert speeds[-1] == pytest.approx(0.30)
    for _ in range(8):
        hand.events = (Event.SPEED_DOWN,)
        policy.act({})
    assert policy.speed_m == pytest.approx(0.03) and policy.events == ()


def test_a_speed_beyond_the_environments_own_is_its_own():
    hand = Hand()
    policy = HumanPolicy(hand, ARM, np.array([0.005] * 3 + [0.02]), ARM_UNITS, HZ, drive=Drive(level=4))
    hand.axes[:3] = (1, 1, 0)
    assert policy.speed_m == pytest.approx(0.1)
    assert np.linalg.norm(_settled(policy)[:3]) == pytest.approx(1.0, rel=1e-5)


def test_the_driving_frame_turns_moves_and_rotations_into_the_world():
    hand = Hand()
    facing = np.array([[-1.0, 0, 0], [0, -1, 0], [0, 0, 1]])
    policy = _pose(hand, frames={"camera": lambda obs: facing, "world": lambda obs: np.eye(3)})
    hand.axes[[0, 3]] = 1.0
    seen = _settled(policy)
    hand.events = (Event.FRAME,)
    world = _settled(policy)
    assert seen[0] < 0 < world[0] and seen[3] < 0 < world[3] and policy.frame == "world"


def test_a_locked_axis_does_not_move_and_is_freed_by_the_same_key():
    hand = Hand()
    policy = _pose(hand)
    hand.axes[:6] = 1.0
    hand.events = (Event.LOCK_Z, Event.LOCK_ROTATION)
    locked = _settled(policy)
    assert locked[0] > 0 and locked[2] == 0.0 and not locked[3:6].any()
    hand.events = (Event.LOCK_Z,)
    assert _settled(policy)[2] > 0 and policy.locked == {"rotation"}


def test_the_gripper_goes_on_closing_until_it_is_told_to_open():
    hand = Hand()
    policy = _arm(hand)
    open_hand = {"gripper_width": np.array([0.08], np.float32)}
    policy.reset()
    assert policy.act(open_hand)[3] == 0.0
    hand.events = (Event.GRIP,)
    assert [policy.act(open_hand)[3] for _ in range(3)] == [1.0, 1.0, 1.0]
    hand.events = (Event.GRIP,)
    assert policy.act(open_hand)[3] == -1.0


def test_the_first_grip_opens_a_closed_gripper():
    hand = Hand()
    policy = _arm(hand)
    hand.events = (Event.GRIP,)
    assert policy.act({"gripper_width": np.array([0.0], np.float32)})[3] == -1.0


def test_after_an_undo_the_gripper_holds_as_the_last_action_did():
    policy = _arm(Hand())
    policy.resume_grip(np.array([0.3, 0.0, 0.0, 1.0], np.float32))
    assert policy.act({})[3] == 1.0
    policy.resume_grip(None)
    assert policy.act({})[3] == 0.0


def test_an_environment_without_units_is_driven_by_shares():
    hand = Hand()
    policy = HumanPolicy(hand, ("a0",), np.ones(1), ("1",), 30.0, drive=Drive(level=4))
    hand.axes[0] = 1.0
    assert _settled(policy) == pytest.approx([1.0]) and not policy.physical


def test_session_events_are_passed_on_and_driving_events_are_not():
    hand = Hand()
    policy = _arm(hand)
    hand.events = (Event.SPEED_UP, Event.KEEP, Event.GRIP, Event.UNDO)
    policy.act({})
    assert policy.events == (Event.KEEP, Event.UNDO)
    hand.connected = False
    policy.idle({})
    assert policy.events == () and not policy.connected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-1, 1, width=32)] * 7), min_size=1, max_size=20), st.integers(0, 4))
def test_whatever_the_hand_does_the_action_is_float32_within_the_action_space(moves, level):
    hand = Hand()
    policy = _pose(hand, drive=Drive(level=level))
    for axes in moves:
        hand.axes = np.array(axes, np.float32)
        action = policy.act({})
        assert action.dtype == np.float32 and action.shape == (7,) and np.abs(action).max() <= 1.0
