"""The second process: the same world, drawn from; exact, newest first, and never a danger to the recording."""

import os
import signal
import time

import numpy as np
import pytest

from robot_lfd.demos.tape import Tape
from robot_lfd.envs.registry import make_env
from robot_lfd.mirror import Mirror

ENV = "pybullet/Lift-v0"


def _recipe(**changes):
    return {"env_id": ENV, "env_kwargs": {}, "max_episode_steps": None, "views": ["front", "wrist"], **changes}


def _until(condition, timeout_s=30.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def mirror():
    made = []

    def make(**changes):
        made.append(Mirror(_recipe(**changes)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def _driven(mirror, steps, seed=0):
    tape, rng = Tape(make_env(ENV)), np.random.default_rng(seed)
    tape.reset(seed=seed)
    mirror.reset(tape.start())
    for _ in range(steps):
        action = rng.uniform(-1, 1, 4).astype(np.float32)
        tape.step(action)
        mirror.step(action)
    return tape


def test_it_lives_through_the_same_episode_bit_for_bit_also_after_an_undo(mirror):
    one = mirror()
    tape = _driven(one, 30)
    assert np.array_equal(one.states(), tape.episode().sim_state)
    tape.rewind(12)
    one.reset(tape.start(), tape.actions())
    assert np.array_equal(one.states(), tape.episode().sim_state)


def test_once_nothing_moves_every_view_shows_the_present_instant_sharply(mirror):
    one = mirror()
    tape = _driven(one, 5)
    _until(lambda: one.pictures.get("front", np.empty(0)).shape == (512, 512, 3))
    _until(lambda: one.pictures.get("wrist", np.empty(0)).shape == (256, 256, 3))
    arm = tape.env.unwrapped
    assert np.array_equal(one.pictures["front"], arm.render_camera("front", 512, 512))
    assert np.array_equal(one.pictures["wrist"], arm.render_camera("wrist", 256, 256))


def test_a_mirror_that_is_killed_costs_the_pictures_and_nothing_else(mirror):
    one = mirror()
    tape = _driven(one, 3)
    os.kill(one._process.pid, signal.SIGKILL)
    _until(lambda: one.error)
    assert "recording goes on without pictures" in one.error
    one.step(np.zeros(4, np.float32))
    one.reset(tape.start())
    assert one.states(timeout_s=1.0) is None


def test_an_environment_that_cannot_be_made_says_why(mirror):
    one = mirror(env_id="pybullet/Nope-v0")
    _until(lambda: one.error)
    assert "unknown environment" in one.error


def test_telling_it_never_makes_the_control_loop_wait(mirror):
    one = mirror()
    _driven(one, 3)
    started = time.perf_counter()
    for _ in range(200):  # far more than it can draw meanwhile
        one.step(np.zeros(4, np.float32))
    assert (time.perf_counter() - started) / 200 < 0.005
    assert one.states().shape[0] == 204
