"""ONNX files whose outputs are labels, probabilities, one plane, or several: exported, built and predicted right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
import tiny_artifacts

from densecast.errors import BadGraphError, UsageError
from densecast.pipeline import Pipeline
from densecast.spec.model import ModelSpec
from densecast.spec.options import BuildOptions, Range
from densecast.spec.preprocess import Native, Preprocess
from densecast.spec.verb_options import ExportOptions
from densecast.tasks.segmentation import SegmentationDecode
from densecast.verbs.builder import build
from densecast.verbs.export import export_file
from densecast.verbs.export.spec_file import SpecFile

GRAPH = """
<ir_version: 8, opset_import: ["" : 17]>
found (float[N, 3, H, W] image) => ({outputs})
<float[{classes}, 3, 3, 3] w = {{{numbers}}}, float[{classes}, 3, 1, 1] w_aux = {{{others}}}>
{{
    {body}
}}
"""


def graph(outputs: str, body: str, classes: int = 3) -> onnx.ModelProto:
    def drawn(count: int, seed: int) -> str:
        return ", ".join(f"{value:.5f}" for value in np.random.default_rng(seed).normal(size=count))

    conv = "scores = Conv <pads = [1, 1, 1, 1]> (image, w)\n"
    numbers, others = drawn(27 * classes, 0), drawn(3 * classes, 1)
    text = GRAPH.format(outputs=outputs, body=conv + body, classes=classes, numbers=numbers, others=others)
    model = onnx.parser.parse_model(text)
    onnx.checker.check_model(model, full_check=True)
    return model


FORMS = {
    "labels": ("int64[N, H, W] out", "out = ArgMax <axis = 1, keepdims = 0> (scores)", 3),
    "labels of one channel": ("int64[N, 1, H, W] out", "out = ArgMax <axis = 1> (scores)", 3),
    "labels in bytes": (
        "uint8[N, H, W] out",
        "big = ArgMax <axis = 1, keepdims = 0> (scores)\n out = Cast <to = 2> (big)",
        3,
    ),
    "probabilities": ("float[N, 3, H, W] out", "out = Softmax <axis = 1> (scores)", 3),
    "labels in floats": (
        "float[N, 1, H, W] out",
        "big = ArgMax <axis = 1> (scores)\n out = Cast <to = 1> (big)",
        3,
    ),
    "a threshold inside": (
        "uint8[N, 1, H, W] out",
        "zero = Constant <value_float = 0.0> ()\n is = Greater (scores, zero)\n out = Cast <to = 2> (is)",
        1,
    ),
    "one logit": ("float[N, 1, H, W] out", "out = Identity (scores)", 1),
    "one probability": ("float[N, 1, H, W] out", "out = Sigmoid (scores)", 1),
    "the second of two probabilities": (
        "float[N, 1, H, W] out",
        "m = ReduceMean <axes = [2, 3]> (scores)\n c = Sub (scores, m)\n both = Softmax <axis = 1> (c)\n"
        " at = Constant <value_ints = [1]> ()\n out = Gather <axis = 1> (both, at)",
        2,
    ),
    "one less another probability": (
        "float[N, 1, H, W] out",
        "p = Sigmoid (scores)\n one = Constant <value_float = 1.0> ()\n out = Sub (one, p)",
        1,
    ),
    "a mean of probabilities": (
        "float[N, 1, H, W] out",
        "p = Sigmoid (scores)\n l = Conv (image, w_aux)\n q = Sigmoid (l)\n s = Add (p, q)\n"
        " two = Constant <value_float = 2.0> ()\n out = Div (s, two)",
        1,
    ),
    "a plane without channels": (
        "float[N, H, W] out",
        "p = Sigmoid (scores)\n axis = Constant <value_ints = [1]> ()\n out = Squeeze (p, axis)",
        1,
    ),
}
EXPECTED = (*("labels",) * 3, "probabilities", "labels", "labels", "binary_logits", *("binary_probability",) * 5)
# 0 and 255 for labels 0 and 1, in bytes and in floats.
WHITE = {
    "uint8[N, 1, H, W] out": "b = Cast <to = 2> (is)\n k = Constant <value = uint8 {255}> ()\n out = Mul (b, k)",
    "float[N, 1, H, W] out": "b = Cast <to = 1> (is)\n k = Constant <value_float = 255.0> ()\n out = Mul (b, k)",
}


def image() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (45, 61, 3), np.uint8)


def right_labels(model: onnx.ModelProto, form: str) -> np.ndarray:
    """ONNX Runtime's answer for the whole graph, read as what it is."""
    feed = (image().astype(np.float32) / 255).transpose(2, 0, 1)[None]
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (out,) = session.run(["out"], {"image": feed})
    if form == "labels":
        return np.asarray(out).reshape(45, 61)
    if form.startswith("binary"):
        return np.asarray(out.reshape(45, 61) > (0 if form == "binary_logits" else 0.5))
    return np.asarray(out[0].argmax(axis=0))


