"""What was put into a network is found in it, by the name of its layer, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import command_line
import numpy as np
import onnx
import pytest
import tiny_artifacts
import tiny_graphs
from made_images import write_jpeg
from onnx import numpy_helper
from PIL import Image

from densecast.errors import BadArtifactError, UsageError
from densecast.spec.options import BuildOptions
from densecast.verbs.diagnose import diagnose

Change = Callable[[np.ndarray[Any, Any]], None]


def changed(**changes: Change) -> onnx.ModelProto:
    """The tiny graph, its tensors changed in place, its nodes named as torch's exporter names them."""
    model = tiny_graphs.segmentation()
    for node, name in zip(model.graph.node, ("/stem/conv/Conv", "/stem/Relu", "/head/Conv"), strict=True):
        node.name = name
    for tensor in model.graph.initializer:
        if tensor.name in changes:
            array = numpy_helper.to_array(tensor).copy()
            changes[tensor.name](array)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return model


def dead(array: np.ndarray[Any, Any]) -> None:
    array[:3] = 0


def loud(array: np.ndarray[Any, Any]) -> None:
    array[1] *= 1000


def large(array: np.ndarray[Any, Any]) -> None:
    array *= 5e4


def drowned(array: np.ndarray[Any, Any]) -> None:
    array[:4] = -1000


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    return [write_jpeg(tmp_path / "images" / f"{index}.jpg", (48, 64), seed=index) for index in range(2)]


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, set()),
        ({"w1": dead, "b1": dead}, {("dead channels", "stem.conv"), ("dead channels", "stem")}),
        ({"w1": loud}, {("outlier weights", "stem.conv")}),
        ({"w1": large}, {("near float16's end", "stem.conv"), ("near float16's end", "stem")}),
        ({"b1": drowned}, {("dead channels", "stem")}),
    ],
    ids=["sound", "dead", "loud", "large", "drowned"],
)
def test_it_is_found_with_its_layer(
    tmp_path: Path, images: list[Path], changes: dict[str, Change], wanted: set[tuple[str, str]]
) -> None:
    artifact = tiny_artifacts.exported(tmp_path, changed(**changes))
    found = {(each.kind, each.layer) for each in diagnose(artifact, images)}
    # Large values are large in the head as well.
    assert wanted <= found and {kind for kind, _ in found} == {kind for kind, _ in wanted}


@pytest.mark.parametrize(("spots", "found"), [(1, True), (400, False)])
def test_rare_values_far_beyond_their_spread_are_outlier_activations(tmp_path: Path, spots: int, found: bool) -> None:
    def middle(array: np.ndarray[Any, Any]) -> None:
        array[:] = 0
        array[0, :, 1, 1] = 1  # one channel is the picture's brightness, all others are 0

    def nothing(array: np.ndarray[Any, Any]) -> None:
        array[:] = 0

    artifact = tiny_artifacts.exported(tmp_path, changed(w1=middle, b1=nothing))
    picture = np.zeros((320, 320, 3), np.uint8)
    rows, columns = np.divmod(np.arange(spots), 20)
    picture[16 * rows + 4, 16 * columns + 4] = 255
    path = tmp_path / "spots.png"
    Image.fromarray(picture).save(path)
    assert (
        ("outlier activations", "stem.conv") in {(each.kind, each.layer) for each in diagnose(artifact, [path])}
    ) == found


def test_only_float_artifacts_and_some_images(tmp_path: Path, images: list[Path]) -> None:
    built = tiny_artifacts.compiled(tmp_path, BuildOptions("onnxruntime"))
    with pytest.raises(BadArtifactError, match="exported"):
        diagnose(built, images)
    ended = command_line.densecast("diagnose", tmp_path / "float", "--images", tmp_path / "images", "-q")
    assert ended.code == 0 and "nothing to act on" in ended.out
    from densecast.artifact import Artifact

    with pytest.raises(UsageError, match="at least one image"):
        diagnose(Artifact.open(tmp_path / "float"), [])
