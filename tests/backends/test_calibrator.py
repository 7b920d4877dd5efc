"""Ranges of all calibration methods come from one pass over the images, and are those that NNCF finds in many."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from densecast.backends import _nncf, _openvino_ranges
from densecast.backends._divided import FeedsWork
from densecast.errors import BadGraphError
from densecast.spec.options import ActivationScheme, CalibrationMethod, QuantizeOptions
from densecast.spec.tensor import Feeds

pytestmark = pytest.mark.quantize
METHODS: tuple[CalibrationMethod, ...] = ("minmax", "mean_minmax", "histogram", "percentile")


def _model() -> Any:
    """Two convolutions, one by channel, a residual sum, a concatenation and a matrix product."""
    ov = pytest.importorskip("openvino")
    ops, rng = ov.opset13, np.random.default_rng(1)

    def weights(*shape: int) -> Any:
        return ops.constant(rng.normal(0, 0.4, shape).astype(np.float32))

    image = ops.parameter([-1, 3, 20, 24], np.float32, name="image")
    ones = ([1, 1], [1, 1], [1, 1], [1, 1])
    first = ops.relu(ops.add(ops.convolution(image, weights(8, 3, 3, 3), *ones), weights(1, 8, 1, 1)))
    by_channel = ops.add(ops.group_convolution(first, weights(8, 1, 1, 3, 3), *ones), weights(1, 8, 1, 1))
    summed = ops.add(by_channel, first)
    joined = ops.concat([summed, ops.relu(by_channel)], 1)
    last = ops.add(ops.convolution(joined, weights(4, 16, 3, 3), *ones), weights(1, 4, 1, 1))
    flat = ops.matmul(
        ops.reshape(last, ops.constant(np.array([0, 4, -1], np.int64)), True), weights(480, 5), False, False
    )
    return ov.Model([flat], [image], "small")


@pytest.fixture(scope="module")
def feeds() -> list[Feeds]:
    rng = np.random.default_rng(2)
    return [{"image": (rng.standard_t(4, (2, 3, 20, 24)) * scale).astype(np.float32)} for scale in (1.0, 0.4, 2.5, 1.3)]


def _ranges(model: Any) -> list[tuple[Any, ...]]:
    """The ends of every quantiser of activations, in the model's order."""
    return [
        tuple(np.asarray(node.input_value(end).get_node().get_data()) for end in (1, 2, 3, 4))
        for node in model.get_ordered_ops()
        if node.get_type_name() == "FakeQuantize" and node.input_value(0).get_node().get_type_name() != "Constant"
    ]


def _by_nncf(feeds: list[Feeds], options: QuantizeOptions, monkeypatch: pytest.MonkeyPatch) -> Any:
    with monkeypatch.context() as patch:
        patch.setattr(_nncf, "calibrator", lambda *_, **__: None)
        return _nncf.quantize(_model(), feeds, options, full_weights=True)[0]