def described(classes: int, **more: Any) -> ModelSpec:
    labels = tuple(f"c{number}" for number in range(max(classes, 2)))
    return SpecFile(labels, Preprocess(Native()), side=Range(8, 512), largest_batch=4, **more).model("found")


@pytest.mark.parametrize(("name", "form"), list(zip(FORMS, EXPECTED, strict=True)))
def test_outputs_are_read_as_what_they_hold(name: str, form: str, tmp_path: Path) -> None:
    outputs, body, classes = FORMS[name]
    model = graph(outputs, body, classes)
    onnx.save(model, tmp_path / "found.onnx")
    source = export_file(tmp_path / "found.onnx", described(classes), tmp_path / "float")
    assert isinstance(source.spec.decode, SegmentationDecode) and source.spec.decode.form == form
    assert any(form in note for note in source.manifest.passes)
    expected = right_labels(model, form)
    assert 0.01 < (expected == 1).mean() < 0.99
    for backend in ("onnxruntime", "openvino"):
        built = build(source, tmp_path / backend, BuildOptions(precision="force_float32", backend=backend))
        with Pipeline.open(built) as pipeline:
            predicted = pipeline(image()).class_id
        assert np.mean(predicted != expected) < 1e-3, backend


@pytest.mark.parametrize("outputs", list(WHITE))
def test_pictures_of_0_and_255_are_labels_0_and_1(outputs: str, tmp_path: Path) -> None:
    threshold = "zero = Constant <value_float = 0.0> ()\n is = Greater (scores, zero)\n"
    model = graph(outputs, threshold + WHITE[outputs], 1)
    onnx.save(model, tmp_path / "found.onnx")
    source = export_file(tmp_path / "found.onnx", described(1), tmp_path / "float")
    built = build(source, tmp_path / "built", BuildOptions(precision="force_float32", backend="onnxruntime"))
    with Pipeline.open(built) as pipeline:
        predicted = pipeline(image()).class_id
    expected = right_labels(model, "labels")
    assert set(np.unique(expected)) == {0, 255}
    np.testing.assert_array_equal(predicted, expected == 255)


@pytest.mark.parametrize(
    ("outputs", "body", "classes", "words"),
    [
        (
            "int64[N, H, W] out",
            "i = ArgMax <axis = 1, keepdims = 0> (scores)\n o = Constant <value_int = 1> ()\n out = Add (i, o)",
            3,
            "counts them from 1",
        ),
        (
            "uint8[N, 1, H, W] out",
            "p = Sigmoid (scores)\n k = Constant <value_float = 255.0> ()\n l = Mul (p, k)\n out = Cast <to = 2> (l)",
            1,
            "scores as floats",
        ),
        (
            "float[N, 1, H, W] out",
            "p = Sigmoid (scores)\n k = Constant <value_float = 255.0> ()\n out = Mul (p, k)",
            1,
            "from 0 to 255",
        ),
        ("float[N, 1, H, W] out", "p = Sigmoid (scores)\n out = Log (p)", 1, "never above 0"),
    ],
)
def test_values_that_are_no_labels_are_refused_by_export(
    outputs: str, body: str, classes: int, words: str, tmp_path: Path
) -> None:
    onnx.save(graph(outputs, body, classes), tmp_path / "found.onnx")
    with pytest.raises(BadGraphError, match=words):
        export_file(tmp_path / "found.onnx", described(classes), tmp_path / "float")


@pytest.mark.parametrize(("shape", "operator"), [("", "keepdims = 0"), ("[3]", "axes = [0, 2, 3], keepdims = 0")])
def test_a_loss_beside_the_map_is_left_out_and_said(shape: str, operator: str, tmp_path: Path) -> None:
    body = f"loss = ReduceMean <{operator}> (scores)\n out = Identity (scores)"
    onnx.save(graph(f"float{shape} loss, float[N, 3, H, W] out", body), tmp_path / "found.onnx")
    source = export_file(tmp_path / "found.onnx", described(3), tmp_path / "float")
    assert [tensor.name for tensor in source.spec.outputs] == ["out"]
    assert any("loss left out" in note for note in source.manifest.passes)


TWO = "float[N, 3, H, W] {first}, float[N, 3, H, W] {second}"


def test_an_auxiliary_output_is_not_taken_for_the_main_one(tmp_path: Path) -> None:
    onnx.save(
        graph(TWO.format(first="aux", second="out"), "aux = Conv (image, w_aux)\n out = Identity (scores)"),
        tmp_path / "x.onnx",
    )
    source = export_file(tmp_path / "x.onnx", described(3), tmp_path / "float")
    assert source.spec.output.name == "out"
    build(source, tmp_path / "built", BuildOptions(precision="force_float32", backend="onnxruntime"))


