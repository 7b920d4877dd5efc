"""A build that computes something else is never written, and sound ones are: in every precision, at every size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
import tiny_artifacts
import tiny_graphs
from PIL import Image

import planted_faults
from densecast.artifact import CompiledArtifact, stored_answer
from densecast.backends._base import BACKENDS, BuildJob, Built, Capabilities, Runner
from densecast.errors import ParityError
from densecast.runtime import execution
from densecast.session import Session
from densecast.spec.options import BuildOptions
from densecast.spec.precision import Precision
from densecast.spec.tensor import Feeds
from densecast.spec.verb_options import MaxDrop
from densecast.tasks.segmentation import SegmentationDecode
from densecast.verbs.builder import build, build_check
from densecast.verbs.mixed_precision import build_within

FAULTS = (
    planted_faults.transposed_weight,
    planted_faults.zeroed_bias,
    planted_faults.zeroed_filter,
    planted_faults.border_repeated,
    planted_faults.one_sided_padding,
    planted_faults.dropped_relu,
)


def answer(model: onnx.ModelProto, feeds: Feeds) -> list[np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run(None, feeds))


def named(model: onnx.ModelProto) -> onnx.ModelProto:
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"/layer{number}/{node.op_type}"
    return model


@pytest.mark.parametrize("precision", ["force_float32", "force_float16"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_no_planted_fault_passes(fault: planted_faults.Plant, precision: str, tmp_path: Path) -> None:
    spec, sound = tiny_artifacts.spec(), named(tiny_graphs.segmentation())
    planted = fault(sound, spec, np.random.default_rng(1))
    onnx.save(sound, tmp_path / "graph.onnx")
    feeds = stored_answer.golden_feeds(spec)
    pairs = [(feeds, answer(planted.graph, feeds))]
    with pytest.raises(ParityError, match="-b onnxruntime"):
        build_check.check(tmp_path / "graph.onnx", spec, pairs, precision, "openvino", "f16")  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("precision", ["force_float32", "force_float16"])
def test_sound_builds_pass(backend: str, precision: str, tmp_path: Path) -> None:
    source = tiny_artifacts.exported(tmp_path)
    build(source, tmp_path / "built", BuildOptions(precision=precision, backend=backend))  # type: ignore[arg-type]


RESIZE = """
<ir_version: 8, opset_import: ["" : 18]>
shrinks (float[1, 3, 32, 48] image) => (float[1, 2, {height}, {width}] logits)
<float[2, 3, 1, 1] w = {{1, -2, 0.5, -1, 3, 0.25}}, int64[4] size = {{1, 3, {height}, {width}}}>
{{
    small = Resize <{how}> (image, , , size)
    logits = Conv (small, w)
}}
"""


@pytest.mark.parametrize(
    ("how", "size_hw"),
    [
        ('mode = "linear", antialias = 1', (16, 24)),
        ('mode = "cubic", exclude_outside = 1', (64, 96)),
        ('mode = "linear", antialias = 1, coordinate_transformation_mode = "align_corners"', (16, 24)),
    ],
)
def test_a_resize_that_an_engine_misreads_is_refused_and_right_in_the_other(
    how: str, size_hw: tuple[int, int], tmp_path: Path
) -> None:
    graph = onnx.parser.parse_model(RESIZE.format(how=how, height=size_hw[0], width=size_hw[1]))
    source = tiny_artifacts.exported(tmp_path, graph)
    build(source, tmp_path / "right", BuildOptions(precision="force_float32", backend="onnxruntime"))
    try:
        build(source, tmp_path / "wrong", BuildOptions(precision="force_float32", backend="openvino"))
    except ParityError as error:
        assert "-b onnxruntime" in str(error) and not (tmp_path / "wrong").exists()
    else:  # an engine that has learnt it
        feeds = stored_answer.golden_feeds(source.spec)
        with Session.open(CompiledArtifact.open(tmp_path / "wrong"), execution.configure("latency")) as session:
            np.testing.assert_allclose(session.forward(feeds)["logits"], answer(graph, feeds)[0], atol=1e-3)


def test_large_inputs_are_compared_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from densecast.backends import onnxruntime

    sound = onnxruntime.BACKEND.build

    def faulty(job: object, folder: Path) -> object:
        made = sound(job, folder)  # type: ignore[arg-type]
        onnx.save(tiny_graphs.segmentation(560, 528, batch=1, seed=9), folder / "model.onnx")
        return made

    source = tiny_artifacts.exported(tmp_path, tiny_graphs.segmentation(560, 528, batch=1))
    monkeypatch.setattr(onnxruntime.BACKEND, "build", faulty)
    with pytest.raises(ParityError, match="the build is wrong"):
        build(source, tmp_path / "built", BuildOptions(precision="force_float32", backend="onnxruntime"))


@pytest.mark.parametrize("rounded", [0.02, 0.1])
def test_coarse_int8_passes_and_unrelated_answers_do_not(rounded: float, tmp_path: Path) -> None:
    spec, sound = tiny_artifacts.spec(), tiny_graphs.segmentation()
    onnx.save(sound, tmp_path / "graph.onnx")
    feeds = stored_answer.golden_feeds(spec)
    (right,) = answer(sound, feeds)
    noise = np.random.default_rng(0).normal(size=right.shape).astype(np.float32) * right.std() * rounded
    precision = "qint8_mixed_float16"
    build_check.check(tmp_path / "graph.onnx", spec, [(feeds, [right + noise])], precision, "openvino")
    for wrong in (np.zeros_like(right), -right, right[..., ::-1], np.full_like(right, right.mean())):
        with pytest.raises(ParityError, match="correlates"):
            build_check.check(tmp_path / "graph.onnx", spec, [(feeds, [wrong])], precision, "openvino")


@pytest.mark.parametrize("is_quantised", [True, False])
def test_steps_of_a_quantised_graph_may_be_rounded_otherwise_and_no_more(is_quantised: bool, tmp_path: Path) -> None:
    spec, sound = tiny_artifacts.spec(), tiny_graphs.segmentation()
    if is_quantised:
        quantisers = ("step = Constant <value_float = 0.01> ()", "q = QuantizeLinear (image, step)")
        body = "\n".join((*quantisers, "back = DequantizeLinear (q, step)"))
        head = '<ir_version: 8, opset_import: ["" : 17]> g (float[N,3,H,W] image) => (float[N,3,H,W] back)'
        sound.graph.node[0].input[0] = "back"
        for node in reversed(onnx.parser.parse_model(f"{head} {{ {body} }}").graph.node):
            sound.graph.node.insert(0, node)
    onnx.save(sound, tmp_path / "graph.onnx")
    feeds = stored_answer.golden_feeds(spec)
    (right,) = answer(sound, feeds)
    for factor, is_taken in ((1.0005, True), (1.02, is_quantised), (1.1, False)):
        pairs = [(feeds, [right * np.float32(factor)])]
        if is_taken:
            build_check.check(tmp_path / "graph.onnx", spec, pairs, "force_float32", "openvino")
            continue
        with pytest.raises(ParityError, match="off by"):
            build_check.check(tmp_path / "graph.onnx", spec, pairs, "force_float32", "openvino")


def test_labels_are_compared_as_labels(tmp_path: Path) -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    tiny (float[N, 3, H, W] image) => (int64[N, H, W] labels) { labels = ArgMax <axis = 1, keepdims = 0> (image) }
    """
    graph = onnx.parser.parse_model(text)
    onnx.save(graph, tmp_path / "graph.onnx")
    spec = tiny_artifacts.spec()
    spec = spec.with_output(replace(spec.output, name="labels", dtype="int64", shape=spec.output.shape))
    feeds = stored_answer.golden_feeds(spec)
    (right,) = answer(graph, feeds)
    build_check.check(tmp_path / "graph.onnx", spec, [(feeds, [right])], "force_float32", "openvino")
    with pytest.raises(ParityError, match="other whole numbers"):
        build_check.check(tmp_path / "graph.onnx", spec, [(feeds, [right ^ 1])], "force_float32", "openvino")


