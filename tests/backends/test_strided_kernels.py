"""Kernels that OpenVINO misreads on CPUs with AMX are computed rightly once a pass has widened them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

from densecast.backends import _nncf
from densecast.graph import widen_strided_kernels
from densecast.spec.options import QuantizeOptions

STEP = 8
FEED = {"image": np.random.default_rng(1).random((1, 32, 3 * STEP, 5 * STEP), np.float32)}


def graph(channels: int) -> tuple[onnx.ModelProto, np.ndarray]:
    """A convolution whose kernel is as wide as its stride, over the first channels, and its outputs on `FEED`."""
    weights = np.random.default_rng(0).normal(size=(16, channels, STEP, STEP)).astype(np.float32)
    parsed = onnx.parser.parse_model(
        f"""
        <ir_version: 8, opset_import: ["" : 17]>
        strided (float[1, {channels}, {3 * STEP}, {5 * STEP}] image) => (float[1, 16, 3, 5] y)
        {{ y = Conv <strides = [{STEP}, {STEP}]> (image, w) }}
        """
    )
    parsed.graph.initializer.append(numpy_helper.from_array(weights, "w"))
    windows = FEED["image"][:, :channels].reshape(1, channels, 3, STEP, 5, STEP).astype(np.float64)
    return parsed, np.einsum("nchiwj,ocij->nohw", windows, weights)


def off_by(model: Any, channels: int, precision: str, wanted: np.ndarray) -> float:
    import openvino as ov

    core = ov.Core()
    known = precision.upper() in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    settings = {"INFERENCE_PRECISION_HINT": precision if known else "f32"}
    got = core.compile_model(model, "CPU", settings)([FEED["image"][:, :channels]])[0]
    return float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))


@pytest.mark.parametrize("channels", [8, 16, 24])
def test_in_bfloat16(channels: int) -> None:
    ov = pytest.importorskip("openvino")
    plain, wanted = graph(channels)
    widened = widen_strided_kernels.apply(plain)
    assert widened.changed
    assert off_by(ov.Core().read_model(widened.model.SerializeToString()), channels, "bf16", wanted) < 0.02


@pytest.mark.quantize
@pytest.mark.parametrize("channels", [24, 32])
def test_in_int8(channels: int) -> None:
    pytest.importorskip("nncf")
    ov = pytest.importorskip("openvino")
    plain, wanted = graph(channels)
    model = ov.Core().read_model(widen_strided_kernels.apply(plain).model.SerializeToString())
    feeds = [{"image": FEED["image"][:, :channels]}]
    options = QuantizeOptions(calibration_method="minmax", bias_correction="none")
    int8 = _nncf.quantize(model, feeds, options, full_weights=True)[0]
    assert any(node.get_type_name() == "FakeQuantize" for node in int8.get_ordered_ops())
    assert off_by(int8, channels, "f32", wanted) < 0.02


@pytest.mark.parametrize(
    ("channels", "change"),
    [(64, {}), (3, {}), (32, {"pads": [0, 1, 0, 0]}), (32, {"strides": [1, 1]}), (32, {"dilations": [2, 2]})],
)
def test_kernels_that_are_read_rightly_are_left(channels: int, change: dict[str, list[int]]) -> None:
    weights = np.zeros((1, channels, 4, 4), np.float32)
    node = onnx.helper.make_node("Conv", ["image", "w"], ["y"], **{"strides": [4, 4], **change})
    image, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in ("image", "y"))
    made = onnx.helper.make_graph([node], "one", [image], [y], [numpy_helper.from_array(weights, "w")])
    assert not widen_strided_kernels.apply(onnx.helper.make_model(made)).changed
