"""Ranges are looked at after 16, 32, 64, … images, and have settled where twice as many hardly move them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from densecast.backends import _nncf, _settled
from densecast.backends._divided import FeedsWork
from densecast.spec.options import CalibrationMethod, QuantizeOptions
from densecast.spec.tensor import Feeds


def _range(low: float, high: float) -> tuple[Any, Any]:
    return np.full((1, 1, 1, 1), low, np.float32), np.full((1, 1, 1, 1), high, np.float32)


@pytest.mark.parametrize(("total", "expected"), [(5, [5]), (16, [16]), (17, [16, 17]), (100, [16, 32, 64, 100])])
def test_ranges_are_looked_at_after_twice_as_many_images_each_time(total: int, expected: list[int]) -> None:
    assert list(_settled.rounds(total)) == expected


@pytest.mark.parametrize(
    ("before", "now", "settled"),
    [
        ([_range(-1, 1)] * 3, [_range(-1, 1)] * 3, True),
        # 0.05 of a width of 2 is a 40th; of 1 a 20th.
        ([_range(-1, 1)], [_range(-1, 0.95)], True),
        ([_range(0, 1)], [_range(0, 0.95)], False),
        # One of many has moved by a quarter.
        ([_range(0, 1)] * 99 + [_range(0, 0.75)], [_range(0, 1)] * 100, False),
        ([_range(0, 1)] * 99 + [_range(0, 0.9)], [_range(0, 1)] * 100, True),
        # Zero belongs to a range: here a 50th of it has moved.
        ([_range(4.0, 5.0)], [_range(4.0, 5.1)], True),
        ([_range(0, 0)], [_range(0, 0)], True),
        ([], [], True),
    ],
)
def test_ranges_have_settled_where_they_have_hardly_moved(before: Any, now: Any, settled: bool) -> None:
    assert _settled.are_settled(before, now) is settled


def _model() -> Any:
    ov = pytest.importorskip("openvino")
    ops, rng = ov.opset13, np.random.default_rng(1)
    image = ops.parameter([1, 3, 12, 12], np.float32, name="image")
    weights = [ops.constant(rng.normal(0, 0.4, shape).astype(np.float32)) for shape in ((8, 3, 3, 3), (8, 8, 3, 3))]
    ones = ([1, 1], [1, 1], [1, 1], [1, 1])
    first = ops.relu(ops.convolution(image, weights[0], *ones))
    return ov.Model([ops.convolution(first, weights[1], *ones)], [image], "small")


def _images(count: int, spread: float) -> list[Feeds]:
    """Noise of a brightness that differs from image to image by `spread`."""
    rng = np.random.default_rng(3)
    return [
        {"image": (rng.random((1, 3, 12, 12), np.float32) * np.exp(rng.normal(0, spread))).astype(np.float32)}
        for _ in range(count)
    ]


@pytest.mark.quantize
@pytest.mark.parametrize("method", ["mean_minmax", pytest.param("histogram", marks=pytest.mark.slow), "percentile"])
def test_images_that_are_alike_are_enough_after_a_few_and_others_are_all_looked_at(method: CalibrationMethod) -> None:
    pytest.importorskip("nncf")
    options = QuantizeOptions(activations="asymmetric", calibration_method=method, bias_correction="none")
    counts = [_nncf.quantize(_model(), _images(70, spread), options, full_weights=True)[1] for spread in (0.0, 3.0)]
    assert counts == [32, 70]


@pytest.mark.quantize
def test_extremes_of_64_images_are_enough_whatever_they_are() -> None:
    pytest.importorskip("nncf")
    options = QuantizeOptions(activations="asymmetric", calibration_method="minmax", bias_correction="none")
    assert _nncf.quantize(_model(), _images(70, 3.0), options, full_weights=True)[1] == 64


@pytest.mark.quantize
@pytest.mark.parametrize("method", ["minmax", "histogram"])
def test_images_that_were_collected_before_lead_to_the_same_model(method: CalibrationMethod) -> None:
    pytest.importorskip("nncf")
    images, options = _images(40, 0.5), QuantizeOptions(activations="asymmetric", calibration_method=method)
    options_of_one = QuantizeOptions(activations="asymmetric", calibration_method=method, bias_correction="fast")
    expected, count = _nncf.quantize(_model(), images, options_of_one, full_weights=True)
    placed = _nncf.calibrator(_model(), 40, options, full_weights=True)
    assert placed is not None
    with _nncf.quiet():
        placed.collect(images[:8], ["minmax", "mean_minmax", "histogram", "percentile"], with_biases=True)
    unread: list[Feeds] = [*[{"image": np.full((1, 3, 12, 12), np.nan, np.float32)}] * 8, *images[8:]]
    got, also = _nncf.quantize(_model(), unread, options_of_one, full_weights=True, placed=placed, seen=8)
    assert also == count
    assert _constants(got) == _constants(expected)


class _Elsewhere(list[Feeds]):
    """Images that another process works on, as far as a test shows it; a part of them as well."""

    def __init__(self, feeds: list[Feeds], folder: Path) -> None:
        super().__init__(feeds)
        self._folder = folder

    def __getitem__(self, index: Any) -> Any:
        found: Any = super().__getitem__(index)
        return _Elsewhere(found, self._folder) if isinstance(index, slice) else found

    def each(self, written: Callable[[Path], FeedsWork]) -> list[bytes]:
        work: FeedsWork = pickle.loads(pickle.dumps(written(self._folder)))
        compute = work.open(1)
        return [compute(feeds) for feeds in self]


@pytest.mark.quantize
def test_ranges_settle_on_other_machines_after_as_many_images_as_here(tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    images = _images(40, 0.0)
    options = QuantizeOptions(activations="asymmetric", calibration_method="mean_minmax", bias_correction="fast")
    here, there = (
        _nncf.quantize(_model(), feeds, options, full_weights=True) for feeds in (images, _Elsewhere(images, tmp_path))
    )
    assert here[1] == there[1] == 32
    assert _constants(here[0]) == _constants(there[0])


def _constants(model: Any) -> list[bytes]:
    return [
        np.asarray(node.get_data()).tobytes() for node in model.get_ordered_ops() if node.get_type_name() == "Constant"
    ]
