"""What a graph that ends at a prediction does with a value on a limit, with a limit of zero, and between two pixels."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx.reference import ReferenceEvaluator
from PIL import Image

from densecast.graph import end_at_prediction, plain_outputs
from densecast.graph.end_at_prediction import Ending


def ended(nodes: str, ending: Ending, image: np.ndarray, rank: int = 4) -> np.ndarray:
    """The prediction of an image (1, 1, H, W) by a graph of these nodes, which make `maps` of it."""
    sides = ", ".join(["1", "1", "h", "w"][4 - rank :])
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> g (float[1, 1, H, W] image) => (float[{sides}] maps) {{ {nodes} }}'
    )
    result = end_at_prediction.apply(model, ending)
    assert result.changed
    return np.asarray(ReferenceEvaluator(result.model).run(None, {"image": image})[0])


def test_a_value_on_the_limit_is_not_above_it() -> None:
    image = np.array([0.25, 0.5, np.nextafter(np.float32(0.5), np.float32(1))], np.float32).reshape(1, 1, 1, 3)
    found = ended("maps = Identity (image)", Ending("maps", "bits", "above", "uint8", limits=(0.5,)), image)
    assert found.ravel().tolist() == [0, 0, 1]


@pytest.mark.parametrize(("low", "high"), [(0.0, None), (None, 0.0), (0.0, 0.0)])
def test_zero_is_a_limit_like_any_other(low: float | None, high: float | None) -> None:
    image = np.array([-2.0, 0.0, 3.0], np.float32).reshape(1, 1, 1, 3)
    ending = Ending("maps", "depth", "numbers", "float32", low=low, high=high)
    found = ended("maps = Identity (image)", ending, image)
    expected = np.clip(image[0, 0], -np.inf if low is None else low, np.inf if high is None else high)
    np.testing.assert_array_equal(found[0], expected)


@pytest.mark.parametrize("size_hw", [(4, 6), (4, 3), (2, 12)])
def test_labels_between_two_pixels_are_the_right_ones_as_pillow_has_them(size_hw: tuple[int, int]) -> None:
    # Of 8 by 12 labels: each target's centre lies between two of them, along each side that is reduced.
    labels = np.arange(96, dtype=np.float32).reshape(8, 12)
    image = np.zeros((1, 1, *size_hw), np.float32)
    nodes = (
        f"maps = Constant <value = float[1, 1, 8, 12] {{{', '.join(str(int(each)) for each in labels.ravel())}}}> ()"
    )
    found = ended(nodes, Ending("maps", "classes", "labels", "int32"), image)
    expected = np.asarray(Image.fromarray(labels).resize(size_hw[::-1], Image.Resampling.NEAREST))
    np.testing.assert_array_equal(found[0], expected)


def test_whole_numbers_of_32_bits_without_a_sign_keep_their_values() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (uint32[1, 1, 1, 2] image) => (uint32[1, 1, 1, 2] labels) '
        "{ labels = Identity (image) }"
    )
    result = plain_outputs.apply(model)
    values = np.array([3, 4_000_000_000], np.uint32).reshape(1, 1, 1, 2)
    found = ReferenceEvaluator(result.model).run(None, {"image": values})[0]
    assert result.changed and np.asarray(found).ravel().tolist() == [3, 4_000_000_000]