def test_decisions_in_floats_are_labels_too_and_other_outputs_are_not(tmp_path: Path) -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    tiny (float[N, 3, H, W] image) => (float[N, H, W] labels, float[N, 3, H, W] values) {
        numbers = ArgMax <axis = 1, keepdims = 0> (image)
        labels = Cast <to = 1> (numbers)
        values = Relu (image)
    }
    """
    graph = onnx.parser.parse_model(text)
    onnx.save(graph, tmp_path / "graph.onnx")
    plain = tiny_artifacts.spec()
    assert isinstance(plain.decode, SegmentationDecode)
    labels = replace(plain.output, name="labels")
    spec = replace(
        plain,
        labels=("a", "b", "c"),
        palette=((0, 0, 0), (1, 1, 1), (2, 2, 2)),
        decode=replace(plain.decode, form="labels"),
        outputs=(labels, replace(labels, name="values")),
    )
    feeds = stored_answer.golden_feeds(spec)
    right, values = answer(graph, feeds)

    def check(share: float, factor: float) -> None:
        """Answers with so many other labels, and values that are so many times the right ones."""
        other = right.copy().ravel()
        other[: round(share * other.size)] = 2 - other[: round(share * other.size)]
        answers = [other.reshape(right.shape), values * np.float32(factor)]
        build_check.check(tmp_path / "graph.onnx", spec, [(feeds, answers)], "force_float32", "openvino")

    check(0.005, 1.0)  # far more than rounding of values explains
    with pytest.raises(ParityError, match=r"other whole numbers at .* of 'labels'"):
        check(0.2, 1.0)
    with pytest.raises(ParityError, match="is off by"):
        check(0.0, 1.01)


class Misreads:
    """ONNX Runtime, but with another padding: what it moves is less than what int8 rounds."""

    def __init__(self) -> None:
        self._engine = BACKENDS.load("onnxruntime")
        # Protocols are asked for attributes that are there, not for those that would be made.
        own = set(vars(type(self)))
        vars(self).update(
            {name: getattr(self._engine, name) for name in dir(self._engine) if name[0] != "_" and name not in own}
        )

    def capabilities(self) -> Capabilities:
        return self._engine.capabilities()

    def load(self, artifact: CompiledArtifact, config: execution.ExecutionConfig) -> Runner:
        return self._engine.load(artifact, config)

    def build(self, job: BuildJob, folder: Path) -> Built:
        model = onnx.load(job.graph)
        first = next(node for node in model.graph.node if node.op_type == "Conv")
        weight = next(each for each in model.graph.initializer if each.name == first.input[1])
        values = onnx.numpy_helper.to_array(weight).copy()
        values[0, 0] = values[0, 0, ::-1]
        weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
        onnx.save(model, folder.parent / "misread.onnx")
        return self._engine.build(replace(job, graph=folder.parent / "misread.onnx"), folder)


def test_an_engine_that_misreads_a_graph_is_refused_in_int8_and_by_a_largest_drop(tmp_path: Path) -> None:
    if "misreads" not in BACKENDS.names():
        BACKENDS.register("misreads", Misreads())  # type: ignore[arg-type]
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for index in range(3):
        noise = np.random.default_rng(index).integers(0, 256, (48, 64, 3), np.uint8)
        Image.fromarray(noise).save(pictures / f"{index}.png")
    source = tiny_artifacts.exported(tmp_path)
    options = BuildOptions("misreads", "qint8_mixed_float16")
    with pytest.raises(ParityError, match=r"^the int8 model built for misreads is off by .* even in float32"):
        build(source, tmp_path / "built", options, data=pictures)
    with pytest.raises(ParityError, match=r"misreads is off by .* even in float32"):
        build_within(
            source, tmp_path / "built", options, MaxDrop(9.0, "disagreement", images=2, split="all"), data=pictures
        )
    assert not (tmp_path / "built").exists()
    build(source, tmp_path / "sound", replace(options, backend="onnxruntime"), data=pictures)


def test_int8_is_held_to_what_8_bits_change(tmp_path: Path) -> None:
    """Labels and correlation stay nearly as they are, and the noise is many times that of rounding."""
    spec, sound = tiny_artifacts.spec(), named(tiny_graphs.segmentation())
    onnx.save(sound, tmp_path / "graph.onnx")
    feeds = stored_answer.golden_feeds(spec)
    (right,) = answer(sound, feeds)
    precision = "qint8_mixed_float16"
    noisy = right + np.random.default_rng(0).normal(size=right.shape) * 0.3 * right.std()
    assert build_check.correlation(right, noisy) > 0.95
    with pytest.raises(ParityError, match="where rounding to 8 bits explains"):
        build_check.check(tmp_path / "graph.onnx", spec, [(feeds, [noisy])], precision, "openvino")
    barely = right + np.random.default_rng(0).normal(size=right.shape) * 0.05 * right.std()
    build_check.check(tmp_path / "graph.onnx", spec, [(feeds, [barely])], precision, "openvino")


def test_a_network_that_sees_nothing_in_the_test_images_is_built(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17]>
        g (float[N, 3, H, W] image) => (float[N, 1, H, W] y)
        <float[1, 3, 1, 1] w = {0.5, -0.25, 0.75}, float[1] none = {-17.0}> {
            x = Conv (image, w, none) y = Sigmoid (x)
        }"""
    )
    source = tiny_artifacts.exported(tmp_path, model)
    assert isinstance(source.spec.decode, SegmentationDecode) and source.spec.decode.form == "binary_probability"
    precisions: tuple[Precision, ...] = ("force_float32", "force_float16")
    for precision in precisions:
        for backend in ("openvino", "onnxruntime"):
            build(source, tmp_path / f"{precision}_{backend}", BuildOptions(precision=precision, backend=backend))


