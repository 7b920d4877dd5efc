"""What is found in a network's outputs, in a file's metadata and in other libraries' preprocessing, and what is not."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx.parser
import pytest
import tiny_specs
from onnx.reference import ReferenceEvaluator

from densecast.errors import BadConfigError, BadGraphError, UnknownNameError
from densecast.spec.near_multiple import NearMultiple
from densecast.spec.preprocess import Native, Preprocess, Stretch
from densecast.spec.short_side import ShortSide
from densecast.spec.tensor import Dim, TensorSpec
from densecast.verbs.export import found_outputs, onnx_facts, outputs
from densecast.verbs.export.library_preprocess import of_processor, of_smp, of_torchvision, translate

OPEN = TensorSpec("image", "float32", (Dim("N", 1, 8), 3, Dim("H", 16, 512), Dim("W", 16, 512)))


@pytest.mark.parametrize(
    ("observed", "shape"),
    [
        # Maps follow the image whether they changed or not; other tensors only where they did not stay.
        ([((1, 3, 32, 64), (1, 2, 8, 16))], ("N", 2, "H_out", "W_out")),
        ([((1, 3, 32, 64), (1, 2, 8, 16)), ((1, 3, 64, 64), (1, 2, 8, 16))], ("N", 2, "H_out", "W_out")),
        ([((1, 3, 32, 64), (1, 5, 7)), ((1, 3, 64, 64), (1, 5, 7)), ((1, 3, 64, 32), (1, 5, 7))], ("N", 5, 7)),
        ([((1, 3, 32, 64), (1, 8, 16)), ((2, 3, 64, 96), (2, 16, 24))], ("N", "H_out", "W_out")),
        ([((1, 3, 32, 64), (1, 8)), ((2, 3, 64, 96), (2, 8))], ("N", 8)),
        ([((1, 3, 32, 64), (1, 8)), ((2, 3, 64, 96), (2, 16))], ("N", "y_1")),
        ([((1, 3, 32, 64), (4, 8)), ((2, 3, 64, 96), (4, 8))], (4, 8)),
        ([((1, 3, 32, 64), (1, 2, 3, 8, 16)), ((1, 3, 64, 64), (1, 2, 5, 16, 16))], ("N", 2, "y_2", "H_out", "W_out")),
    ],
)  # fmt: skip
def test_sizes_of_an_output_are_open_where_they_follow_the_image(
    observed: list[tuple[tuple[int, ...], tuple[int, ...]]], shape: tuple[int | str, ...]
) -> None:
    found = outputs.describe("y", "float32", observed, OPEN)
    assert tuple(size.name if isinstance(size, Dim) else size for size in found.shape) == shape
    assert all(size.min == 1 for size in found.shape if isinstance(size, Dim))
    fixed = replace(OPEN, shape=(1, 3, 32, 64))
    plain = outputs.describe("y", "float32", [observed[0]] * 2, fixed)
    assert plain.shape == observed[0][1]


SPEC = tiny_specs.segmentation()


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((1, 2, 64), "All its pixels lie on one axis"), ((1, 64, 2), "All its pixels lie on one axis"),
        ((1, 100, 6), "A list, as of a detector's boxes"), ((1, 96, 6), r"needs a map \(N, 2, h, w\)\.$"),
        ((1, 2), "one answer for the whole image"), ((1, 9), r"needs a map \(N, 2, h, w\)\.$"),
        ((1, 3, 8, 8), "has 3 channels, but tiny .* needs 2"),
    ],
)  # fmt: skip
def test_an_output_that_is_no_map_of_the_labels_is_told_what_it_may_be(shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(BadGraphError, match=words):
        outputs.check_channels(SPEC, "y", shape)


@pytest.mark.parametrize(
    ("metadata", "found"),
    [
        ({"names": "{0: 'road', 1: 'car'}"}, {"labels": ("road", "car")}),
        ({"names": '{"road": 1, "car": 0}'}, {"labels": ("car", "road")}),
        ({"names": '["road", "car"]'}, {"labels": ("road", "car")}),
        ({"names": "road, car"}, {"labels": ("road", "car")}),
        ({"names": "road"}, {}), ({"names": "{}"}, {}),
        ({"names": "[1.5]"}, {"fault": "names: a label is text, not float"}),
        ({"task": " Segment "}, {"task": "segment"}), ({"task": "a sentence of words"}, {}), ({"task": "x"}, {}),
        ({"imgsz": "[32, 64]"}, {"size_hw": (32, 64)}), ({"imgsz": "48"}, {"size_hw": (48, 48)}),
        ({"imgsz": "[0, 64]"}, {}), ({"imgsz": "[32]"}, {}), ({"imgsz": "big"}, {}), ({"imgsz": "[1.5, 2]"}, {}),
        ({"stride": "32"}, {"stride": 32}), ({"stride": "[8, 32, 16]"}, {"stride": 32}), ({"stride": "0"}, {}),
        ({"stride": "257"}, {}), ({"stride": "256"}, {"stride": 256}), ({"stride": "[8, 300]"}, {}),
        ({"stride": "true"}, {}), ({"author": "Ultralytics"}, {"maker": "Ultralytics"}),
    ],
)  # fmt: skip
def test_metadata_tell_labels_task_size_and_stride(metadata: dict[str, str], found: dict[str, Any]) -> None:
    assert onnx_facts.of(metadata) == onnx_facts.Facts(**found)


def test_a_graph_of_another_kind_is_refused_for_maps_alone() -> None:
    facts = onnx_facts.Facts(task="segment", maker="Ultralytics")
    names = ["a", "b", "c", "d", "e"]
    with pytest.raises(
        BadGraphError, match=r"'segment' network of Ultralytics: its outputs \(a, b, c, d …\) are"
    ) as raised:
        onnx_facts.refuse_by_task(facts, "segmentation", names, "net.onnx")
    assert raised.value.field == "output_name"
    with pytest.raises(BadGraphError, match=r"'pose' network: its outputs \(a, b, c, d\) are boxes of people"):
        onnx_facts.refuse_by_task(onnx_facts.Facts(task="pose"), "multilabel", names[:4], "net.onnx")
    onnx_facts.refuse_by_task(facts, "pose", names, "net.onnx")
    onnx_facts.refuse_by_task(onnx_facts.Facts(task="semantic"), "segmentation", names, "net.onnx")


def adapted(nodes: str, signature: str, spec: Any = SPEC) -> tuple[Any, tuple[str, ...]]:
    constants = ", ".join(f"int64[1] {name} = {{{value}}}" for name, value in (("zero", 0), ("one", 1), ("two", 2)))
    head = f'<ir_version: 8, opset_import: ["" : 17]> g (float[N, 3, H, W] image) => ({signature})'
    text = f"{head} <{constants}, float white = {{255}}> {{ {nodes} }}"
    return found_outputs.adapt(onnx.parser.parse_model(text), spec)


TWO = "part = Slice (image, zero, two, one) "


@pytest.mark.parametrize(
    ("nodes", "signature", "shape", "notes"),
    [
        (TWO + "y = Relu (part)", "float[N, 2, h, w] y", (1, 2, 32, 48), 0),
        (TWO + "y = Transpose <perm = [0, 2, 3, 1]> (part)", "float[N, h, w, c] y", (1, 2, 32, 48), 1),
        (TWO + "y = Squeeze (part, zero)", "float[c, h, w] y", (1, 2, 32, 48), 1),
        (
            "p = Slice (image, zero, one, one) s = Sigmoid (p) y = Squeeze (s, one)",
            "float[N, h, w] y",
            (1, 1, 32, 48),
            1,
        ),
        (TWO + "a = ArgMax <axis = 1, keepdims = 0> (part) y = Squeeze (a, zero)", "int64[h, w] y", (1, 32, 48), 1),
        (TWO + "y = ArgMax <axis = 1, keepdims = 0> (part)", "int64[N, h, w] y", (1, 32, 48), 0),
        (TWO + "h = Cast <to = 10> (part) y = Relu (h)", "float16[N, 2, h, w] y", (1, 2, 32, 48), 1),
    ],
)
def test_outputs_become_maps_with_their_channels_first(
    nodes: str, signature: str, shape: tuple[int, ...], notes: int
) -> None:
    model, told = adapted(nodes, signature)
    assert len(told) == notes
    image = np.random.default_rng(0).normal(size=(1, 3, 32, 48)).astype(np.float32)
    (found,) = ReferenceEvaluator(model).run(None, {"image": image})
    assert found.shape == shape and found.dtype in (np.float32, np.int64)


def test_a_picture_of_black_and_white_becomes_labels() -> None:
    nodes = TWO + "a = ArgMax <axis = 1, keepdims = 0> (part) f = Cast <to = 1> (a) y = Mul (f, white)"
    model, told = adapted(nodes, "float[N, h, w] y")
    assert told == ("y holds 0 and 255, which are given as 0 and 1",)
    image = np.random.default_rng(0).normal(size=(1, 3, 32, 48)).astype(np.float32)
    (found,) = ReferenceEvaluator(model).run(None, {"image": image})
    np.testing.assert_array_equal(found, image[:, :2].argmax(axis=1))
    three = tiny_specs.segmentation(("a", "b", "c"))
    assert adapted(nodes, "float[N, h, w] y", three)[1] == ()


def plain(resize: Any, interpolation: Any, colour: Any = "RGB", divisor: float = 255.0) -> Preprocess:
    """Without a mean and deviation."""
    return Preprocess(resize, interpolation, colour, (0.0,), (1.0,), divisor=divisor)


GLPN = {"image_processor_type": "GLPNImageProcessor", "do_resize": True, "size_divisor": 16, "do_rescale": True}
DPT = {
    "image_processor_type": "DPTImageProcessor",
    "do_resize": True,
    "size": {"height": 6, "width": 8},
    "do_normalize": False,
}


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({"do_normalize": False}, plain(Native(), "bilinear_opencv")),
        ({"do_normalize": False, "do_rescale": False}, plain(Native(), "bilinear_opencv", divisor=1.0)),
        ({"do_normalize": False, "rescale_factor": 1 / 128}, plain(Native(), "bilinear_opencv", divisor=128.0)),
        (
            {"do_normalize": False, "do_flip_channel_order": True},
            plain(Native(), "bilinear_opencv", "BGR"),
        ),
        (
            {"do_normalize": False, "do_resize": True, "size": 7, "resample": 3},
            plain(Stretch((7, 7)), "bicubic_pillow"),
        ),
        (
            {"do_normalize": False, "do_resize": True, "size": {"shortest_edge": 9, "longest_edge": None}},
            plain(ShortSide(9), "bilinear_pillow"),
        ),
        (GLPN, plain(NearMultiple(16, rounding="down"), "bilinear_pillow")),
        (DPT, plain(Stretch((6, 8)), "bilinear_pillow")),
        ({**DPT, "ensure_multiple_of": 2}, plain(NearMultiple(2, (6, 8), False), "bilinear_pillow")),
        ({**DPT, "keep_aspect_ratio": True}, plain(NearMultiple(1, (6, 8), True), "bilinear_pillow")),
    ],
)  # fmt: skip
def test_processors_are_read_as_they_treat_images(config: dict[str, Any], wanted: Preprocess) -> None:
    assert of_processor(config) == wanted


@pytest.mark.parametrize(
    "config",
    [
        {"do_center_crop": True}, {"do_pad": True}, {"do_normalize": True},
        {"do_normalize": True, "image_mean": [0.5] * 3},
        {"do_resize": True, "size": {"longest_edge": 9}}, {"do_resize": True, "size": None},
        {"do_resize": True, "size": 7, "resample": 99}, {"do_normalize": False, "keep_aspect_ratio": True},
        {"do_normalize": False, "crop_pct": 0.9}, {"do_normalize": False, "rescale_offset": True},
        {**DPT, "size": {"shortest_edge": 6}, "keep_aspect_ratio": True},
    ],
)  # fmt: skip
def test_what_a_processor_does_beyond_that_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(BadConfigError) as raised:
        of_processor(config)
    assert raised.value.field == "preprocess"


def test_rules_of_other_libraries_and_names() -> None:
    smp = {"input_space": "BGR", "input_range": [0, 1], "mean": [0.5, 0.4, 0.3], "std": [0.2] * 3}
    assert of_smp(smp) == Preprocess(Native(), "bilinear_opencv", "BGR", (0.5, 0.4, 0.3), (0.2,) * 3, divisor=255.0)
    assert of_smp({"input_range": [0, 255], "mean": [9.0] * 3, "std": None}).divisor == 1.0
    for wrong in ({"input_space": "HSV"}, {"input_range": [0, 2]}, {"gamma": 1}):
        with pytest.raises(BadConfigError):
            of_smp(wrong)

    def preset(size: Any, interpolation: str = "bilinear") -> Any:
        return SimpleNamespace(
            resize_size=size, interpolation=SimpleNamespace(value=interpolation), mean=[0.5] * 3, std=[0.2] * 3
        )

    assert of_torchvision(preset(None)).resize == Native() and of_torchvision(preset([9])).resize == ShortSide(9)
    assert of_torchvision(preset(9)).resize == ShortSide(9) and of_torchvision(preset([6, 8])).resize == Stretch((6, 8))
    assert (
        of_torchvision(preset(9, "bicubic")).interpolation == "bicubic_pillow"
        and of_torchvision(preset(9)).divisor == 255
    )
    for wrong in (preset([1, 2, 3]), preset(9, "nearest")):
        with pytest.raises(BadConfigError):
            of_torchvision(wrong)
    own = Preprocess(Native())
    assert translate(own) is own and translate("ImageNet") == translate("imagenet")
    assert translate({"do_normalize": False}).divisor == 255 and translate(smp) == of_smp(smp)
    with pytest.raises(UnknownNameError):
        translate("imagenets")
    with pytest.raises(BadConfigError, match=r"got int\.$") as raised:
        translate(3)
    assert raised.value.field == "preprocess"
