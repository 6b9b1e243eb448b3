"""The same limits in both simulators: the arm itself, not only its commands, stays where it may be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_lfd.envs.contract import arm_of
from robot_lfd.envs.registry import make_env
from robot_lfd.limits import FENCE_M, Limited, Limits, default_limits
from robot_lfd.rollout import rollout

STEPS = 70
SLACK_M = 0.01  # beyond the fence, at which the arm is stopped
HALF = np.array([0.10, 0.10, 0.08])


class Hostile:
    """Saturated, alternating, random, or a jump into the unknown after a calm start."""

    def __init__(self, kind: str, size: int, seed: int) -> None:
        self.kind, self.size = kind, size
        self._rng, self._tick = np.random.default_rng(seed), 0
        self._signs = self._rng.choice([-1.0, 1.0], size)

    def reset(self) -> None:
        self._tick = 0

    def act(self, obs):
        self._tick += 1
        period = 1 + self._signs.argmax() * 4
        return {
            "saturated": self._signs,
            "alternating": self._signs * (-1.0) ** (self._tick // period),
            "random": self._rng.uniform(-3, 3, self.size),
            "sudden": self._signs * (self._tick > 20),
            "broken": self._signs * (np.nan if self._tick > 15 else 1.0),
        }[self.kind]


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


@pytest.mark.parametrize(
    ("env_id", "control"),
    [("pybullet/Lift-v0", ()), ("pybullet/Lift-v0", (("control", "pose"),)), ("robosuite/Lift-v0", ())],
    ids=["pybullet position", "pybullet pose", "robosuite"],
)
@settings(max_examples=7, deadline=None, derandomize=True)
@given(kind=st.sampled_from(["saturated", "alternating", "random", "sudden", "broken"]), seed=st.integers(0, 999))
def test_an_adversarial_policy_cannot_get_the_arm_out_of_its_workspace(env_id, control, kind, seed):
    env = arm_env(env_id, control)
    arm = arm_of(env)
    home = np.asarray(env.reset(seed=seed)[0]["eef_pos"], np.float64)
    box = np.stack([home - HALF, home + HALF])
    usual = default_limits(arm)
    limited = Limited(Hostile(kind, len(arm.action_names), seed), arm, Limits(usual.speed, usual.acceleration, box))
    steps = list(rollout(env, limited, seed=seed))
    places = np.array([s.next_obs["eef_pos"] for s in steps], np.float64)
    outside = max(float((box[0] - places).max()), float((places - box[1]).max()))
    assert outside <= FENCE_M + SLACK_M
    sent = np.array([s.action for s in steps])
    assert np.isfinite(sent).all() and (np.abs(sent) <= 1.0).all()
    if kind == "broken":
        assert limited.stop_reason == "the policy's action is not finite"


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
