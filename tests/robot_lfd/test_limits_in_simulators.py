"""The same limits in both simulators: the arm itself, not only its commands, stays where it may be."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from robot_lfd.envs.contract import arm_of
from robot_lfd.envs.registry import make_env
from robot_lfd.limits import FENCE_M, Limited, default_limits
from robot_lfd.rollout import rollout
from robot_lfd.watch import Watched

STEPS = 70
SLACK_M = 0.01  # beyond the fence, at which the arm is stopped
SLACK_RAD = 0.01  # robosuite's wrist can spin on under its controller whatever is asked; MuJoCo's ends give way so far
HALF = np.array([0.10, 0.10, 0.08])


KINDS = ["saturated", "alternating", "random", "sudden", "broken", "late"]


class Hostile:
    """Saturated, alternating, random, a jump into the unknown after a calm start, NaN, or no answer at all."""

    def __init__(self, kind: str, size: int, seed: int) -> None:
        self.kind, self.size = kind, size
        self._rng, self._tick = np.random.default_rng(seed), 0
        self._signs = self._rng.choice([-1.0, 1.0], size)
        self.let = threading.Event()

    def reset(self) -> None:
        self._tick = 0

    def act(self, obs):
        self._tick += 1
        if self.kind == "late" and self._tick > 15:
            self.let.wait()
        period = 1 + self._signs.argmax() * 4
        return {
            "saturated": self._signs,
            "late": self._signs,
            "alternating": self._signs * (-1.0) ** (self._tick // period),
            "random": self._rng.uniform(-3, 3, self.size),
            "sudden": self._signs * (self._tick > 20),
            "broken": self._signs * (np.nan if self._tick > 15 else 1.0),
        }[self.kind]


def drive(env, kind, seed, limits):
    """Returns the steps, the limited policy, and how hard the fingers' motors pressed after each step."""
    arm = arm_of(env)
    hostile = Hostile(kind, len(arm.action_names), seed)
    watched = Watched(hostile, deadline_s=0.05 if kind == "late" else None, needs=arm.policy_keys)
    limited = Limited(watched, arm, limits)
    steps, pressed = [], []
    for step in rollout(env, limited, seed=seed):
        steps.append(step)
        pressed.append(finger_force(arm))
    hostile.let.set()
    watched.close()
    return steps, limited, np.array(pressed)


def finger_force(arm) -> float:
    """What the simulator itself says of the fingers' motors, N."""
    if hasattr(arm, "_bullet"):
        return max(abs(arm._bullet.getJointState(arm._robot, finger)[3]) for finger in (9, 10))
    model, data = arm._env.sim.model._model, arm._env.sim.data._data
    return max(abs(data.actuator_force[i]) for i in range(model.nu) if "gripper" in model.actuator(i).name)


ENVS: dict = {}


def arm_env(env_id, control):
    """One environment of each kind for all examples."""
    if (env_id, control) not in ENVS:
        kwargs = {"max_episode_steps": STEPS, "terminate_on_success": False, **dict(control)}
        ENVS[env_id, control] = make_env(env_id, **kwargs)
    return ENVS[env_id, control]


@pytest.fixture(scope="module", autouse=True)
def close_all():
    yield
    while ENVS:
        ENVS.popitem()[1].close()


ARMS = pytest.mark.parametrize(
    ("env_id", "control"),
    [("pybullet/Lift-v0", ()), ("pybullet/Lift-v0", (("control", "pose"),)), ("robosuite/Lift-v0", ())],
    ids=["pybullet position", "pybullet pose", "robosuite"],
)


