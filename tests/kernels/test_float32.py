"""The float32 operations of the compiled loops against exact fractions and float64."""

from fractions import Fraction

import numpy as np
from numba import njit

from densecast.kernels.float32 import exp_of_negative, fma


@njit
def fma_of_all(a, b, c):
    result = np.empty_like(a)
    for i in range(a.size):
        result[i] = fma(a[i], b[i], c[i])
    return result


@njit
def exp_of_all(x):
    result = np.empty_like(x)
    for i in range(x.size):
        result[i] = exp_of_negative(x[i])
    return result


def test_fma_rounds_once():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 2000)).astype(np.float32)
    # Near-cancellation: what a product rounded by itself would lose.
    c = -(a * b) + rng.integers(-1, 2, 2000).astype(np.float32) * np.float32(1e-8)
    for got, x, y, z in zip(fma_of_all(a, b, c), a, b, c, strict=True):
        exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
        # The exact value has at most 48 + 24 bits that matter; float() rounds it once, float32 once more.
        assert got == np.float32(float(exact))


def test_exp_is_within_one_unit_in_the_last_place_down_to_its_limit():
    x = -np.linspace(0, 87, 400_001, dtype=np.float32)
    exact = np.exp(x.astype(np.float64))
    assert np.all(np.abs(exp_of_all(x) - exact) <= np.spacing(exact.astype(np.float32)))
    assert exp_of_all(np.float32([0.0]))[0] == 1.0
    # Below its limit it stays what it is there: the edge of the normal numbers.
    below = exp_of_all(np.float32([-87.5, -88.0, -95.0, -103.0, -200.0, -1e30]))
    np.testing.assert_allclose(below, np.exp(-87.0), rtol=2e-7)
