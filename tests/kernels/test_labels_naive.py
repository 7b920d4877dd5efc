"""Labels against the definition written out in float64, for any size and number of classes, with many ties.

Sizes are such that every weight of the interpolation is a sum of few powers of two, and logits are small whole numbers:
all values are exact in float32 too, so that equal ones are equal and the first class has to win.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as some

from densecast.kernels.labels import upsample_argmax


def interpolated(values: np.ndarray, size: int, align_corners: bool) -> np.ndarray:
    """(..., n) float64 -> (..., size), linearly, between pixels aligned as they are or by their corners."""
    count = values.shape[-1]
    places = np.arange(size, dtype=np.float64)
    if align_corners:
        places *= (count - 1) / (size - 1) if size > 1 else 0.0
    else:
        places = (places + 0.5) * count / size - 0.5
    places = np.clip(places, 0, count - 1)
    left = np.floor(places).astype(int)
    right = np.minimum(left + 1, count - 1)
    share = places - left
    return values[..., left] * (1 - share) + values[..., right] * share


def naive(logits: np.ndarray, sizes_hw: list[tuple[int, int]], align_corners: bool) -> np.ndarray:
    values = logits.astype(np.float64)
    for height, width in sizes_hw:
        values = interpolated(values, width, align_corners)
        values = interpolated(values.swapaxes(-1, -2), height, align_corners).swapaxes(-1, -2)
    return values.argmax(axis=0)


@some.composite
def cases(draw: some.DrawFn) -> tuple[np.ndarray, list[tuple[int, int]], bool]:
    align_corners = draw(some.booleans())

    def sides() -> list[int]:
        if align_corners:  # distances of corners that divide each other by a power of two
            exponents = sorted(draw(some.lists(some.integers(0, 4), min_size=3, max_size=3)))
            return [2**each + 1 for each in exponents]
        first, factors = draw(some.integers(1, 12)), draw(some.tuples(some.integers(0, 2), some.integers(0, 2)))
        return [first, first << factors[0], first << factors[0] << factors[1]]

    heights, widths = sides(), sides()
    channels, levels = draw(some.integers(2, 40)), draw(some.integers(2, 5))
    rng = np.random.default_rng(draw(some.integers(0, 1 << 32)))
    logits = rng.integers(0, levels, (channels, heights[0], widths[0])).astype(np.float32)
    steps = list(zip(heights[1:], widths[1:], strict=True))[: draw(some.integers(1, 2))]
    return logits, steps, align_corners


@settings(max_examples=150, deadline=None)
@given(cases(), some.integers(1, 3))
def test_labels_are_those_of_the_definition(case: tuple[np.ndarray, list[tuple[int, int]], bool], threads: int) -> None:
    logits, sizes_hw, align_corners = case
    labels = upsample_argmax(logits, sizes_hw, align_corners=align_corners, threads=threads)
    np.testing.assert_array_equal(labels, naive(logits, sizes_hw, align_corners))
