"""One control step of robosuite's arm controllers as one compiled function, bit for bit its own.

MuJoCo's C functions are called by address; the addresses are arguments, so that numba can keep the machine code on the
disk. What stays the same from step to step is handed over once, as `Kept`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from robosuite.utils.control_utils import orientation_error
from robosuite.utils.transform_utils import quat2mat

from robot_lfd.envs.mujoco_calls import FUNCTIONS, call
from robot_lfd.envs.numpy_blas import norm, times_matrix, times_vector
from robot_lfd.envs.operational_space import exact_torques, quick_torques
from robot_lfd.envs.separations import forget, separate

_KINEMATICS, _COLLISION = FUNCTIONS.index("mj_kinematics"), FUNCTIONS.index("mj_collision")
_ACTUATION, _JACOBIAN = FUNCTIONS.index("mj_fwdActuation"), FUNCTIONS.index("mj_jacSite")
_STEP1, _STEP2 = FUNCTIONS.index("mj_step1"), FUNCTIONS.index("mj_step2")


class Physics(NamedTuple):
    """MuJoCo's functions, the model's and data's addresses, and MuJoCo's own arrays.

    Attributes:
        volumes: (1,) the model's number of bounding volumes, see `bounding_volumes`. volume_count: as compiled.
    """

    calls: np.ndarray
    model: int
    data: int
    volumes: np.ndarray
    volume_count: int
    qpos: np.ndarray
    qvel: np.ndarray
    ctrl: np.ndarray
    bias: np.ndarray
    inertia: np.ndarray
    inertia_first: np.ndarray  # (nv,) where a degree of freedom's row of `inertia` begins
    parent_dof: np.ndarray  # (nv,)
    site_xpos: np.ndarray
    site_xmat: np.ndarray
    geom_xpos: np.ndarray
    geom_xmat: np.ndarray


class Arm(NamedTuple):
    """Where the arm is in MuJoCo's arrays, and what its controller last saw of it.

    Attributes:
        site: the end effector's. qpos, dofs, ctrl: (J,) indices; number: (nv,) a degree of freedom's place in the
            arm, or -1. low, high: (J,) what the actuators take. grip: (G,) the gripper's actuators.
        pos (3,) rot (3, 3) vel (6,) joint_pos (J,) joint_vel (J,) jacobian (6, J) mass (J, J): the controller's view.
        delta: (D,) this control step's command, in the controller's units. began: (6,) `vel` at its first substep.
    """

    site: int
    qpos: np.ndarray
    dofs: np.ndarray
    number: np.ndarray
    ctrl: np.ndarray
    low: np.ndarray
    high: np.ndarray
    grip: np.ndarray
    pos: np.ndarray
    rot: np.ndarray
    vel: np.ndarray
    joint_pos: np.ndarray
    joint_vel: np.ndarray
    jacobian: np.ndarray
    mass: np.ndarray
    delta: np.ndarray
    began: np.ndarray


class Scaling(NamedTuple):
    """robosuite's `scale_action` of a controller, with what is constant in it computed once; each (D,)."""

    low: np.ndarray
    high: np.ndarray
    centre: np.ndarray
    scale: np.ndarray
    out: np.ndarray


class Fingers(NamedTuple):
    """What robosuite's gripper controller makes of an action: bias + weight * scaled, clipped; each (G,).

    Attributes:
        closes: the action's sign alone counts: it adds `pace` to `now`, from -1 to 1. Elsewhere it is `now`.
    """

    closes: bool
    pace: np.ndarray
    now: np.ndarray
    scaling: Scaling
    weight: np.ndarray
    bias: np.ndarray
    low: np.ndarray
    high: np.ndarray


class OperationalSpace(NamedTuple):
    """Settings of robosuite's operational space controller.

    Attributes:
        fast: solves by Cholesky: other last bits; near a singularity it takes the exact way.
        origin: (3,) where the base stands; its axes are those of the world.
        kp, kd: (6,) gains. uncoupled: position and orientation are decoupled. rest_joints: (J,) nullspace goal.
        turns: the action says how to turn the hand, too.
    """

    substeps: int
    scaling: Scaling
    fast: bool
    origin: np.ndarray
    kp: np.ndarray
    kd: np.ndarray
    uncoupled: bool
    rest_joints: np.ndarray
    turns: bool


