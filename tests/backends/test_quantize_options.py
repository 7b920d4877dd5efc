"""Every option of int8 reaches the quantiser and stands in its graph, and every calibration image is read."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tiny_graphs
from onnx import numpy_helper

from densecast.backends import _ort_int8
from densecast.spec.options import QuantizeOptions
from densecast.spec.tensor import Feeds

# One image of the four, the last, has values beyond all others', which are 0 to 1.
LARGEST, SMALLEST = 40.0, -1.0
PLAIN = QuantizeOptions(calibration_method="minmax", activations="asymmetric", bias_correction="none")


def feeds() -> list[Feeds]:
    images = [np.random.default_rng(seed).random((1, 3, 24, 32), np.float32) for seed in range(4)]
    images[-1][0, 0, 0, :2] = LARGEST, SMALLEST
    return [{"image": image} for image in images]


# Two values of every option that a quantiser takes; of the others, which images calibrate depends.
VALUES: dict[str, tuple[Any, Any]] = {
    "weights": ("per_channel", "per_tensor"),
    "activations": ("asymmetric", "symmetric"),
    "calibration_method": ("minmax", "mean_minmax"),
    "percentile": (90.0, 100.0),
    "excluded_types": ((), ("Conv",)),
    "excluded_names": ((), (".*",)),
}
OF_IMAGES = {"images", "seed", "split", "listed"}
# NNCF alone moves biases, and not those of this graph: see test_calibrator.py.
OF_BIASES = {"bias_correction"}


def test_every_option_is_tried() -> None:
    assert {each.name for each in dataclasses.fields(QuantizeOptions)} == VALUES.keys() | OF_IMAGES | OF_BIASES


def with_option(name: str, value: Any) -> QuantizeOptions:
    if name == "percentile":
        return replace(PLAIN, calibration_method="percentile", percentile=value)
    return replace(PLAIN, **{name: value})


class Ort:
    """A graph that ONNX Runtime's quantiser made: the scale and zero point of each tensor."""

    def __init__(self, folder: Path, options: QuantizeOptions, *, full_weights: bool = True) -> None:
        model = tiny_graphs.segmentation(24, 32, batch=1)
        for index, node in enumerate(model.graph.node):
            node.name = f"node{index}"
        onnx.save(model, folder / "float.onnx")
        made, _ = _ort_int8.quantize(folder / "float.onnx", feeds(), options, full_weights=full_weights)
        self.graph = made.SerializeToString(deterministic=True)
        constants = {each.name: numpy_helper.to_array(each) for each in made.graph.initializer}
        self.weights = {name: value for name, value in constants.items() if value.dtype == np.int8 and value.ndim == 4}
        self.scales: dict[str, np.ndarray] = {}
        self.zero_points: dict[str, np.ndarray] = {}
        for node in made.graph.node:
            if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
                self.scales[node.input[0]] = constants[node.input[1]]
                self.zero_points[node.input[0]] = constants[node.input[2]]


@pytest.mark.parametrize("name", sorted(VALUES))
def test_onnxruntime_makes_another_graph_of_another_option(name: str, tmp_path: Path) -> None:
    made = [Ort(tmp_path, with_option(name, value)).graph for value in VALUES[name]]
    assert made[0] != made[1]
    assert Ort(tmp_path, with_option(name, VALUES[name][0])).graph == made[0]  # and the same of the same


def test_onnxruntime_reads_every_calibration_image(tmp_path: Path) -> None:
    made = Ort(tmp_path, PLAIN)
    assert float(made.scales["image"]) * 255 == pytest.approx(LARGEST - SMALLEST, rel=1e-3)


def test_onnxruntime_mean_extremes_lie_between_the_images_own(tmp_path: Path) -> None:
    made = Ort(tmp_path, QuantizeOptions(calibration_method="mean_minmax", activations="asymmetric"))
    assert 1.0 < float(made.scales["image"]) * 255 < 0.9 * LARGEST


@pytest.mark.parametrize(("weights", "many"), [("per_channel", True), ("per_tensor", False)])
def test_onnxruntime_has_a_scale_for_each_channel_or_one(weights: Any, many: bool, tmp_path: Path) -> None:
    made = Ort(tmp_path, QuantizeOptions(calibration_method="minmax", weights=weights))
    assert len(made.weights) == 2
    for name, weight in made.weights.items():
        assert made.scales[name].size == (weight.shape[0] if many else 1)
        assert not made.zero_points[name].any()  # weights are symmetric, always