def test_outputs_that_fit_equally_well_have_to_be_named(tmp_path: Path) -> None:
    model = graph(TWO.format(first="a", second="b"), "a = Conv (image, w_aux)\n b = Identity (scores)")
    onnx.save(model, tmp_path / "x.onnx")
    with pytest.raises(BadGraphError, match=r"a \[1, 3, 256, 256\], b \[1, 3, 256, 256\].*--output-name a") as refused:
        export_file(tmp_path / "x.onnx", described(3), tmp_path / "float")
    assert refused.value.field == "output_name"
    named = export_file(tmp_path / "x.onnx", described(3), tmp_path / "b", ExportOptions(output_name="b"))
    assert named.spec.output.name == "b"


def test_of_logits_and_what_is_made_of_them_the_logits_are_the_main_output(tmp_path: Path) -> None:
    outputs = "int64[N, H, W] labels, float[N, 3, H, W] shares, float[N, 3, H, W] out"
    body = (
        "out = Identity (scores)\n shares = Softmax <axis = 1> (scores)\n"
        " labels = ArgMax <axis = 1, keepdims = 0> (scores)"
    )
    onnx.save(graph(outputs, body), tmp_path / "x.onnx")
    source = export_file(tmp_path / "x.onnx", described(3), tmp_path / "float")
    assert source.spec.output.name == "out"
    assert isinstance(source.spec.decode, SegmentationDecode) and source.spec.decode.form == "logits"


def test_whole_numbers_that_are_no_map_are_no_labels(tmp_path: Path) -> None:
    outputs = "int64[N, 5, W] top, float[N, 3, H, W] out"
    body = (
        "out = Identity (scores)\n k = Constant <value_ints = [5]> ()\n axes = Constant <value_ints = [1]> ()\n"
        " zero = Constant <value_ints = [0]> ()\n one = Constant <value_ints = [1]> ()\n"
        " plane = Slice (scores, zero, one, axes)\n flat = Squeeze (plane, axes)\n"
        " values, top = TopK <axis = 1> (flat, k)"
    )
    onnx.save(graph(outputs, body), tmp_path / "x.onnx")
    assert export_file(tmp_path / "x.onnx", described(3), tmp_path / "float").spec.output.name == "out"


def test_a_form_that_is_declared_is_kept(tmp_path: Path) -> None:
    onnx.save(graph("float[N, 1, H, W] out", "out = Identity (scores)", 1), tmp_path / "x.onnx")
    said = SegmentationDecode(form="binary_probability", threshold=0.25)
    source = export_file(tmp_path / "x.onnx", described(1, decode=said), tmp_path / "float")
    assert source.spec.decode == said


def test_instances_are_out_of_scope(tmp_path: Path) -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    instances (float[N, 3, H, W] image) => (float[N, 1, H, 1] boxes, float[N, 1, 1, W] scores)
    {
        boxes = ReduceMean <axes = [1, 3]> (image)
        scores = ReduceMean <axes = [1, 2]> (image)
    }
    """
    onnx.save(onnx.parser.parse_model(text), tmp_path / "x.onnx")
    with pytest.raises(BadGraphError, match="out of scope"):
        export_file(tmp_path / "x.onnx", described(3), tmp_path / "float")


@pytest.mark.parametrize("labels", [2, 3, 17])
@pytest.mark.parametrize("is_last", [False, True])
def test_a_list_of_boxes_is_no_map(is_last: bool, labels: int, tmp_path: Path) -> None:
    """As a detector's: four numbers of each box, on either axis; with two labels it might be one plane of scores."""
    shape, to = ("float[N, A, 4] out", "[0, -1, 4]") if is_last else ("float[N, 4, A] out", "[0, 4, -1]")
    body = f"to = Constant <value_ints = {to}> ()\n out = Reshape (scores, to)"
    onnx.save(graph(shape, body, 4), tmp_path / "x.onnx")
    with pytest.raises(BadGraphError, match=r"segmentation needs a map .* A list, as of a detector's boxes"):
        export_file(tmp_path / "x.onnx", described(labels), tmp_path / "float")