class JointSpace(NamedTuple):
    """Settings of JOINT_POSITION, or of JOINT_TORQUE where `torque_alone`.

    Attributes:
        compensated: gravity is added, and positions are weighed by the mass matrix.
        kp, kd: (J,) gains. low, high: (J,) torques beyond them are clipped, Nm.
    """

    substeps: int
    scaling: Scaling
    torque_alone: bool
    compensated: bool
    kp: np.ndarray
    kd: np.ndarray
    low: np.ndarray
    high: np.ndarray


@njit(cache=True, nogil=True)
def _scaled(scaling, action):
    """Returns an action in the controller's units."""
    clipped = np.minimum(np.maximum(action, scaling.low), scaling.high)
    return (clipped - scaling.centre) * scaling.scale + scaling.out


@njit(cache=True, nogil=True)
def _told_fingers(fingers, action):
    """Returns what the gripper's actuators are told, (G,)."""
    now = fingers.now
    if fingers.closes:
        now[:] = np.minimum(np.maximum(now + fingers.pace * np.sign(action[0]), -1.0), 1.0)
    else:
        now[:] = action
    value = fingers.bias + fingers.weight * _scaled(fingers.scaling, now)
    return np.minimum(np.maximum(value, fingers.low), fingers.high)


@njit(cache=True, nogil=True)
def _turn(blas, vec, cos, sin):
    """Returns quat2mat(axisangle2quat(vec)), (3, 3); `cos` and `sin` are of half the angle, as numpy rounds them."""
    quaternion = np.array([0.0, 0.0, 0.0, 1.0])
    angle = norm(blas, vec)
    if angle != 0.0:
        quaternion[3] = cos
        quaternion[:3] = vec / angle * sin
    return quat2mat(quaternion)


@njit(cache=True, nogil=True)
def _begin_substep(physics, separations, last):
    """Does mj_step1: by its parts, without what only sensors and pictures read, but for the last of a control step."""
    where = (physics.model, physics.data)
    physics.volumes[0] = physics.volume_count if last else 0
    if last:
        call(physics.calls[_KINEMATICS], where)
    else:
        for i in range(_COLLISION):
            call(physics.calls[i], where)
    separate(separations, physics.calls[-1], *where, physics.geom_xpos, physics.geom_xmat, physics.qpos)
    if last:
        call(physics.calls[_STEP1], where)
        return
    for i in range(_COLLISION, _ACTUATION):
        call(physics.calls[i], where)


@njit(cache=True, nogil=True)
def _end_substep(physics, separations, last):
    """Does mj_step2, likewise."""
    where = (physics.model, physics.data)
    if last:
        call(physics.calls[_STEP2], where)
        forget(separations)
        return
    for i in range(_ACTUATION, _JACOBIAN):
        call(physics.calls[i], where)


@njit(cache=True, nogil=True)
def _look_at_joints(physics, arm):
    """Takes the arm's joints and its mass matrix into the controller's view."""
    for i in range(len(arm.dofs)):
        arm.joint_pos[i], arm.joint_vel[i] = physics.qpos[arm.qpos[i]], physics.qvel[arm.dofs[i]]
        at, other = physics.inertia_first[arm.dofs[i]], arm.dofs[i]
        arm.mass[i, :i] = 0.0
        while other >= 0:
            j = arm.number[other]
            if j >= 0:
                arm.mass[i, j] = arm.mass[j, i] = physics.inertia[at]
            other, at = physics.parent_dof[other], at + 1


@njit(cache=True, nogil=True)
def _look_at_hand(physics, arm, blas, moved, turned):
    """Takes the end effector's pose, velocity and Jacobian into the controller's view.

    Args:
        moved, turned: (3, nv) scratch. Two arrays, as in robosuite: some kernels add in another order elsewhere.
    """
    moved[:], turned[:] = 0.0, 0.0
    call(physics.calls[_JACOBIAN], (physics.model, physics.data, moved.ctypes.data, turned.ctypes.data, arm.site))
    arm.pos[:] = physics.site_xpos[arm.site]
    arm.rot[:] = physics.site_xmat[arm.site].reshape(3, 3)
    arm.vel[:3] = times_vector(blas, moved, physics.qvel)
    arm.vel[3:] = times_vector(blas, turned, physics.qvel)
    for i in range(len(arm.dofs)):
        for k in range(3):
            arm.jacobian[k, i], arm.jacobian[3 + k, i] = moved[k, arm.dofs[i]], turned[k, arm.dofs[i]]


