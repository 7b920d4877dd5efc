"""Networks that make channels of pixels between their layers are quantised on images of several sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from densecast.backends import _nncf
from densecast.spec.options import CalibrationMethod, QuantizeOptions
from densecast.spec.tensor import Feeds

pytestmark = pytest.mark.quantize


def tokens(ov: Any) -> Any:
    """A convolution, pixels in a row as transformers have them, and a convolution by channel of the picture again."""
    ops, rng = ov.opset13, np.random.default_rng(1)

    def weights(*shape: int) -> Any:
        return ops.constant(rng.normal(0, 0.4, shape).astype(np.float32))

    image = ops.parameter([-1, 3, -1, -1], np.float32, name="image")
    ones = ([1, 1], [1, 1], [1, 1], [1, 1])
    first = ops.convolution(image, weights(8, 3, 3, 3), *ones)
    size_hw = ops.gather(ops.shape_of(first), ops.constant([2, 3]), ops.constant(0))
    turn = ops.constant([0, 2, 1])
    rows = ops.transpose(ops.reshape(first, ops.constant([0, 8, -1]), True), turn)
    mixed = ops.add(ops.matmul(rows, weights(8, 8), False, False), weights(1, 1, 8))
    whole = ops.concat([ops.constant([0, 8]), size_hw], 0)
    picture = ops.reshape(ops.transpose(mixed, turn), whole, True)
    by_channel = ops.group_convolution(picture, weights(8, 1, 1, 3, 3), *ones)
    return ov.Model([ops.add(by_channel, weights(1, 8, 1, 1))], [image], "tokens")


@pytest.mark.parametrize("method", ["minmax", "mean_minmax", "percentile"])
def test_ranges_are_found_on_images_of_several_sizes_and_hold_for_others(method: CalibrationMethod) -> None:
    ov = pytest.importorskip("openvino")
    rng = np.random.default_rng(2)
    sizes = [(12, 20), (20, 12), (16, 24), (9, 31)]
    feeds: list[Feeds] = [{"image": rng.random((1, 3, *size), dtype=np.float32)} for size in sizes]
    model = tokens(ov)
    options = QuantizeOptions(calibration_method=method, activations="asymmetric")
    int8, _ = _nncf.quantize(model.clone(), feeds, options, full_weights=True)
    core = ov.Core()
    exact, built = (core.compile_model(each, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}) for each in (model, int8))
    for size in (*sizes[:2], (17, 23)):
        image = rng.random((1, 3, *size), dtype=np.float32)
        wanted, got = exact(image)[0].copy(), built(image)[0]
        # A step of 256 over the range; the last two methods clip a few values.
        assert got.shape == wanted.shape and np.abs(got - wanted).mean() < np.ptp(wanted) / 256
