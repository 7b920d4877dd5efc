"""A network that fails on an image at run time is one line with the image's name and the input's size."""

from __future__ import annotations

from pathlib import Path

import command_line
import numpy as np
import onnx.parser
import pytest
from PIL import Image

from densecast.artifact import Artifact
from densecast.errors import BadGraphError, BadShapeError
from densecast.pipeline import Pipeline
from densecast.spec.options import BuildOptions, Range
from densecast.spec.preprocess import Native, Preprocess
from densecast.verbs.builder import build
from densecast.verbs.export import SpecFile, export_file


def up_to_400() -> onnx.ModelProto:
    """Adds the first 400 lines to all lines: sizes above are no sizes that it was tried at."""
    return onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[N,3,H,W] image) => (float[N,2,H,W] logits)
        <float[2,3,1,1] own = {1, 0, 0, 0, 1, 0}, int64[1] a = {0}, int64[1] b = {400}, int64[1] x = {2}>
        { maps = Conv (image, own) top = Slice (maps, a, b, x) logits = Add (maps, top) }"""
    )


def exported(folder: Path, model: onnx.ModelProto) -> Artifact:
    onnx.save(model, folder / "net.onnx")
    spec = SpecFile(("dark", "bright"), Preprocess(Native()), side=Range(8, 512), largest_batch=4)
    return export_file(folder / "net.onnx", spec.model("net"), folder / "float")


@pytest.fixture(scope="module")
def float_artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return exported(tmp_path_factory.mktemp("up_to_400"), up_to_400())


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_a_failing_image_is_told_by_name_and_size(
    float_artifact: Artifact, tmp_path: Path, backend: str, capfd: pytest.CaptureFixture[str]
) -> None:
    built = build(float_artifact, tmp_path / "built", BuildOptions(backend)).folder
    for name, high in (("fits.png", 40), ("tall.png", 450)):
        Image.fromarray(np.zeros((high, 24, 3), np.uint8)).save(tmp_path / name)
    line = command_line.failed(3, "infer", built, tmp_path / "tall.png", "--out", tmp_path / "out", "--quiet")
    assert line.startswith("tall.png: the engine failed on the input image [1, 3, 450, 24] (Add node")
    assert not any(word in line for word in ("Exception from", ".cpp", ".h:", "\x1b", "\n"))
    # Engines write no lines of their own.
    assert "onnxruntime" not in capfd.readouterr().err
    both = [tmp_path / name for name in ("fits.png", "tall.png")]
    ended = command_line.densecast(
        "infer", built, *both, "--out", tmp_path / "all", "--keep-going", "--batch", "2", "--quiet"
    )
    assert ended.code == 3 and (tmp_path / "all" / "fits.png").exists()


def test_from_python_it_is_an_error_of_ours(float_artifact: Artifact, tmp_path: Path) -> None:
    with (
        Pipeline.open(build(float_artifact, tmp_path / "built", BuildOptions("onnxruntime"))) as pipeline,
        pytest.raises(BadShapeError, match="build it for one that it takes"),
    ):
        pipeline(np.zeros((450, 24, 3), np.uint8))


def test_a_graph_that_an_engine_cannot_build_names_the_other_one(tmp_path: Path) -> None:
    """OpenVINO has no conversion from the argmax to bool."""
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[N,3,H,W] image) => (bool[N,1,H,W] labels) <float[2,3,1,1] own = {1, 0, 0, 0, 1, 0}>
        { maps = Conv (image, own) best = ArgMax <axis = 1> (maps) labels = Cast <to = 9> (best) }"""
    )
    artifact = exported(tmp_path, model)
    with pytest.raises(BadGraphError, match=r"OpenVINO cannot .* \(.+\)\..* -b onnxruntime\.$"):
        build(artifact, tmp_path / "built", BuildOptions("openvino"))