def test_of_small_probabilities_float32_is_held_to_their_logits(tmp_path: Path) -> None:
    """Probabilities of 1e-4 and twice as much are equal to 1e-4, and their logits are 7 % apart."""
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17]>
        g (float[N, 3, H, W] image) => (float[N, 1, H, W] y)
        <float[1, 3, 1, 1] w = {0, 0, 0}, float[1] none = {-9.21}> { x = Conv (image, w, none) y = Sigmoid (x) }"""
    )
    onnx.save(model, tmp_path / "graph.onnx")
    spec = tiny_artifacts.exported(tmp_path, model).spec
    feeds = stored_answer.golden_feeds(spec)
    right = answer(model, feeds)
    build_check.check(tmp_path / "graph.onnx", spec, [(feeds, right)], "force_float32", "openvino")
    with pytest.raises(ParityError, match="off by"):
        build_check.check(tmp_path / "graph.onnx", spec, [(feeds, [2 * right[0]])], "force_float32", "openvino")


def test_an_int8_build_of_images_that_show_nothing_is_remarked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17]>
        g (float[N, 3, H, W] image) => (float[N, 1, H, W] y)
        <float[1, 3, 1, 1] w = {0.5, -0.25, 0.75}, float[1] none = {-17.0}> {
            x = Conv (image, w, none) y = Sigmoid (x)
        }"""
    )
    onnx.save(model, tmp_path / "graph.onnx")
    spec = tiny_artifacts.exported(tmp_path, model).spec
    feeds = stored_answer.golden_feeds(spec)
    pairs = [(feeds, answer(model, feeds))]
    build_check.check(tmp_path / "graph.onnx", spec, pairs, "qint8_mixed_float16", "onnxruntime")
    assert "Calibrate on images that show it" in caplog.text