@ARMS
@settings(max_examples=6, deadline=None, derandomize=True)
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 999))
@example(kind="late", seed=1)
@example(kind="alternating", seed=2)
def test_an_adversarial_policy_cannot_get_the_arm_out_of_its_limits(env_id, control, kind, seed):
    env = arm_env(env_id, control)
    usual = default_limits(arm_of(env))
    home = np.asarray(env.reset(seed=seed)[0]["eef_pos"], np.float64)
    box = np.stack([home - HALF, home + HALF])
    steps, limited, pressed = drive(env, kind, seed, replace(usual, box=box))
    places = np.array([s.next_obs["eef_pos"] for s in steps], np.float64)
    outside = max(float((box[0] - places).max()), float((places - box[1]).max()))
    assert outside <= FENCE_M + SLACK_M
    check_sent(steps, arm_of(env), usual)
    check_joints(steps, usual)
    assert pressed.max() <= usual.gripper_force_n
    reason = {"broken": "the policy's action is not finite", "late": "the policy took longer than its 50 ms"}
    assert kind not in reason or limited.stop_reason == reason[kind]
    if kind in reason:  # it brakes from that tick on; all that may move it later is the way back inside
        assert np.abs([s.action[:3] for s in steps[20:]]).max() < 0.3


@ARMS
@settings(max_examples=4, deadline=None, derandomize=True)
@given(kind=st.sampled_from(["saturated", "alternating", "random"]), seed=st.integers(0, 999))
@example(kind="saturated", seed=3)
def test_no_joint_is_driven_beyond_its_end_even_where_the_workspace_would_let_it(env_id, control, kind, seed):
    env = arm_env(env_id, control)
    wide = replace(default_limits(arm_of(env)), box=np.array([[-2.0] * 3, [2.0] * 3]), tilt_rad=3.1)
    steps, _, _ = drive(env, kind, seed, wide)
    check_joints(steps, wide)


def check_sent(steps, arm, limits):
    """Every action is within range, speed, acceleration and jerk; only a wall or a joint's end may brake harder."""
    sent = np.array([s.action for s in steps], np.float64)
    assert np.isfinite(sent).all() and (np.abs(sent) <= 1.0).all()
    moves = [i for i, n in enumerate(arm.action_names) if n in ("dx", "dy", "dz")]
    share = arm.control_hz * np.asarray(arm.action_scale, np.float64)
    speed = np.vstack([np.zeros((2, len(moves))), sent[:, moves]])
    change = np.diff(speed, axis=0)
    jolt = np.diff(change, axis=0)
    hard = np.abs(speed[2:]) < np.abs(speed[1:-1]) - 1e-9  # braking
    after = np.abs(speed[1:-1]) < np.abs(speed[:-2]) - 1e-9
    limit = lambda what, power: (what / (share * arm.control_hz ** (power - 1)))[moves] + 1e-5  # noqa: E731
    assert (np.abs(speed) <= limit(limits.speed, 1)).all()
    assert (hard | (np.abs(change[1:]) <= limit(limits.acceleration, 2))).all()
    assert (hard | after | (np.abs(jolt) <= limit(limits.jerk, 3))).all()


def check_joints(steps, limits):
    joints = np.array([s.next_obs["joint_pos"] for s in steps], np.float64)
    assert (joints >= limits.joints[0] - SLACK_RAD).all() and (joints <= limits.joints[1] + SLACK_RAD).all()


@pytest.mark.parametrize("env_id", ["pybullet/Lift-v0", "robosuite/Lift-v0"])
def test_the_limits_leave_a_calm_person_alone(env_id):
    class Calm:
        def reset(self):
            self.tick = 0

        def act(self, obs):
            self.tick += 1
            ramp = min(self.tick / 4, 1.0) * 0.4
            return np.array([ramp if self.tick < 20 else 0, 0.0, -ramp / 2, *[0.0] * (size - 4), 1.0])

    env = arm_env(env_id, ())
    size = len(arm_of(env).action_names)
    limited = Limited(Calm(), arm_of(env))
    for step, _ in zip(rollout(env, limited, seed=0), range(25), strict=False):
        assert step is not None
    assert not limited.held_back.total() and limited.stop_reason is None