@njit(cache=True, nogil=True)
def _command(physics, arm, told, grip_value):
    """Gives the actuators what they are told, clipped to what they take."""
    for i in range(len(told)):
        physics.ctrl[arm.ctrl[i]] = min(max(told[i], arm.low[i]), arm.high[i])
    for i in range(len(grip_value)):
        physics.ctrl[arm.grip[i]] = grip_value[i]


@njit(cache=True, nogil=True)
def osc_aim(kept, action):
    """Keeps the command of an action (D,), and returns the angle by which it turns the hand, rad."""
    _, _, arm, _, settings, blas, _ = kept.what
    arm.delta[:] = _scaled(settings.scaling, action)
    return norm(blas, arm.delta[3:6]) if settings.turns else 0.0


@njit(cache=True, nogil=True)
def osc_step(kept, fresh, cos, sin, finger_action):
    """Plays one control step of the operational space controller; `arm` keeps its last view of the arm.

    Args:
        kept: physics, separations, arm, fingers, settings, addresses of numpy's BLAS and of LAPACK.
        fresh: False where the view is that of the controller's construction: robosuite's first step after a reset.
        cos, sin: of half the angle that `osc_aim` returned.
        finger_action: of the gripper: one number where it `closes`, else (G,) as its model has formatted it.
    """
    physics, separations, arm, fingers, settings, blas, lapack = kept.what
    joints, substeps, kp, kd, origin = len(arm.dofs), settings.substeps, settings.kp, settings.kd, settings.origin
    grip_value = _told_fingers(fingers, finger_action)
    delta_rot = _turn(blas, arm.delta[3:6] if settings.turns else np.zeros(3), cos, sin)
    moved, turned = np.zeros((3, len(physics.qvel))), np.zeros((3, len(physics.qvel)))
    told, gravity = np.zeros(joints), np.zeros(joints)
    goal_pos, goal_rot = np.zeros(3), np.zeros((3, 3))
    for substep in range(substeps):
        _begin_substep(physics, separations, substep == substeps - 1)
        if fresh:
            _look_at_hand(physics, arm, blas, moved, turned)
            _look_at_joints(physics, arm)
        fresh = True
        if substep == 0:
            arm.began[:] = arm.vel
            goal_pos = (arm.pos - origin) + arm.delta[:3]
            goal_rot = times_matrix(blas, delta_rot, arm.rot)
        force = ((origin + goal_pos) - arm.pos) * kp[:3] + -arm.vel[:3] * kd[:3]
        torque = orientation_error(goal_rot, arm.rot) * kp[3:] + -arm.vel[3:] * kd[3:]
        for i in range(joints):
            gravity[i] = physics.bias[arm.dofs[i]]
        at = (settings.uncoupled, settings.rest_joints, arm.joint_pos, arm.joint_vel, gravity)
        wanted = (arm.mass, arm.jacobian, force, torque, *at)
        if not settings.fast or not quick_torques(*wanted, told):
            exact_torques(lapack, blas, *wanted, told)
        _command(physics, arm, told, grip_value)
        _end_substep(physics, separations, substep == substeps - 1)


@njit(cache=True, nogil=True)
def joint_step(kept, fresh, action, finger_action):
    """Plays one control step of JOINT_POSITION or JOINT_TORQUE.

    Args:
        kept: physics, separations, arm, fingers, settings, addresses of numpy's BLAS.
        fresh, finger_action: see osc_step.
        action: (J,).
    """
    physics, separations, arm, fingers, settings, blas = kept.what
    joints, substeps, kp, kd = len(arm.dofs), settings.substeps, settings.kp, settings.kd
    grip_value = _told_fingers(fingers, finger_action)
    arm.delta[:] = _scaled(settings.scaling, action)
    if settings.torque_alone:
        arm.delta[:] = np.minimum(np.maximum(arm.delta, settings.low), settings.high)
    told, goal = np.zeros(joints), np.zeros(joints)
    for substep in range(substeps):
        _begin_substep(physics, separations, substep == substeps - 1)
        if fresh:
            _look_at_joints(physics, arm)
        fresh = True
        if settings.torque_alone:
            told[:] = arm.delta
        else:
            if substep == 0:
                goal[:] = arm.joint_pos + arm.delta
            told[:] = (goal - arm.joint_pos) * kp + -arm.joint_vel * kd
            if settings.compensated:
                told[:] = times_vector(blas, arm.mass.T.copy().T, told)
        if settings.compensated:
            for i in range(joints):
                told[i] += physics.bias[arm.dofs[i]]
        _command(physics, arm, told, grip_value)
        _end_substep(physics, separations, substep == substeps - 1)
