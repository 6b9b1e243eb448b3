"""The torques of robosuite's operational space controller: bit for bit its own, or by Cholesky alone."""

from __future__ import annotations

import numpy as np
from numba import njit
from robosuite.utils.control_utils import nullspace_torques

from robot_lfd.envs.mujoco_calls import call
from robot_lfd.envs.numpy_blas import times_vector

_NEARLY_SINGULAR = 1e-6
_ORDINARY = 1e100  # LAPACK scales a matrix first whose largest entry is beyond 1e139, or below its inverse
_LETTERS = np.frombuffer(b"UILNRC", np.uint8).copy()  # for LAPACK: upper, identity, left, plain, right, transposed


@njit(cache=True, nogil=True)
def _pinv(lapack, a):
    """Returns what np.linalg.pinv of a small square matrix returns, to the last bit, in half the time.

    numba asks LAPACK's dgesdd twice, each time for the size of a dozen workspaces that matrices of this size never
    need. These are the calls that are left of it where rows and columns are equal and few.
    """
    size, largest = len(a), np.abs(a).max()
    if not 1.0 / _ORDINARY < largest < _ORDINARY:
        return np.linalg.pinv(a)
    left, upper, plain = a.T.copy(), np.zeros((size, size)), np.zeros((size, size))
    s, e, q, p = np.zeros(size), np.zeros(size), np.zeros(size), np.zeros(size)
    work, whole = np.zeros(4 * size * size + 8 * size), np.zeros(8 * size + 8, np.int32)
    n, less, info, rank = whole[-1:], whole[-2:-1], whole[-3:-2], whole[-4:-3]
    n[0], less[0] = size, size - 1
    letter, item = _LETTERS.ctypes.data, a.itemsize
    at_n, at_info, at_work = n.ctypes.data, info.ctypes.data, work.ctypes.data
    at_a, at_u, at_v = left.ctypes.data, upper.ctypes.data, plain.ctypes.data
    at_s, at_q, at_p = s.ctypes.data, q.ctypes.data, p.ctypes.data
    call(lapack[0], (at_n, at_n, at_a, at_n, at_s, e.ctypes.data, at_q, at_p, at_work, at_info))
    bidiagonal = (letter, letter + 1, at_n, at_s, e.ctypes.data, at_u, at_n, at_v, at_n, at_work, whole.ctypes.data)
    call(lapack[1], (*bidiagonal, at_work, whole.ctypes.data, at_info))
    if info[0] != 0:
        return np.linalg.pinv(a)
    call(lapack[2], (letter + 2, letter + 3, at_n, at_n, at_n, at_a, at_n, at_q, at_u, at_n, at_work, at_info))
    at_less, below = less.ctypes.data, size * item
    rows = (letter + 4, letter + 3, at_n, at_less, at_less, at_a + below, at_n, at_p, at_v + below, at_n)
    call(lapack[3], (*rows, at_work, at_info))
    cut_at, rank[0] = s[0] * 1e-15, 0
    for k in range(size):
        if s[k] > cut_at:
            s[k] = 1.0 / s[k]
            rank[0] = k
    rank[0] += 1
    for i in range(size):
        for j in range(rank[0]):
            plain[i, j] = plain[i, j] * s[j]
    work[0], work[1] = 1.0, 0.0
    at_rank, flip = rank.ctypes.data, letter + 5
    product = (flip, flip, at_n, at_n, at_rank, at_work, at_v, at_n, at_u, at_n, at_work + item, at_a, at_n)
    call(lapack[4], product)
    # the arrays must outlive the calls: addresses alone would let the compiler free them
    if work.size + whole.size + left.size + upper.size + plain.size + s.size + e.size + q.size + p.size == 0:
        return np.linalg.pinv(a)
    return left.T


@njit(cache=True, nogil=True)
def exact_torques(
    lapack, blas, mass, jacobian, force, torque, uncoupled, rest_joints, joint_pos, joint_vel, gravity, told
):
    """Writes the arm's torques (J,) into `told`: robosuite's own operations in its own order, so its last bits.

    robosuite has numba compute some of them, by scipy's BLAS, and numpy the others, by its own: `lapack` and `blas`.
    """
    by_column = mass.T.copy().T  # robosuite indexes twice, which leaves columns: another order, other last bits
    inverse = np.linalg.inv(by_column)
    both = _pinv(lapack, np.dot(np.dot(jacobian, inverse), jacobian.T))
    wrench = np.zeros(6)
    if uncoupled:
        for at, wanted in ((0, force), (3, torque)):
            rows = jacobian[at : at + 3]
            wrench[at : at + 3] = times_vector(blas, _pinv(lapack, np.dot(np.dot(rows, inverse), rows.T)), wanted)
    else:
        wrench[:] = times_vector(blas, both, np.concatenate((force, torque)))
    torques = times_vector(blas, jacobian.T, wrench)
    joints = jacobian.shape[1]
    null = np.eye(joints, joints) - np.dot(np.dot(np.dot(inverse, jacobian.T), both), jacobian)
    still = nullspace_torques(by_column, null, rest_joints, joint_pos, joint_vel)
    for i in range(joints):
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
def quick_torques(mass, jacobian, force, torque, uncoupled, rest_joints, joint_pos, joint_vel, gravity, told):
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
