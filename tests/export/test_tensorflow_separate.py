"""A frozen graph taken apart and put together again gives the labels of the whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
import tiny_graphs
from made_images import picture
from onnx.reference import ReferenceEvaluator

from densecast.errors import BadGraphError, BadShapeError
from densecast.imaging.prepare import prepare
from densecast.spec.model import ModelSpec
from densecast.spec.preprocess import FitInto, KeepRatio, Preprocess, Resize, Stretch
from densecast.spec.tensor import Dim
from densecast.spec.verb_options import ExportOptions
from densecast.tasks.segmentation import SegmentationDecode, postprocess
from densecast.verbs.export.spec_file import SpecFile
from densecast.verbs.export.tensorflow_separate import Separated, separate

GREY = (127.5, 127.5, 127.5)
LABELS = ("a", "b", "c")


def spec(resize: Resize | None = None) -> ModelSpec:
    described = SpecFile(LABELS) if resize is None else SpecFile(LABELS, Preprocess(resize))
    return described.model("frozen")


def separated(resize: Resize | None = None, options: ExportOptions = ExportOptions()) -> Separated:
    return separate(tiny_graphs.frozen(), spec(resize), options, declared=False)


def labels_of(parts: Separated, image: np.ndarray) -> np.ndarray:
    array, placement = prepare(image, parts.spec.preprocess)
    logits = ReferenceEvaluator(parts.model).run(None, {"image": array[None]})[0]
    return postprocess.decode(logits[0], placement, parts.spec, "network").class_id


@pytest.mark.parametrize("size_hw", [(33, 33), (33, 20), (22, 33), (33, 1)])
def test_labels_are_those_of_the_whole_graph(size_hw: tuple[int, int]) -> None:
    parts = separated()
    assert parts.spec.preprocess.resize == FitInto((33, 33), GREY)
    assert (parts.spec.preprocess.mean, parts.spec.preprocess.std) == (GREY, GREY)
    assert parts.spec.decode == SegmentationDecode(align_corners=True)
    assert parts.spec.input.shape == (Dim("N", 1, 64), 3, 33, 33)
    image = picture(size_hw, seed=1)
    wanted = ReferenceEvaluator(tiny_graphs.frozen()).run(None, {"image": image[None]})[0][0]
    assert size_hw == (33, 1) or len(np.unique(wanted)) > 1
    np.testing.assert_array_equal(labels_of(parts, image), wanted)


def test_inputs_of_no_elements_are_left_out() -> None:
    model = tiny_graphs.frozen()
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(0, np.float32), "nothing"))
    for node in model.graph.node:
        if node.op_type == "Resize":
            node.input[1:3] = ["nothing", "nothing"]
    parts = separate(model, spec(), ExportOptions(), declared=False)
    resizes = [list(node.input) for node in parts.model.graph.node if node.op_type == "Resize"]
    assert resizes == [["pooled", "", "", "map_size"]]


def test_stretched_and_unpadded_images_are_other_declarations_of_one_network() -> None:
    image = picture((40, 66), seed=2)
    stretched = separated(Stretch((33, 33)))
    assert stretched.spec.input.shape[2:] == (33, 33)
    whole, _ = prepare(image, Preprocess(Stretch((33, 33)), std=(1.0, 1.0, 1.0)), dtype="uint8")
    wanted = ReferenceEvaluator(tiny_graphs.frozen()).run(None, {"image": whole.transpose(1, 2, 0)[None]})[0][0]
    np.testing.assert_array_equal(labels_of(stretched, image), wanted)
    unpadded = separated(KeepRatio(33, 33))
    assert [isinstance(size, Dim) for size in unpadded.spec.input.shape] == [True, False, True, True]
    assert labels_of(unpadded, image).shape == (20, 33)
    assert "averages are global" in unpadded.notes[-1]


def test_what_is_declared_is_held_against_the_graph() -> None:
    right = replace(spec(), preprocess=Preprocess(FitInto((33, 33), GREY), mean=GREY, std=GREY))
    assert separate(tiny_graphs.frozen(), right, ExportOptions(), declared=True).spec.preprocess == right.preprocess
    for wrong in (
        Preprocess(FitInto((33, 33), GREY), mean=GREY, std=(128.0,) * 3),
        Preprocess(FitInto((65, 65), GREY), mean=GREY, std=GREY),
        Preprocess(FitInto((33, 33), GREY), mean=GREY, std=GREY, colour="BGR"),
    ):
        with pytest.raises(BadGraphError, match="not frozen's"):
            separate(tiny_graphs.frozen(), replace(spec(), preprocess=wrong), ExportOptions(), declared=True)
    with pytest.raises(BadGraphError, match="does more than"):
        separate(own_prefix(), right, ExportOptions(), declared=True)


def test_options_that_contradict_the_graph_are_refused() -> None:
    with pytest.raises(BadShapeError, match="33×33"):
        separated(options=ExportOptions(size_hw=(64, 64)))
    with pytest.raises(BadGraphError, match="leave mean and std out"):
        separate(
            tiny_graphs.frozen(),
            replace(spec(), preprocess=Preprocess(FitInto((33, 33)), mean=(1.0, 2.0, 3.0))),
            ExportOptions(),
            declared=False,
        )


def own_prefix() -> onnx.ModelProto:
    """The frozen graph with a first layer that reads the bytes' floats themselves as well."""
    model = tiny_graphs.frozen()
    graph = model.graph
    at = next(place for place, node in enumerate(graph.node) if node.op_type == "Transpose")
    graph.node.insert(at, onnx.helper.make_node("ReduceMean", ["floats"], ["mean"], axes=[1, 2], keepdims=1))
    graph.node.insert(at + 1, onnx.helper.make_node("Sub", ["normal", "mean"], ["by_image"]))
    graph.node[at + 2].input[0] = "by_image"
    return model


def test_preprocessing_that_depends_on_the_image_stays_in_the_graph() -> None:
    parts = separate(own_prefix(), spec(), ExportOptions(size_hw=(33, 33)), declared=False)
    assert parts.prefix is None and "stays" in parts.notes[1]
    image = picture((33, 33), seed=4)
    wanted = ReferenceEvaluator(own_prefix()).run(None, {"image": image[None]})[0][0]
    np.testing.assert_array_equal(labels_of(parts, image), wanted)
    assert parts.spec.preprocess.std == (1.0, 1.0, 1.0)
