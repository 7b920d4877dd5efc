"""Value noise is smoothstep interpolation of a random lattice, and its octaves keep their bounds."""

import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

from densecast.scenes.noise import fractal, value_noise


@pytest.mark.parametrize(("size_hw", "cells_hw"), [((64, 96), (4, 3)), ((31, 17), (5, 2)), ((8, 8), (1, 1))])
def test_value_noise_equals_scipy_on_smoothed_places(size_hw: tuple[int, int], cells_hw: tuple[int, int]) -> None:
    lattice = np.random.default_rng(5).random((cells_hw[0] + 1, cells_hw[1] + 1), dtype=np.float32)
    places = []
    for length, cells in zip(size_hw, cells_hw, strict=True):
        position = (np.arange(length) + 0.5) * cells / length
        whole = np.floor(position)
        part = position - whole
        places.append(whole + part**2 * (3 - 2 * part))
    oracle = RegularGridInterpolator([np.arange(cells + 1) for cells in cells_hw], lattice.astype(np.float64))
    wanted = oracle(np.stack(np.meshgrid(*places, indexing="ij"), axis=-1))
    found = value_noise(np.random.default_rng(5), size_hw, cells_hw)
    assert found.dtype == np.float32
    # float32 positions up to 5 cells: 5 * 2^-24 each, times the steepest slope 1.5, and a few roundings.
    np.testing.assert_allclose(found, wanted, atol=2e-6)


def test_fractal_is_the_weighted_mean_of_ever_finer_noise() -> None:
    rng = np.random.default_rng(1)
    octaves = [value_noise(rng, (40, 56), (2 << octave, 3 << octave)) for octave in range(4)]
    wanted = np.average(octaves, axis=0, weights=[1, 0.6, 0.6**2, 0.6**3])
    found = fractal(np.random.default_rng(1), (40, 56), (2, 3), 4, gain=0.6)
    # Four float32 additions of numbers below one.
    np.testing.assert_allclose(found, wanted, atol=1e-6)
