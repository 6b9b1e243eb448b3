"""Products of arrays in compiled code as numpy computes them: by the very functions that numpy calls.

numba's own np.dot calls the BLAS that scipy brings, which is another build than numpy's: on a processor that one of
the two does not know, they choose other kernels, and last bits differ. Here numpy's is called by address; addresses are
arguments, see `robosuite_kernel`. Where numpy brings none, numba's np.dot is all there is.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numba import njit

from robot_lfd.envs.mujoco_calls import addresses_in, call, call_real

_CORES = ("numpy._core._multiarray_umath", "numpy.core._multiarray_umath")  # numpy 2 and later, numpy 1
_SPELLINGS = ("scipy_cblas_{}64_", "cblas_{}64_", "cblas_{}")  # of OpenBLAS in numpy's wheels; of any other
_BY_ROW, _BY_COLUMN, _AS_IT_IS = 101, 102, 111  # CBLAS' names of layouts


@functools.cache
def addresses() -> np.ndarray:
    """Returns the addresses of numpy's ddot, dgemv and dgemm of CBLAS; all 0 where they are not found.

    They are looked for once: a stepper and its rewards ask for them at every environment.
    """
    for library in _libraries():
        for spelling in _SPELLINGS:
            names = [spelling.format(name) for name in ("ddot", "dgemv", "dgemm")]
            if all(hasattr(library, name) for name in names):
                return addresses_in(library, names)
    return np.zeros(3, np.intp)


def _libraries() -> Iterator[ctypes.CDLL]:
    """Yields what may hold numpy's BLAS: its own C module, in which those it is linked with are found, or beside it."""
    core = Path(next(sys.modules[name] for name in _CORES if name in sys.modules).__file__ or "")
    beside = Path(np.__file__).parent.parent / "numpy.libs"  # Windows looks a name up in one library alone
    for path in (core, *sorted(beside.glob("*openblas*"))):
        try:
            yield ctypes.CDLL(str(path))
        except OSError:  # of another kind, or gone
            continue


@njit(cache=True, nogil=True)
def norm(blas, x):
    """Returns np.linalg.norm(x) of a vector (N,), contiguous."""
    if blas[0] == 0:
        return np.sqrt(np.dot(x, x))
    return np.sqrt(call_real(blas[0], (len(x), x.ctypes.data, 1, x.ctypes.data, 1)))


@njit(cache=True, nogil=True)
def times_vector(blas, a, x):
    """Returns np.dot(a, x), (M,), of a matrix (M, N), contiguous by row or by column, and a vector (N,), contiguous."""
    if blas[1] == 0:
        return np.dot(a, x)
    out, by_row = np.zeros(a.shape[0]), a.strides[1] == a.itemsize
    order, ahead = (_BY_ROW, a.shape[1]) if by_row else (_BY_COLUMN, a.shape[0])
    matrix = (1.0, a.ctypes.data, ahead)
    call(blas[1], (order, _AS_IT_IS, *a.shape, *matrix, x.ctypes.data, 1, 0.0, out.ctypes.data, 1))
    return out


@njit(cache=True, nogil=True)
def times_matrix(blas, a, b):
    """Returns np.dot(a, b), (M, N), of two matrices (M, K) and (K, N), contiguous by row."""
    if blas[2] == 0:
        return np.dot(a, b)
    out, (m, k), n = np.zeros((a.shape[0], b.shape[1])), a.shape, b.shape[1]
    matrices = (1.0, a.ctypes.data, k, b.ctypes.data, n, 0.0, out.ctypes.data, n)
    call(blas[2], (_BY_ROW, _AS_IT_IS, _AS_IT_IS, m, n, k, *matrices))
    return out
