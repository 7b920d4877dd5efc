"""A graph whose labels are not those of its own logits is refused, however equal the logits are."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import tiny_graphs
from made_images import picture
from onnx.reference import ReferenceEvaluator

from densecast.errors import ParityError
from densecast.spec.verb_options import ExportOptions
from densecast.verbs.export import tensorflow_labels
from densecast.verbs.export.spec_file import SpecFile
from densecast.verbs.export.tensorflow_separate import Separated, separate

IMAGES = [picture((33, 33), seed=1), picture((33, 20), seed=2)]


def rearranged(kind: str) -> onnx.ModelProto:
    """The frozen graph, which arranges its labels once more: with rows as columns, or from right to left."""
    model = tiny_graphs.frozen()
    graph, helper = model.graph, onnx.helper
    if kind == "as they are":
        return model
    last = graph.node[-1]
    if kind == "rows as columns":
        graph.node.append(helper.make_node("Transpose", ["upright"], ["labels"], perm=[0, 2, 1]))
    else:
        for name, value in (("right", -1), ("left", -100), ("columns", 2), ("back", -1)):
            graph.initializer.append(onnx.numpy_helper.from_array(np.array([value], np.int64), name))
        graph.node.append(helper.make_node("Slice", ["upright", "right", "left", "columns", "back"], ["labels"]))
    last.output[0] = "upright"
    return model


def taken_apart(model: onnx.ModelProto) -> tuple[Separated, list[np.ndarray]]:
    """The separated network, and what the whole graph answers to the images."""
    parts = separate(model, SpecFile(("a", "b", "c")).model("frozen"), ExportOptions(), declared=False)
    whole = ReferenceEvaluator(model)
    return parts, [np.asarray(whole.run(None, {"image": image[None]})[0]) for image in IMAGES]


def test_labels_of_the_graph_itself_are_all_equal() -> None:
    parts, answers = taken_apart(rearranged("as they are"))
    assert tensorflow_labels.check(parts, IMAGES, answers) == 1.0
    # As scores of which the largest decides, and with an axis of their own.
    scores = [np.eye(3, dtype=np.float32)[each] for each in answers]
    assert tensorflow_labels.check(parts, IMAGES, scores) == 1.0
    assert tensorflow_labels.check(parts, IMAGES, [each[..., None] for each in answers]) == 1.0


@pytest.mark.parametrize("kind", ["rows as columns", "from right to left"])
def test_a_graph_that_rearranges_its_labels_is_refused_by_them_alone(kind: str) -> None:
    upright, expected = taken_apart(rearranged("as they are"))
    parts, answers = taken_apart(rearranged(kind))
    # It is separated as the other one is, with the same logits: nothing but the labels can tell.
    assert parts.model.SerializeToString() == upright.model.SerializeToString()
    turned = expected[0].swapaxes(1, 2) if kind == "rows as columns" else expected[0][:, :, ::-1]
    np.testing.assert_array_equal(answers[0], turned)
    with pytest.raises(ParityError, match="labels are not those of the untouched graph"):
        tensorflow_labels.check(parts, IMAGES, answers)


def test_one_label_of_a_thousand_may_differ_and_two_may_not() -> None:
    parts, answers = taken_apart(rearranged("as they are"))
    changed = answers[0].copy()
    for wrong in (1, 2):
        changed[0, 5, wrong] = (changed[0, 5, wrong] + 1) % 3
        if wrong == 1:  # 1 of 33 x 33 is 0.092 %
            assert tensorflow_labels.check(parts, IMAGES[:1], [changed]) == 1 - 1 / 1089
        else:
            with pytest.raises(ParityError, match=r"0\.18% of the labels.*at most 0\.1%"):
                tensorflow_labels.check(parts, IMAGES[:1], [changed])