@pytest.mark.parametrize(("activations", "zero_points"), [("symmetric", {127, 128}), ("asymmetric", {6})])
def test_onnxruntime_puts_zero_in_the_middle_where_asked(
    activations: Any, zero_points: set[int], tmp_path: Path
) -> None:
    made = Ort(tmp_path, QuantizeOptions(calibration_method="minmax", activations=activations))
    assert int(made.zero_points["image"]) in zero_points  # else 255 steps of which 1 in 41 are below 0


@pytest.mark.parametrize(("full_weights", "largest"), [(True, 127), (False, 64)])
def test_onnxruntime_gives_weights_8_bits_or_7(full_weights: bool, largest: int, tmp_path: Path) -> None:
    made = Ort(tmp_path, PLAIN, full_weights=full_weights)
    assert {int(np.abs(weight.astype(np.int16)).max()) for weight in made.weights.values()} == {largest}


def nncf_made(options: QuantizeOptions) -> Any:
    """The model that NNCF makes of the same graph and images."""
    pytest.importorskip("nncf")
    ov = pytest.importorskip("openvino")
    from densecast.backends import _nncf

    core = ov.Core()
    core.set_property({"ENABLE_MMAP": False})
    model = core.read_model(tiny_graphs.segmentation(24, 32, batch=1).SerializeToString())
    with contextlib.redirect_stdout(io.StringIO()):
        return _nncf.quantize(model, feeds(), options, full_weights=True)[0]


def nodes_of(model: Any) -> list[tuple[str, bytes]]:
    """Every node's type, and the bytes of constants."""
    nodes = ((each, each.get_type_name()) for each in model.get_ordered_ops())
    return sorted((kind, each.data.tobytes() if kind == "Constant" else b"") for each, kind in nodes)


@pytest.mark.quantize
@pytest.mark.parametrize("name", sorted(VALUES))
def test_nncf_makes_another_graph_of_another_option(name: str) -> None:
    made = [nodes_of(nncf_made(with_option(name, value))) for value in VALUES[name]]
    assert made[0] != made[1]
    kept = [sum(kind == "FakeQuantize" for kind, _ in each) for each in made]
    assert (kept[1] < kept[0]) == name.startswith("excluded")


def fake_quantised(options: QuantizeOptions) -> dict[str, dict[str, np.ndarray]]:
    """The ranges that NNCF put around the input and the first convolution's weights, by which of them it is."""
    made = nncf_made(options)
    found: dict[str, dict[str, np.ndarray]] = {}
    for node in made.get_ordered_ops():
        if node.get_type_name() != "FakeQuantize":
            continue
        source = node.input_value(0).get_node()
        what = "image" if source.get_type_name() == "Parameter" else source.get_type_name()
        low, high = (node.input_value(place).get_node().data.copy() for place in (1, 2))
        found.setdefault(what, {"low": low, "high": high})
    return found


@pytest.mark.quantize
def test_nncf_reads_every_calibration_image() -> None:
    assert float(fake_quantised(PLAIN)["image"]["high"].max()) == pytest.approx(
        LARGEST, rel=0.05
    )  # widened so that 0 is a step


@pytest.mark.quantize
def test_nncf_mean_extremes_and_percentiles_lie_below_the_largest_value() -> None:
    mean = fake_quantised(QuantizeOptions(calibration_method="mean_minmax", activations="asymmetric"))
    assert 1.0 < float(mean["image"]["high"].max()) < 0.9 * LARGEST
    # One pixel in 2304 is beyond the 99th percentile, whose mean over the images stays that of uniform numbers.
    cut = fake_quantised(QuantizeOptions(calibration_method="percentile", percentile=99.0, activations="asymmetric"))
    assert float(cut["image"]["high"].max()) < 1.05


@pytest.mark.quantize
def test_nncf_ranges_are_symmetric_where_asked() -> None:
    for activations, lowest in (("symmetric", -LARGEST), ("asymmetric", SMALLEST)):
        options = QuantizeOptions(calibration_method="minmax", activations=activations)  # type: ignore[arg-type]
        # A range of whole steps reaches a step further at most.
        assert float(fake_quantised(options)["image"]["low"].min()) == pytest.approx(lowest, abs=2 * LARGEST / 127)
