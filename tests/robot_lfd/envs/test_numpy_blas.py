"""Products in compiled code are numpy's own, whichever kernels numpy's BLAS chooses."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from robot_lfd.envs import numpy_blas


@pytest.mark.parametrize("size", [2, 3, 6, 7, 13])
def test_products_are_numpys_to_the_last_bit(size: int):
    rng, blas = np.random.default_rng(size), numpy_blas.addresses()
    for _ in range(50):
        matrix, other, vector = rng.normal(size=(size, 7)), rng.normal(size=(7, size)), rng.normal(size=8)
        assert np.array_equal(numpy_blas.times_vector(blas, matrix, vector[:7]), np.dot(matrix, vector[:7]))
        assert np.array_equal(numpy_blas.times_vector(blas, other.T, vector[1:]), np.dot(other.T, vector[1:]))
        assert np.array_equal(numpy_blas.times_matrix(blas, matrix, other), np.dot(matrix, other))
        assert numpy_blas.norm(blas, vector[5:]) == np.linalg.norm(vector[5:])


def test_where_numpy_brings_no_blas_products_are_numbas():
    rng, none = np.random.default_rng(0), np.zeros_like(numpy_blas.addresses())
    matrix, vector = rng.normal(size=(3, 3)), rng.normal(size=3)
    assert np.allclose(numpy_blas.times_vector(none, matrix, vector), matrix @ vector)
    assert np.allclose(numpy_blas.times_vector(none, matrix.T, vector), matrix.T @ vector)
    assert np.allclose(numpy_blas.times_matrix(none, matrix, matrix), matrix @ matrix)
    assert np.isclose(numpy_blas.norm(none, vector), np.linalg.norm(vector))


_TWO_PROCESSORS = """
import os
os.environ["OPENBLAS_CORETYPE"] = "Nehalem"  # without fused multiplication
import numpy
os.environ["OPENBLAS_CORETYPE"] = "Haswell"  # with it, where the processor has it
import scipy.linalg.cython_blas
from robot_lfd.envs.registry import make_env
print(make_env("robosuite/Lift-v0").unwrapped.stepper_name)
"""


def test_the_compiled_path_is_exact_where_numpy_and_scipy_choose_different_kernels():
    found = subprocess.run([sys.executable, "-c", _TWO_PROCESSORS], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "compiled, exact"