@pytest.mark.parametrize(
    ("activations", "methods"), [("asymmetric", ("histogram", "percentile")), ("symmetric", ("minmax", "mean_minmax"))]
)
def test_one_pass_finds_the_ranges_of_every_method(
    feeds: list[Feeds],
    activations: ActivationScheme,
    methods: tuple[CalibrationMethod, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("nncf")
    options = QuantizeOptions(activations=activations, percentile=99.0)
    placed = _nncf.calibrator(_model(), len(feeds), options, full_weights=True)
    assert placed is not None
    with _nncf.quiet():
        placed.collect(feeds, METHODS, with_biases=False)
        found = {method: _ranges(placed.int8(method, corrects_biases=False)) for method in METHODS}
    for method in methods:
        named = QuantizeOptions(
            activations=activations, percentile=99.0, calibration_method=method, bias_correction="none"
        )
        expected = _ranges(_by_nncf(feeds, named, monkeypatch))
        assert len(found[method]) == len(expected) >= 4
        for number, (got, ends) in enumerate(zip(found[method], expected, strict=True)):
            for one, end in zip(got, ends, strict=True):
                np.testing.assert_allclose(one, end, rtol=2e-5, atol=1e-6, err_msg=f"{method} {number}")


def test_a_model_that_is_given_ranges_is_the_one_that_the_quantiser_makes_of_them_bit_for_bit(
    feeds: list[Feeds], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nncf")
    found, given, copies = [], _openvino_ranges.with_ranges, list[Any]()

    def noted(model: Any, ranges: Any) -> Any:
        copies.append(given(model, ranges))
        return copies[-1]

    for instead in (noted, lambda *_: None):
        placed = _nncf.calibrator(_model(), len(feeds), QuantizeOptions(activations="asymmetric"), full_weights=True)
        assert placed is not None
        with monkeypatch.context() as patch, _nncf.quiet():
            patch.setattr(_openvino_ranges, "with_ranges", instead)
            placed.collect(feeds, METHODS, with_biases=True)
            models = [placed.int8(method, corrects_biases=biased) for method in METHODS for biased in (False, True)]
        found.append([_everything(model) for model in models])
    assert found[0] == found[1] and len({tuple(each) for each in found[0]}) > len(METHODS)
    assert len(copies) == len(models) and None not in copies


def _everything(model: Any) -> list[str]:
    """Every operator in order: type, attributes, and a constant's bytes."""
    return [
        f"{node.get_type_name()} {sorted(node.get_attributes().items(), key=str)} "
        + (np.asarray(node.get_data()).tobytes().hex() if node.get_type_name() == "Constant" else "")
        for node in model.get_ordered_ops()
    ]


@pytest.mark.slow
def test_corrected_biases_are_those_of_nncf(feeds: list[Feeds], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nncf")
    options = QuantizeOptions(activations="asymmetric", calibration_method="mean_minmax", bias_correction="fast")
    models = _nncf.quantize(_model(), feeds, options, full_weights=True)[0], _by_nncf(feeds, options, monkeypatch)
    got, expected = (_biases(model) for model in models)
    plain = _biases(_model())
    assert len(got) == len(expected) == len(plain) == 3
    moved = max(float(np.abs(other - before).max()) for other, before in zip(expected, plain, strict=True))
    assert moved > 1e-4
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=0.02 * moved)


def _block(normalises: bool) -> Any:
    """Attention of one head over 6 tokens of 8 channels, a sum with what it reads, and a product with weights."""
    ov = pytest.importorskip("openvino")
    ops, rng = ov.opset13, np.random.default_rng(1)

    def times(value: Any, outputs: int) -> Any:
        return ops.matmul(value, ops.constant(rng.normal(0, 0.4, (8, outputs)).astype(np.float32)), False, False)

    tokens = ops.parameter([1, 6, 8], np.float32, name="image")
    first = times(tokens, 8)
    normal = ops.mvn(first, ops.constant(np.array([2])), True, 1e-6, "INSIDE_SQRT") if normalises else ops.relu(first)
    attention = ops.softmax(ops.matmul(times(normal, 8), times(normal, 8), False, True), -1)
    summed = ops.add(first, times(ops.matmul(attention, times(normal, 8), False, False), 8))
    again = ops.add(summed, times(summed, 8))
    return ov.Model([times(again, 5)], [tokens], "block")


@pytest.mark.parametrize("normalises", [True, False])
def test_sums_between_the_blocks_of_a_transformer_stay_in_float_and_its_products_do_not(normalises: bool) -> None:
    pytest.importorskip("nncf")
    tokens: list[Feeds] = [{"image": np.random.default_rng(seed).random((1, 6, 8), np.float32)} for seed in range(3)]
    options = QuantizeOptions(calibration_method="minmax", bias_correction="none")
    model, _ = _nncf.quantize(_block(normalises), tokens, options, full_weights=True)

    def is_quantised(node: Any, place: int) -> bool:
        return bool(node.input_value(place).get_node().get_type_name() == "FakeQuantize")

    nodes = list(model.get_ordered_ops())
    sums = [node for node in nodes if node.get_type_name() == "Add"]
    assert len(sums) == 2 and any(is_quantised(node, place) for node in sums for place in (0, 1)) is not normalises
    assert not any(is_quantised(node, 0) for node in nodes if node.get_type_name() == "MVN")
    products = [node for node in nodes if node.get_type_name() == "MatMul"]
    assert sum(is_quantised(node, 0) for node in products) >= len(products) - 1


def _biases(model: Any) -> list[Any]:
    """What is added by channel, in the model's order."""
    return [
        np.asarray(node.input_value(1).get_node().get_data())
        for node in model.get_ordered_ops()
        if node.get_type_name() == "Add" and node.input_value(1).get_node().get_type_name() == "Constant"
    ]


class _Elsewhere(list[Feeds]):
    """Images that another process works on, as far as a test shows it: all that it is told has been pickled."""

    def __init__(self, feeds: list[Feeds], folder: Path) -> None:
        super().__init__(feeds)
        self._folder, self.answers = folder, 0

    def each(self, written: Callable[[Path], FeedsWork]) -> list[bytes]:
        work: FeedsWork = pickle.loads(pickle.dumps(written(self._folder)))
        compute = work.open(1)
        # The last one first: nothing may depend on who is done when.
        found = [compute(feeds) for feeds in reversed(self)]
        self.answers += len(found)
        return found[::-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("methods", "activations"),
    [(("minmax", "mean_minmax"), "symmetric"), (("percentile",), "asymmetric"), (METHODS, "asymmetric")],
)
def test_statistics_of_single_images_merge_to_what_one_process_finds(
    feeds: list[Feeds], methods: tuple[CalibrationMethod, ...], activations: ActivationScheme, tmp_path: Path
) -> None:
    """To the last bit; ranges by histogram, which do not merge, are found here all the same."""
    pytest.importorskip("nncf")
    options = QuantizeOptions(activations=activations, percentile=99.0)
    found = []
    for images in (feeds, elsewhere := _Elsewhere(feeds, tmp_path)):
        placed = _nncf.calibrator(_model(), len(feeds), options, full_weights=True)
        assert placed is not None
        with _nncf.quiet():
            placed.collect(images, methods, with_biases=True)
            models = [placed.int8(method, corrects_biases=True) for method in methods]
        found.append([[*(end for ends in _ranges(each) for end in ends), *_biases(each)] for each in models])
    assert elsewhere.answers == (0 if "histogram" in methods else len(feeds))
    for here, there in zip(*found, strict=True):
        assert len(here) == len(there) > 16
        for one, other in zip(here, there, strict=True):
            np.testing.assert_array_equal(one, other)


def test_statistics_of_other_machines_that_are_no_numbers_are_an_error(feeds: list[Feeds], tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    broken = [feeds[0], {"image": np.full((1, 3, 20, 24), np.nan, np.float32)}]
    placed = _nncf.calibrator(_model(), 2, QuantizeOptions(activations="asymmetric"), full_weights=True)
    assert placed is not None
    with _nncf.quiet(), pytest.raises(BadGraphError, match=r"layer '.+' .* calibration image 2"):
        placed.collect(_Elsewhere(broken, tmp_path), ["percentile"], with_biases=True)


def test_values_that_are_one_number_have_a_range() -> None:
    pytest.importorskip("nncf")
    placed = _nncf.calibrator(_model(), 2, QuantizeOptions(activations="asymmetric"), full_weights=True)
    assert placed is not None
    with _nncf.quiet():
        placed.collect([{"image": np.full((1, 3, 20, 24), 0.5, np.float32)}] * 2, METHODS, with_biases=False)
        ranges = [ends for method in METHODS for ends in _ranges(placed.int8(method, corrects_biases=False))]
    assert all(np.isfinite(end).all() for ends in ranges for end in ends)


@pytest.mark.slow
@pytest.mark.parametrize("activations", ["asymmetric", "symmetric"])
def test_extremes_found_by_the_engine_are_those_of_the_tensors_bit_for_bit(
    feeds: list[Feeds], activations: ActivationScheme
) -> None:
    """With a method that needs all values, ranges of the others come from the tensors themselves."""
    pytest.importorskip("nncf")
    placed = _nncf.calibrator(_model(), len(feeds), QuantizeOptions(activations=activations), full_weights=True)
    assert placed is not None
    found = []
    for methods in (("minmax", "mean_minmax"), METHODS):
        with _nncf.quiet():
            placed.collect(feeds, methods, with_biases=True)
            models = [placed.int8(method, corrects_biases=biased) for method in METHODS[:2] for biased in (False, True)]
        found.append([(_ranges(model), _biases(model)) for model in models])
    for of_engine, of_tensors in zip(*found, strict=True):
        for one, other in zip(of_engine, of_tensors, strict=True):
            assert len(one) == len(other) >= 3
            assert all(np.array_equal(left, right) for left, right in zip(one, other, strict=True))


@pytest.mark.slow
def test_importing_the_quantiser_leaves_torch_alone_until_a_model_is_one_of_its() -> None:
    pytest.importorskip("nncf")
    code = (
        "import sys\nfrom densecast.runtime import late_imports\nlate_imports.nncf()\nimport numpy, openvino as ov\n"
        "from nncf.common.utils.backend import get_backend\nops = ov.opset13\n"
        "x = ops.parameter([1, 3], numpy.float32)\nprint(get_backend(ov.Model([ops.relu(x)], [x])).value)\n"
        "print('torch' in sys.modules)"
    )
    assert _process(code) == ["OpenVINO", "False"]


@pytest.mark.slow
@pytest.mark.torch
def test_the_quantiser_knows_what_is_torchs_after_all() -> None:
    pytest.importorskip("nncf")
    pytest.importorskip("torch")
    code = (
        "from densecast.runtime import late_imports\nnncf = late_imports.nncf()\nimport torch\n"
        "from nncf.common.utils.backend import get_backend\nfrom nncf.tensor import Tensor, functions\n"
        "print(get_backend(torch.nn.Linear(1, 1)).value)\n"
        "print(float(functions.max(Tensor(torch.tensor([1.0, 3.0]))).data))"
    )
    assert _process(code) == ["Torch", "3.0"]


def _process(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
