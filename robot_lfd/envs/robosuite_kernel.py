"""One control step of robosuite's operational space controller as one compiled function, bit for bit its own.

MuJoCo's C functions are called by address; the linear algebra is that of robosuite's own compiled helpers, called from
here. The addresses are arguments, so that numba can keep the machine code on the disk.
"""

# pyright: reportCallIssue=false
# numba hands an intrinsic its first argument itself

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from robosuite.utils.control_utils import nullspace_torques, opspace_matrices, orientation_error

_NEARLY_SINGULAR = 1e-6
_POINTER = ir.IntType(8).as_pointer()


def _pointers(builder: Any, args: Any) -> list[Any]:
    return [builder.inttoptr(a, _POINTER) for a in args]


@intrinsic
def _call_2(typingctx, function, a, b):
    """Calls void f(void*, void*)."""

    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(ir.VoidType(), [_POINTER] * 2)
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), _pointers(builder, args[1:]))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), codegen


@intrinsic
def _call_3(typingctx, function, a, b, c):
    """Calls void f(void*, void*, void*)."""

    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(ir.VoidType(), [_POINTER] * 3)
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), _pointers(builder, args[1:]))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp, types.intp), codegen


@intrinsic
def _call_4_int(typingctx, function, a, b, c, d, number):
    """Calls void f(void*, void*, void*, void*, int)."""

    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(ir.VoidType(), [_POINTER] * 4 + [ir.IntType(32)])
        number = builder.trunc(args[5], ir.IntType(32))
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), [*_pointers(builder, args[1:5]), number])
        return context.get_dummy_value()

    return types.void(*[types.intp] * 6), codegen


@njit(cache=True, nogil=True)
def _torques(mass, jacobian, force, torque, uncoupled, rest_joints, joint_pos, joint_vel, gravity, told):
    """Writes the arm's torques (J,) into `told`, by robosuite's own functions in its own order: the same last bits."""
    by_column = mass.T.copy().T  # robosuite indexes twice, which leaves columns: another order, other last bits
    both, along, about, null = opspace_matrices(by_column, jacobian, jacobian[:3], jacobian[3:])
    wrench = np.zeros(6)
    if uncoupled:
        wrench[:3], wrench[3:] = np.dot(along, force), np.dot(about, torque)
    else:
        wrench[:] = np.dot(both, np.concatenate((force, torque)))
    torques = np.dot(jacobian.T, wrench)
    still = nullspace_torques(by_column, null, rest_joints, joint_pos, joint_vel)
    for i in range(len(torques)):
        told[i] = (torques[i] + gravity[i]) + still[i]


@njit(cache=True, nogil=True)
def _factored(a):
    """Turns the lower half of a symmetric matrix into its Cholesky factor; returns False where it is near singular."""
    size = len(a)
    for j in range(size):
        whole = a[j, j]
        for k in range(j):
            a[j, j] -= a[j, k] * a[j, k]
        if not a[j, j] > _NEARLY_SINGULAR * whole:
            return False
        a[j, j] = np.sqrt(a[j, j])
        for i in range(j + 1, size):
            for k in range(j):
                a[i, j] -= a[i, k] * a[j, k]
            a[i, j] /= a[j, j]
    return True


@njit(cache=True, nogil=True)
def _solve(factor, x):
    """Replaces x by the solution of (factor factor^T) y = x."""
    size = len(x)
    for i in range(size):
        for k in range(i):
            x[i] -= factor[i, k] * x[k]
        x[i] /= factor[i, i]
    for i in range(size - 1, -1, -1):
        for k in range(i + 1, size):
            x[i] -= factor[k, i] * x[k]
        x[i] /= factor[i, i]


