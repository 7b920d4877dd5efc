"""Maps whose axes have changed places are seen by their sides, or by the graph where sides tell nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from densecast.errors import BadGraphError
from densecast.spec.model import ModelSpec
from densecast.spec.options import Range
from densecast.spec.preprocess import Native, Preprocess
from densecast.spec.tensor import Feeds
from densecast.verbs.export import export_file, heads, onnx_file
from densecast.verbs.export.spec_file import SpecFile

LABELS = 16


def graph(sides: str, shape: str, perm: list[int]) -> onnx.ModelProto:
    """A convolution to 16 classes, and its axes in another order."""
    numbers = ", ".join(f"{value:.4f}" for value in np.random.default_rng(0).normal(size=LABELS * 3))
    model = onnx.parser.parse_model(f"""
    <ir_version: 8, opset_import: ["" : 17]>
    net (float[{sides}] image) => (float[{shape}] out) <float[{LABELS}, 3, 1, 1] w = {{{numbers}}}> {{
        scores = Conv (image, w)
        turned = Transpose <perm = {perm}> (scores)
        out = Identity (turned)
    }}""")
    onnx.checker.check_model(model, full_check=True)
    return model


def described() -> ModelSpec:
    return SpecFile(tuple(map(str, range(LABELS))), Preprocess(Native()), side=Range(8, 512)).model("found")


def test_a_map_whose_height_and_width_have_changed_places_is_refused(tmp_path: Path) -> None:
    onnx.save(graph("N, 3, H, W", f"N, {LABELS}, W, H", [0, 1, 3, 2]), tmp_path / "net.onnx")
    with pytest.raises(BadGraphError, match="is 160 high and 96 wide for an image 96 high and 160 wide: height and"):
        export_file(tmp_path / "net.onnx", described(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("perm", [[0, 2, 3, 1], [0, 1, 2, 3]])
def test_of_as_many_labels_as_rows_and_columns_the_graph_tells_where_the_channels_are(
    tmp_path: Path, perm: list[int]
) -> None:
    model = graph("1, 3, 16, 16", "1, 16, 16, 16", perm)
    onnx.save(model, tmp_path / "net.onnx")
    source = export_file(tmp_path / "net.onnx", described(), tmp_path / "out")
    feeds: Feeds = {"image": np.random.default_rng(1).random((1, 3, 16, 16), dtype=np.float32)}
    weights = onnx.numpy_helper.to_array(model.graph.initializer[0])[:, :, 0, 0]
    wanted = np.einsum("oc,nchw->nohw", weights, feeds["image"])
    found = onnx_file.graph_runner(source.file("model.onnx").read_bytes())(feeds)
    np.testing.assert_allclose(next(iter(found.values())), wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("image_hw", "output", "is_turned"),
    [
        ((96, 160), (1, 4, 160, 96), True),
        ((96, 160), (1, 40, 24), True),
        ((96, 160), (1, 4, 24, 40), False),
        ((96, 160), (1, 4, 128, 128), False),
        ((128, 128), (1, 4, 32, 32), False),
        ((96, 160), (1, 4, 5, 3), False),
        ((96, 160), (7,), False),
    ],
)
def test_what_is_turned(image_hw: tuple[int, int], output: tuple[int, ...], is_turned: bool) -> None:
    if not is_turned:
        heads.refuse_turned("out", image_hw, output)
        return
    with pytest.raises(BadGraphError, match="changed places"):
        heads.refuse_turned("out", image_hw, output)
