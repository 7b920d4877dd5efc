"""Histograms are NumPy's, count by count; the range that is taken for int8 loses hardly more than the best there is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from densecast.kernels import value_counts

F32 = npt.NDArray[np.float32]


def _drawn(kind: str) -> F32:
    rng = np.random.default_rng(7)
    values = {
        "normal": rng.normal(0, 3, 20000),
        "rectified": np.maximum(rng.normal(0, 1, 20000), 0),
        "heavy-tailed": rng.standard_t(3, 20000),
        "few": np.array([1.5, -2.0, 0.0]),
        "steps": rng.integers(-4, 5, 20000) / 8,
        "edges": np.linspace(-3, 5, 2049).repeat(3) + rng.choice([-1e-7, 0, 1e-7], 6147),
        "far away": 1000 + rng.uniform(0, 4, 20000),
    }[kind]
    return values.astype(np.float32)


@pytest.mark.parametrize("bins", [1, 2, 3, 100, 2048])
@pytest.mark.parametrize("ends", [(-1.3, 2.9), (0.1, 0.7), (-3e4, 7.0)])
def test_values_on_the_edges_and_next_to_them_count_as_numpys(ends: tuple[float, float], bins: int) -> None:
    edges = np.linspace(*np.float32(ends), bins + 1, dtype=np.float32)
    beside = [np.nextafter(edges, np.float32(side)) for side in (-np.inf, np.inf)]
    values = np.clip(np.concatenate([edges, *beside]), edges[0], edges[-1])
    # By the edges themselves, whatever the quotient that finds the bin is rounded to.
    expected = np.histogram(values, edges)[0]
    np.testing.assert_array_equal(value_counts.counted(values, edges), expected)


@pytest.mark.parametrize("kind", ["normal", "rectified", "heavy-tailed", "few", "steps", "edges", "far away"])
@pytest.mark.parametrize("wider", [0.0, 0.37])
def test_counts_are_those_of_numpy(kind: str, wider: float) -> None:
    values = _drawn(kind)
    ends = (float(values.min()) - wider, float(values.max()) + wider)
    expected, edges = np.histogram(values, 2048, range=ends)
    assert edges.dtype == np.float32
    np.testing.assert_array_equal(value_counts.counted(values, edges), expected)


@pytest.mark.parametrize("kind", ["rectified", "steps", "few"])
def test_how_often_the_least_value_occurs(kind: str) -> None:
    values = _drawn(kind)
    assert value_counts.equal(values, values.min()) == int((values == values.min()).sum())


def test_the_values_of_a_part_come_in_their_order() -> None:
    values = np.array([3, 1, 2, 5, 2], np.float32)
    found = value_counts.within(values, np.float32(2), np.float32(5), 3)
    np.testing.assert_array_equal(found, [3, 2, 2])
    # No more than were counted before, whatever came in between.
    np.testing.assert_array_equal(value_counts.within(values, np.float32(2), np.float32(5), 2), [3, 2])
    assert value_counts.within(values, np.float32(6), np.float32(9), 0).size == 0


@pytest.mark.parametrize("kind", ["normal", "rectified", "heavy-tailed"])
def test_no_range_of_a_coarse_grid_loses_much_less(kind: str) -> None:
    values = _drawn(kind)
    low, high = float(values.min()), float(values.max())
    histogram = np.histogram(values, 2048, range=(low, high))[0].astype(np.float64)
    first, last = value_counts.least_error_bins(histogram, 256)
    width = (high - low) / 2048
    found = _lost(values, low + first * width, low + (last + 1) * width)
    grid = [(low * left, high * right) for left in np.linspace(0.2, 1, 9) for right in np.linspace(0.2, 1, 9)]
    assert found <= 1.1 * min(_lost(values, *ends) for ends in grid if ends[0] < ends[1])
    assert found <= 1.001 * _lost(values, low, high)


@pytest.mark.torch
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("kind", ["normal", "rectified", "heavy-tailed", "steps"])
def test_the_range_is_that_of_torchs_observer(kind: str, bits: int) -> None:
    torch = pytest.importorskip("torch")
    from torch.ao.quantization.observer import HistogramObserver

    observer = HistogramObserver(bins=256, quant_min=0, quant_max=2**bits - 1, dtype=torch.quint8)
    observer(torch.from_numpy(_drawn(kind)))
    least, most = (float(each) for each in observer._non_linear_param_search())
    width = float(observer.max_val - observer.min_val) / 256
    wanted = round((least - float(observer.min_val)) / width), round((most - float(observer.min_val)) / width) - 1
    found = value_counts.least_error_bins(observer.histogram.numpy().astype(np.float64), observer.dst_nbins)
    assert found == wanted


def _lost(values: F32, low: float, high: float) -> float:
    """Mean squared error of 256 levels, each in the middle of its part of a range."""
    step = (high - low) / 256
    levels = np.clip(np.floor((values.astype(np.float64) - low) / step), 0, 255)
    return float(np.mean((low + (levels + 0.5) * step - values) ** 2))