@njit(cache=True, nogil=True)
def _quick_torques(mass, jacobian, force, torque, uncoupled, rest_joints, joint_pos, joint_vel, gravity, told):
    """Writes the arm's torques (J,) into `told`, by Cholesky alone; returns False where that is not safe.

    With A = J M^-1 J^T, the wrench is A^-1 f (its two diagonal blocks where uncoupled), and the nullspace part
    N^T M a is M a - J^T A^-1 J a for the joints' wanted accelerations a: no inverse is ever built.
    """
    joints = len(mass)
    factor = mass.copy()
    if not _factored(factor):
        return False
    half = jacobian.copy()  # row k becomes L^-1 (row k of J)
    for k in range(6):
        for i in range(joints):
            for j in range(i):
                half[k, i] -= factor[i, j] * half[k, j]
            half[k, i] /= factor[i, i]
    core = np.zeros((6, 6))
    for i in range(6):
        for j in range(i + 1):
            for k in range(joints):
                core[i, j] += half[i, k] * half[j, k]
    wrench, pull = np.concatenate((force, torque)), np.zeros(6)
    along, about = core[:3, :3].copy(), core[3:, 3:].copy()
    if not _factored(core):
        return False
    if uncoupled:
        if not (_factored(along) and _factored(about)):
            return False
        _solve(along, wrench[:3])
        _solve(about, wrench[3:])
    else:
        _solve(core, wrench)
    stiffness = 10.0  # robosuite's joint_kp, damped critically
    wanted = stiffness * (rest_joints - joint_pos) - 2.0 * np.sqrt(stiffness) * joint_vel
    for k in range(6):
        for i in range(joints):
            pull[k] += jacobian[k, i] * wanted[i]
    _solve(core, pull)
    for i in range(joints):
        told[i] = gravity[i]
        for k in range(6):
            told[i] += jacobian[k, i] * (wrench[k] - pull[k])
        for j in range(joints):
            told[i] += mass[i, j] * wanted[j]
    return True


@njit(cache=True, nogil=True)
def osc_step(
    fast, calls, model, data, substeps, fresh, site, arm_qpos, arm_dofs, arm_ctrl, low, high, grip_ctrl, grip_value,
    origin, kp, kd, uncoupled, rest_joints, delta_pos, delta_rot,
    site_xpos, site_xmat, qpos, qvel, inertia, bias, ctrl, pos, rot, vel, joint_pos, joint_vel, jacobian, mass,
):  # fmt: skip
    """Plays one control step and leaves the controller's last view of the arm in the last seven arrays.

    Args:
        fast: solves by Cholesky: twice as fast, other last bits; near a singularity it takes the exact way.
        calls: (4,) addresses of mj_step1, mj_step2, mj_jacSite, mj_fullM. model, data: addresses of the structs.
        fresh: False where the controller's view is that of its construction: robosuite's first step after a reset.
        arm_qpos, arm_dofs, arm_ctrl, grip_ctrl: indices. low, high: (J,) limits of the arm's torques.
        grip_value: (G,) what the gripper's actuators are told, clipped.
        origin: (3,) where the base stands; its axes are those of the world.
        kp, kd: (6,) gains. uncoupled: position and orientation are decoupled. rest_joints: (J,) nullspace goal.
        delta_pos: (3,) metres, delta_rot: (3, 3): this step's command.
        site_xpos ... ctrl: MuJoCo's own arrays.
        pos (3,) rot (3, 3) vel (6,) joint_pos (J,) joint_vel (J,) jacobian (6, J) mass (J, J): see above.
    """
    nv, joints = len(qvel), len(arm_dofs)
    jac = np.zeros((6, nv))
    full = np.zeros((nv, nv))
    told, gravity = np.zeros(joints), np.zeros(joints)
    goal_pos, goal_rot = np.zeros(3), np.zeros((3, 3))
    row = jac.itemsize * 3 * nv
    for substep in range(substeps):
        _call_2(calls[0], model, data)
        if fresh:
            jac[:] = 0.0
            start = jac.ctypes.data
            _call_4_int(calls[2], model, data, start, start + row, site)
            _call_3(calls[3], model, full.ctypes.data, inertia.ctypes.data)
            pos[:] = site_xpos[site]
            rot[:] = site_xmat[site].reshape(3, 3)
            vel[:3] = np.dot(jac[:3], qvel)
            vel[3:] = np.dot(jac[3:], qvel)
            for i in range(joints):
                joint_pos[i], joint_vel[i] = qpos[arm_qpos[i]], qvel[arm_dofs[i]]
                for k in range(6):
                    jacobian[k, i] = jac[k, arm_dofs[i]]
                for j in range(joints):
                    mass[i, j] = full[arm_dofs[i], arm_dofs[j]]
        fresh = True
        if substep == 0:
            goal_pos = (pos - origin) + delta_pos
            goal_rot = np.dot(delta_rot, rot)
        force = ((origin + goal_pos) - pos) * kp[:3] + -vel[:3] * kd[:3]
        torque = orientation_error(goal_rot, rot) * kp[3:] + -vel[3:] * kd[3:]
        for i in range(joints):
            gravity[i] = bias[arm_dofs[i]]
        view = (mass, jacobian, force, torque, uncoupled, rest_joints, joint_pos, joint_vel, gravity, told)
        if not fast or not _quick_torques(*view):
            _torques(*view)
        for i in range(joints):
            ctrl[arm_ctrl[i]] = min(max(told[i], low[i]), high[i])
        for i in range(len(grip_ctrl)):
            ctrl[grip_ctrl[i]] = grip_value[i]
        _call_2(calls[1], model, data)
