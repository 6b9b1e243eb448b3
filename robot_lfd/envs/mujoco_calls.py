"""MuJoCo's and LAPACK's own C functions for compiled code: by address, without Python and without its lock."""

# pyright: reportAttributeAccessIssue=false
# mujoco is a compiled module without types

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import get_cython_function_address, intrinsic

TESTED = ("3.9",)  # MuJoCo versions whose mj_step1 and mj_step2 are made of these functions, in this order, and sensors
FUNCTIONS = (
    "mj_checkPos", "mj_checkVel", "mj_kinematics", "mj_comPos", "mj_camlight", "mj_flex", "mj_tendon", "mj_makeM",
    "mj_factorM",
    "mj_collision", "mj_makeConstraint", "mj_island", "mj_transmission", "mj_projectConstraint",
    "mj_fwdVelocity",
    "mj_fwdActuation", "mj_fwdAcceleration", "mj_fwdConstraint", "mj_checkAcc", "mj_Euler",
    "mj_jacSite", "mj_step1", "mj_step2", "mj_geomDistance",
)  # fmt: skip
_LAPACK = ("dgebd2", "dbdsdc", "dorm2r", "dorml2")
_POINTER = ir.IntType(8).as_pointer()


def _call(typingctx, function, arguments):
    """Calls void f(...) at the address `function`; `arguments` is a tuple of doubles and, as intp, of all else."""
    kinds = [types.float64 if isinstance(kind, types.Float) else types.intp for kind in arguments]

    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(ir.VoidType(), [context.get_value_type(each) for each in kinds])
        values = [builder.extract_value(args[1], i) for i in range(len(kinds))]
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), values)
        return context.get_dummy_value()

    return types.void(types.intp, types.Tuple(kinds)), codegen


def _call_real(typingctx, function, arguments):
    """Returns double f(...) at the address `function`; `arguments` is a tuple of pointers and whole numbers."""

    def codegen(context, builder, signature, args):
        kind = ir.FunctionType(ir.DoubleType(), [ir.IntType(64)] * len(arguments))
        values = [builder.extract_value(args[1], i) for i in range(len(arguments))]
        return builder.call(builder.inttoptr(args[0], kind.as_pointer()), values)

    return types.float64(types.intp, types.UniTuple(types.intp, len(arguments))), codegen


def _geom_distance(typingctx, function, model, data, geom, other, limit, segment):
    """Returns mj_geomDistance(model, data, geom, other, limit, segment), `function` being its address."""

    def codegen(context, builder, signature, args):
        whole, real = ir.IntType(32), ir.DoubleType()
        kind = ir.FunctionType(real, [_POINTER, _POINTER, whole, whole, real, _POINTER])
        model, data, segment = (builder.inttoptr(args[i], _POINTER) for i in (1, 2, 6))
        pair = [builder.trunc(args[i], whole) for i in (3, 4)]
        return builder.call(builder.inttoptr(args[0], kind.as_pointer()), [model, data, *pair, args[5], segment])

    return types.float64(*[types.intp] * 5, types.float64, types.intp), codegen


call: Any = intrinsic(_call)  # numba hands it the first argument
call_real: Any = intrinsic(_call_real)
geom_distance: Any = intrinsic(_geom_distance)


def library() -> ctypes.CDLL:
    """Returns the very libmujoco that the bindings use."""
    folder = Path(mujoco.__file__).parent
    names = sorted([*folder.glob("libmujoco.so*"), *folder.glob("libmujoco*.dylib"), *folder.glob("mujoco.dll")])
    if not names:
        raise OSError(f"no libmujoco in {folder}")
    return ctypes.CDLL(str(names[-1]))


def addresses() -> np.ndarray:
    """Returns the addresses of FUNCTIONS, in their order. Raises OSError or AttributeError where one is missing."""
    return addresses_in(library(), FUNCTIONS)


def addresses_in(found: ctypes.CDLL, names: Sequence[str]) -> np.ndarray:
    """Returns the addresses of a library's functions, (N,). Raises AttributeError where one is missing."""
    return np.array([ctypes.cast(getattr(found, name), ctypes.c_void_p).value for name in names], np.intp)


def lapack_addresses() -> np.ndarray:
    """Returns the addresses of dgebd2, dbdsdc, dorm2r, dorml2 and dgemm: scipy's, which numba's own algebra calls."""
    found = [get_cython_function_address("scipy.linalg.cython_lapack", name) for name in _LAPACK]
    return np.array([*found, get_cython_function_address("scipy.linalg.cython_blas", "dgemm")], np.intp)


def bounding_volumes(model: mujoco.MjModel) -> np.ndarray:
    """Returns the model's number of bounding volumes, (1,), in its own memory; where it is not found, a copy.

    mj_collision begins by clearing a byte for each of them, for pictures alone: 364,000 with robosuite's visual
    meshes, a third of a collision. Where physics alone is wanted, the number may be 0 meanwhile.
    """
    want = [model.nbody, model.nbvh, model.nbvhstatic, model.nbvhdynamic]
    for kind in (np.int64, np.int32):
        head: np.ndarray = np.frombuffer((ctypes.c_byte * 128).from_address(model._address), kind)  # type: ignore[arg-type]
        found = [i for i in range(len(head) - 3) if head[i : i + 4].tolist() == want]
        if len(found) == 1:
            return head[found[0] + 1 : found[0] + 2]
    return np.array([model.nbvh])


def column(value: Any) -> np.ndarray:
    """Returns an (N,) array of indices."""
    return np.atleast_1d(np.array(value, np.intp))
