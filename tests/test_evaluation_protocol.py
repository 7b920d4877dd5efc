"""A published way to measure is followed as it is or refused: its images, its sizes, and its name in the result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from densecast.datasets import voc2012
from densecast.errors import BadDatasetError, UnknownNameError, UsageError
from densecast.pipeline import Pipeline
from densecast.spec.data_options import Data, DataOptions
from densecast.spec.model import Evaluation
from densecast.spec.options import BuildOptions
from densecast.spec.preprocess import KeepRatio, Preprocess, Stretch
from densecast.spec.sample import ids_sha256
from densecast.spec.verb_options import EvaluateOptions
from densecast.tasks.segmentation import SegmentationDecode
from densecast.verbs.builder import build
from densecast.verbs.evaluate import evaluate
from densecast.verbs.export import export_file
from densecast.verbs.export.spec_file import SpecFile
from densecast.zoo._base import ZOO

PROTOCOL = "magicmind_1000"


def voc(root: Path, count: int) -> Path:
    """A VOC folder of `count` black pictures of background."""
    home = root / "VOCdevkit" / "VOC2012"
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (home / name).mkdir(parents=True)
    names = [f"2007_{index:06d}" for index in range(count)]
    (home / "ImageSets" / "Segmentation" / "val.txt").write_text("\n".join(names))
    image, mask = Image.new("RGB", (12, 9)), Image.new("P", (12, 9))
    image.save(home / "JPEGImages" / f"{names[0]}.jpg")
    mask.save(home / "SegmentationClass" / f"{names[0]}.png")
    for name in names[1:]:
        (home / "JPEGImages" / f"{name}.jpg").hardlink_to(home / "JPEGImages" / f"{names[0]}.jpg")
        (home / "SegmentationClass" / f"{name}.png").hardlink_to(home / "SegmentationClass" / f"{names[0]}.png")
    return root


@pytest.fixture
def pipeline(tmp_path: Path):  # type: ignore[no-untyped-def]
    """A network that calls everything background, with aspect kept and labels enlarged by nearest neighbour."""
    weights = np.zeros((21, 3, 1, 1), np.float32)
    bias = np.zeros(21, np.float32)
    bias[0] = 1
    node = onnx.helper.make_node("Conv", ["image", "w", "b"], ["logits"])
    shape = ["N", 3, "H", "W"]
    graph = onnx.helper.make_graph(
        [node],
        "background",
        [onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, shape)],
        [onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["N", 21, "H", "W"])],
        [onnx.numpy_helper.from_array(weights, "w"), onnx.numpy_helper.from_array(bias, "b")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "background.onnx")
    described = SpecFile(
        tuple(ZOO.load("fcn_r50_d8_voc").spec.labels),
        Preprocess(KeepRatio(32, 32)),
        decode=SegmentationDecode(to_image="nearest_labels_pillow"),
        evaluation=Evaluation("voc2012", "iou"),
    )
    exported = export_file(tmp_path / "background.onnx", described.model("background"), tmp_path / "float")
    with Pipeline.open(build(exported, tmp_path / "built", BuildOptions("onnxruntime"))) as opened:
        yield opened


@pytest.mark.slow
def test_the_first_thousand_are_measured_and_the_result_says_so(
    tmp_path: Path, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    thousand = voc2012.PROTOCOLS[PROTOCOL]
    assert thousand.count == 1000
    # A hundred stand for them here.
    monkeypatch.setitem(voc2012.PROTOCOLS, PROTOCOL, replace(thousand, count=100))
    root = voc(tmp_path / "data", 103)
    score = evaluate(pipeline, root, EvaluateOptions(protocol=PROTOCOL)).score
    assert (score.protocol, score.count) == (PROTOCOL, 100)
    assert score.data is not None
    assert score.data.ids_sha256 == ids_sha256(voc2012.open(root).samples[:100])
    assert evaluate(pipeline, root, EvaluateOptions(limit=2)).score.protocol is None


def test_too_few_images_are_no_protocol(tmp_path: Path, pipeline: Pipeline) -> None:
    root = voc(tmp_path / "data", 9)
    with pytest.raises(BadDatasetError, match="1000 of the 1449 images of val, here are 9"):
        evaluate(pipeline, root, EvaluateOptions(protocol=PROTOCOL))


def test_a_model_that_does_something_else_is_told_how_to_be_exported(pipeline: Pipeline) -> None:
    with pytest.raises(UsageError, match="variant 'stretch'"):
        evaluate(pipeline, Path("nowhere"), EvaluateOptions(protocol="magicmind_1449_stretched"))
    protocol = voc2012.PROTOCOLS[PROTOCOL]
    protocol.check_model(PROTOCOL, pipeline.spec)
    for other in (
        replace(pipeline.spec, preprocess=Preprocess(Stretch((16, 16)))),
        replace(pipeline.spec, decode=SegmentationDecode()),
    ):
        with pytest.raises(UsageError, match="variant 'original'"):
            protocol.check_model(PROTOCOL, other)


def test_what_contradicts_a_protocol_is_refused(pipeline: Pipeline) -> None:
    with pytest.raises(UsageError, match="determines which images"):
        EvaluateOptions(protocol=PROTOCOL, limit=3)
    with pytest.raises(UnknownNameError, match=PROTOCOL):
        evaluate(pipeline, Path("nowhere"), EvaluateOptions(protocol="magicmind_100"))
    with pytest.raises(UsageError, match="pairs has no published way to measure"):
        own = Data(Path("nowhere"), DataOptions(dataset="pairs"))
        evaluate(pipeline, own, EvaluateOptions(protocol="magicmind_1000"))


def test_the_zoo_s_variants_are_those_that_the_data_set_s_protocols_name() -> None:
    entry = ZOO.load("deeplabv3_mnv2_voc")
    for name, protocol in voc2012.PROTOCOLS.items():
        protocol.check_model(name, entry.spec_for(protocol.export))
