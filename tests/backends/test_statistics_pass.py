"""Statistics of activations are the same however many images are in work at a time, and a failure ends the pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from densecast.backends import _openvino_statistics as passes
from densecast.backends._value_statistics import ChannelMeans, ValueStatistics
from densecast.errors import BadGraphError, BadImageError
from densecast.spec.tensor import Feeds

ov = pytest.importorskip("openvino")
METHODS = ("minmax", "mean_minmax", "histogram", "percentile")
F32 = npt.NDArray[np.float32]


def _images(count: int = 9) -> list[Feeds]:
    rng = np.random.default_rng(5)
    return [
        {"image": (rng.standard_t(4, (1, 3, 9, 11)) * rng.uniform(0.3, 3)).astype(np.float32)} for _ in range(count)
    ]


class _Pass:
    """A model of one layer, whose values are the image's, halved, where they are not below zero."""

    def __init__(self) -> None:
        image = ov.opset13.parameter([-1, 3, -1, -1], np.float32, name="image")
        image.output(0).set_names({"image"})
        layer = ov.opset13.relu(ov.opset13.multiply(image, ov.opset13.constant(np.float32(0.5))))
        self.statistics, self.means = ValueStatistics(METHODS, 0.01), ChannelMeans(1)
        taker = passes.RangeTaker("layer", self.statistics, (0,))
        self._pass = passes.StatisticsPass([layer.output(0)], [image], [taker], [(0, self.means)])

    def run(self, images: Sequence[Feeds]) -> list[Any]:
        self._pass.run(images)
        ranges = [self.statistics.range(method, absolute=False) for method in METHODS]
        return [*(end for ends in ranges for end in ends), self.means.mean]


def test_a_pass_in_parts_finds_what_the_whole_one_finds_and_each_part_fits() -> None:
    """Layers of 12 and 3 channels, and extremes that the engine finds; one image's outputs are 396 bytes a channel."""
    weights = np.random.default_rng(0).normal(size=(12, 3, 1, 1)).astype(np.float32)

    def found(most_bytes: int) -> list[Any]:
        image = ov.opset13.parameter([-1, 3, -1, -1], np.float32, name="image")
        image.output(0).set_names({"image"})
        wide = ov.opset13.convolution(image, ov.opset13.constant(weights), [1, 1], [0, 0], [0, 0], [1, 1])
        half = ov.opset13.multiply(image, ov.opset13.constant(np.float32(0.5)))
        axes = np.array([0, 1, 2, 3], np.int64)
        ends = [reduce(wide, axes, keep_dims=True) for reduce in (ov.opset13.reduce_min, ov.opset13.reduce_max)]
        outputs = [each.output(0) for each in (wide, *ends, half)]
        own, by_engine, halved = ValueStatistics(METHODS, 0.01), ValueStatistics(("minmax",), 0.01), ChannelMeans(1)
        takers = [passes.RangeTaker("wide", own, (0,)), passes.RangeTaker("ends", by_engine, (1, 2))]
        whole = passes.StatisticsPass(outputs, [image], takers, [(3, halved), (0, wides := ChannelMeans(1))])
        whole.run(_images()[:4], most_bytes=most_bytes)
        whole.run(_images()[4:], 4, most_bytes=most_bytes)
        ranges = [own.range(method, absolute=False) for method in METHODS]
        ranges.append(by_engine.range("minmax", absolute=False))
        return [*(end for ends in ranges for end in ends), halved.mean, wides.mean]

    for most_bytes in (15 * 396 + 7, 12 * 396 + 8, 1):
        for one, other in zip(found(1 << 30), found(most_bytes), strict=True):
            np.testing.assert_array_equal(one, other)


def test_any_number_of_images_at_a_time_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for cpus in (1, 2, 5):
        monkeypatch.setattr(passes, "usable_cpus", lambda cpus=cpus: cpus)
        found.append(_Pass().run(_images()))
    for one, *others in zip(*found, strict=True):
        assert all(np.array_equal(one, other) for other in others)
    layers = [np.maximum(each["image"] / 2, 0) for each in _images()]
    low, high = found[0][0], found[0][1]
    assert low.item() == 0 and high.item() == max(each.max() for each in layers)
    quantiles = [np.quantile(each.astype(np.float64), 0.99) for each in layers]
    assert found[0][7].item() == np.float32(np.mean(quantiles))
    expected = np.mean([each.mean(axis=(0, 2, 3)) for each in layers], axis=0)
    np.testing.assert_allclose(found[0][8], expected, rtol=1e-6)


def test_activations_that_would_not_fit_into_memory_are_had_one_image_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(passes, "usable_cpus", lambda: 4)
    expected = _Pass().run(_images())
    monkeypatch.setattr(passes, "MOST_BYTES", 1)
    assert all(np.array_equal(one, other) for one, other in zip(_Pass().run(_images()), expected, strict=True))


class _Broken(Sequence[Feeds]):
    """Images of which one cannot be read."""

    def __len__(self) -> int:
        return 9

    def __iter__(self) -> Iterator[Feeds]:
        for number, feeds in enumerate(_images()):
            if number == 5:
                raise BadImageError("image 5 is broken")
            yield feeds

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError


def test_an_image_that_cannot_be_read_ends_the_pass_with_its_own_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "usable_cpus", lambda: 3)
    with pytest.raises(BadImageError, match="image 5"):
        _Pass().run(_Broken())


def test_values_that_are_not_finite_are_told_with_the_layer_and_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "usable_cpus", lambda: 3)
    images = _images()
    images[4]["image"][0, 1, 2, 3] = np.inf
    with pytest.raises(BadGraphError, match=r"'layer'.*not finite on calibration image 5"):
        _Pass().run(images)


def test_percentiles_of_channels_are_the_means_of_each_samples_own_and_lie_along_the_channels() -> None:
    rng = np.random.default_rng(0)
    images = [
        (rng.normal(size=(2, 3, 8, 9)) * np.array([1, 10, 100]).reshape(1, 3, 1, 1)).astype(np.float32) for _ in "ab"
    ]
    found = ValueStatistics(["percentile", "minmax"], 0.05, kept=(1,))
    for each in images:
        found.add(each)
    samples = np.concatenate(images).astype(np.float64).reshape(4, 3, -1)
    for end, share in enumerate((0.05, 0.95)):
        expected = np.quantile(samples, share, axis=2).mean(axis=0).reshape(1, 3, 1, 1)
        got = found.range("percentile", absolute=False)[end]
        assert got.shape == found.range("minmax", absolute=False)[end].shape == (1, 3, 1, 1)
        np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize("method", ["percentile", "histogram", "minmax"])
def test_a_vector_is_one_sample_and_rows_are_one_each(method: Any) -> None:
    """A hundred values evenly spread: a tenth of them lies beyond either of the two quantiles."""
    vector = np.random.default_rng(0).permutation(np.linspace(-1, 1, 101)).astype(np.float32)
    ends = {"percentile": (-0.8, 0.8), "minmax": (-1, 1), "histogram": (-1, 1)}[method]
    for values in (vector, vector[None]):
        statistics = ValueStatistics((method,), 0.1)
        statistics.add(values)
        found = statistics.range(method, absolute=False)
        assert [each.size for each in found] == [1, 1]
        np.testing.assert_allclose(np.ravel(found), ends, atol=0.03)
