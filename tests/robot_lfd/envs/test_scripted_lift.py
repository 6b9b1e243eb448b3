"""The scripted operator drives robosuite's Lift through the same way as a person at a keyboard."""

from __future__ import annotations

import numpy as np
import pytest

from robot_lfd.envs.registry import make_env
from robot_lfd.rollout import rollout
from teleop.human import HumanPolicy
from teleop.scripted import make_scripted_operator


def successes(seeds: range) -> list[bool]:
    env = make_env("robosuite/Lift-v0")
    arm, found = env.unwrapped, []
    for seed in seeds:
        operator = make_scripted_operator("robosuite/Lift-v0", seed)
        person = HumanPolicy(operator, arm.action_names, arm.action_scale, arm.action_units, arm.control_hz)
        *_, last = rollout(env, person, seed=seed)
        found.append(last.terminated and last.info["is_success"])
    env.close()
    return found


def test_the_scripted_operator_lifts_robosuites_cube():
    assert all(successes(range(2)))


@pytest.mark.slow
def test_it_does_so_at_least_95_times_in_100():
    assert np.mean(successes(range(40))) >= 0.95
