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
def osc_step(
    calls, model, data, substeps, fresh, site, arm_qpos, arm_dofs, arm_ctrl, low, high, grip_ctrl, grip_value,
    origin, kp, kd, uncoupled, rest_joints, delta_pos, delta_rot,
    site_xpos, site_xmat, qpos, qvel, inertia, bias, ctrl, pos, rot, vel, joint_pos, joint_vel, jacobian, mass,
):  # fmt: skip
    """Plays one control step and leaves the controller's last view of the arm in the last seven arrays.

    Args:
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
        by_column = mass.T.copy().T  # robosuite indexes twice, which leaves columns: another order, other last bits
        both, along, about, null = opspace_matrices(by_column, jacobian, jacobian[:3], jacobian[3:])
        wrench = np.zeros(6)
        if uncoupled:
            wrench[:3], wrench[3:] = np.dot(along, force), np.dot(about, torque)
        else:
            wrench[:] = np.dot(both, np.concatenate((force, torque)))
        torques = np.dot(jacobian.T, wrench)
        still = nullspace_torques(by_column, null, rest_joints, joint_pos, joint_vel)
        for i in range(joints):
            told = (torques[i] + bias[arm_dofs[i]]) + still[i]
            ctrl[arm_ctrl[i]] = min(max(told, low[i]), high[i])
        for i in range(len(grip_ctrl)):
            ctrl[grip_ctrl[i]] = grip_value[i]
        _call_2(calls[1], model, data)