@pytest.mark.parametrize("operator", ["QuantizeLinear", "DynamicQuantizeLinear"])
def test_an_export_says_that_a_graph_is_quantised_already(operator: str, tmp_path: Path) -> None:
    body = {
        "QuantizeLinear": "step = Constant <value_float = 0.01> ()\n q = QuantizeLinear (image, step)\n"
        " back = DequantizeLinear (q, step)\n out = Conv <pads = [1, 1, 1, 1]> (back, w)",
        "DynamicQuantizeLinear": "q, step, zero = DynamicQuantizeLinear (image)\n"
        " back = DequantizeLinear (q, step, zero)\n out = Conv <pads = [1, 1, 1, 1]> (back, w)",
    }[operator]
    onnx.save(graph("float[N, 3, H, W] out", body), tmp_path / "x.onnx")
    source = export_file(tmp_path / "x.onnx", described(3), tmp_path / "float")
    assert any("already quantised" in note and "fp32" in note for note in source.manifest.passes)
    with pytest.raises(UsageError, match="quantised already"):
        build(source, tmp_path / "half", BuildOptions(precision="force_float16", backend="onnxruntime"))
    plain = export_file(
        _saved(graph("float[N, 3, H, W] out", "out = Identity (scores)"), tmp_path), described(3), tmp_path / "b"
    )  # type: ignore[arg-type]
    assert not any("quantised" in note for note in plain.manifest.passes)


def test_a_quantised_part_of_a_branch_is_seen(tmp_path: Path) -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    branches (float[N, 3, H, W] image) => (float[N, 3, H, W] out)
    {
        yes = Constant <value = bool {1}> ()
        step = Constant <value_float = 0.01> ()
        out = If (yes) <
            then_branch = one () => (float[N, 3, H, W] a) {
                q = QuantizeLinear (image, step) a = DequantizeLinear (q, step)
            },
            else_branch = two () => (float[N, 3, H, W] b) { b = Identity (image) }
        >
    }
    """
    source = export_file(_saved(onnx.parser.parse_model(text), tmp_path), described(3), tmp_path / "float")
    assert any("already quantised" in note for note in source.manifest.passes)


def _saved(model: onnx.ModelProto, folder: Path) -> Path:
    onnx.save(model, folder / "net.onnx")
    return folder / "net.onnx"


def test_an_output_that_is_no_number_is_refused_at_export(tmp_path: Path) -> None:
    model = graph("float[N, 3, H, W] out", "out = Identity (scores)")
    numbers = np.array(onnx.numpy_helper.to_array(model.graph.initializer[0]))
    numbers[1, 0, 1, 1] = np.nan
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(numbers, "w"))
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(BadGraphError, match=r"'out' has values on a test image that are no numbers"):
        export_file(tmp_path / "model.onnx", described(3), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("strides", "pads", "dilations", "lacks"),
    [
        ([1, 1], [0, 0, 0, 0], [4, 4], True),
        ([1, 1], [0, 0, 0, 0], [1, 1], True),
        ([4, 4], [0, 0, 0, 0], [20, 20], True),
        ([4, 4], [0, 0, 0, 0], [6, 6], True),
        ([1, 1], [4, 4, 4, 4], [4, 4], False),
        ([2, 2], [2, 2, 2, 2], [1, 1], False),
        ([2, 2], [0, 0, 0, 0], [1, 1], False),
        ([4, 4], [1, 1, 1, 1], [1, 1], False),
    ],
)
def test_a_map_without_the_images_border_is_refused(
    tmp_path: Path, strides: list[int], pads: list[int], dilations: list[int], lacks: bool
) -> None:
    """Stretched over the image, such a map would lie up to the border's width beside what it shows."""
    model = graph("float[N, 3, h, w] out", "out = Identity (scores)")
    conv = model.graph.node[0]
    del conv.attribute[:]
    for name, value in (("strides", strides), ("pads", pads), ("dilations", dilations)):
        conv.attribute.append(onnx.helper.make_attribute(name, value))
    onnx.save(model, tmp_path / "model.onnx")
    if lacks:
        with pytest.raises(BadGraphError, match=r"lacks the border.*ReflectionPad2d"):
            export_file(tmp_path / "model.onnx", described(3), tmp_path / "out")
    else:
        export_file(tmp_path / "model.onnx", described(3), tmp_path / "out")


def test_outputs_that_are_no_arrays_of_numbers_are_left_out_and_said(tmp_path: Path) -> None:
    """Names of classes beside the scores, and a list of maps."""
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17]>
        g (float[N, 3, H, W] image) => (string[2] names, seq(float[N, 2, H, W]) maps, float[N, 2, H, W] y)
        <float[2, 3, 1, 1] w = {1, 2, 3, 4, 5, 6}> {
            y = Conv (image, w)
            maps = SequenceConstruct (y, y)
            names = Constant <value_strings = ["dark", "bright"]> ()
        }"""
    )
    artifact = tiny_artifacts.exported(tmp_path, model)
    assert [tensor.name for tensor in artifact.spec.outputs] == ["y"]
    assert "left out, as no array of numbers: names, maps" in artifact.manifest.passes
    assert [node.op_type for node in onnx.load(artifact.folder / "model.onnx").graph.node] == ["Conv"]
