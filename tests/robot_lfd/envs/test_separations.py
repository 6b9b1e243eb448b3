"""Pairs that MuJoCo is told not to look at are pairs that do not touch: the contacts are those of MuJoCo alone."""

from __future__ import annotations

import ctypes

import mujoco
import numpy as np
import pytest

from robot_lfd.envs import mujoco_calls
from robot_lfd.envs.operational_space import _pinv
from robot_lfd.envs.registry import make_env
from robot_lfd.envs.separations import SLACK_M, forget, separate, separations_of

WORLD = """<mujoco><worldbody>
  <geom name="floor" type="plane" size="2 2 .1"/>
  <body name="a" pos="0 0 1"><freejoint/><geom type="box" size=".1 .05 .02"/></body>
  <body name="b" pos="0 0 2"><freejoint/><geom type="cylinder" size=".06 .08"/></body>
  <body name="c" pos="0 0 3"><freejoint/><geom type="capsule" size=".05 .1"/></body>
  <body name="d" pos="0 0 4"><freejoint/><geom type="sphere" size=".07"/></body>
  <body name="e" pos="0 0 5"><freejoint/><geom type="ellipsoid" size=".1 .05 .07"/></body>
</worldbody></mujoco>"""


def contacts(data: mujoco.MjData) -> tuple[list, list]:
    return data.contact.geom.tolist(), data.contact.dist.tolist()


def test_over_random_poses_the_contacts_are_mujocos_and_most_pairs_are_left_out():
    model = mujoco.MjModel.from_xml_string(WORLD)
    data, rng = mujoco.MjData(model), np.random.default_rng(0)
    pairs, distance = separations_of(model), mujoco_calls.addresses()[-1]
    bodies = data.qpos.reshape(-1, 7)
    touching, left_out = 0, 0
    for trial in range(400):
        if trial % 20 == 0:  # another place for all, then small steps on from there
            bodies[:, :3] = rng.uniform([-0.3, -0.3, 0.0], [0.3, 0.3, 0.5], (len(bodies), 3))
        bodies[:] += rng.normal(0.0, 0.01, bodies.shape)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_collision(model, data)
        wanted = contacts(data)
        separate(pairs, distance, model._address, data._address, data.geom_xpos, data.geom_xmat, data.qpos)
        left_out += int((~pairs.touching).sum())
        mujoco.mj_collision(model, data)
        assert contacts(data) == wanted
        forget(pairs)
        touching += len(wanted[0])
    assert touching > 200
    assert left_out > 0.5 * 400 * len(pairs.a)
    assert np.array_equal(pairs.contype, pairs.usual[0])


def test_a_gap_below_the_slack_is_no_proof():
    model = mujoco.MjModel.from_xml_string(WORLD)
    data = mujoco.MjData(model)
    pairs, distance = separations_of(model), mujoco_calls.addresses()[-1]
    for height, touches in ((0.07 + 0.5 * SLACK_M, True), (0.07 + 2 * SLACK_M, False)):
        data.qpos.reshape(-1, 7)[3, 2] = height
        pairs.wait[:] = 0
        mujoco.mj_kinematics(model, data)
        separate(pairs, distance, model._address, data._address, data.geom_xpos, data.geom_xmat, data.qpos)
        assert pairs.touching[(pairs.a == 0) & (pairs.b == 4)].tolist() == [touches]


@pytest.mark.parametrize("task", ["Lift", pytest.param("NutAssemblySquare", marks=pytest.mark.slow)])
def test_after_a_compiled_control_step_contacts_masks_and_sensors_are_robosuites(task: str):
    envs = [make_env(f"robosuite/{task}-v0", control_path=path) for path in ("exact", "robosuite")]
    data = [e.unwrapped._env.sim.data._data for e in envs]
    model = envs[0].unwrapped._env.sim.model._model
    masks, volumes = (model.geom_contype.copy(), model.geom_conaffinity.copy()), model.nbvh
    actions = np.random.default_rng(0).uniform(-1, 1, (25, envs[0].action_space.shape[0])).astype(np.float32)
    for env in envs:
        env.reset(seed=2)
    for action in actions:
        for env in envs:
            env.step(action)
        assert contacts(data[0]) == contacts(data[1])
        assert np.array_equal(data[0].sensordata, data[1].sensordata)
        assert np.array_equal(masks, (model.geom_contype, model.geom_conaffinity))
        assert model.nbvh == volumes


def test_the_number_of_bounding_volumes_is_found_in_the_models_own_memory():
    model = mujoco.MjModel.from_xml_string(WORLD)
    found, volumes = mujoco_calls.bounding_volumes(model), model.nbvh
    assert found.ctypes.data - model._address in range(128)
    found[0] = 0
    assert model.nbvh == 0
    found[0] = volumes


@pytest.mark.parametrize("size", [2, 3, 6, 7])
def test_the_pseudo_inverse_is_numpys_to_the_last_bit(size: int):
    from numba import njit

    plain = njit(lambda a: np.linalg.pinv(a))
    rng, lapack = np.random.default_rng(size), mujoco_calls.lapack_addresses()
    for trial in range(200):
        half = rng.normal(size=(size, size)) * 10.0 ** rng.uniform(-4, 4)
        if trial % 5 == 0:
            half[:, 0] = half[:, 1]  # singular
        both = half @ half.T
        assert np.array_equal(_pinv(lapack, both), plain(both)), trial


def test_every_function_that_is_called_by_address_is_there():
    assert (mujoco_calls.addresses() != 0).all()
    assert isinstance(mujoco_calls.library(), ctypes.CDLL)
