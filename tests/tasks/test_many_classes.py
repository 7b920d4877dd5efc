"""A network of 300 classes, from its file to label maps of 16 bits and to the score on masks of 16 bits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import command_line
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from densecast.artifact import Artifact
from densecast.spec.handoff_options import PrepareOptions
from densecast.tasks.segmentation import SegmentationDecode
from densecast.verbs.export import export_file
from densecast.verbs.handoff import collect, prepare, simulate

CLASSES = 300
COUNT = 6
IMAGE_HW = (24, 40)


def network() -> onnx.ModelProto:
    """(N, 3, H, W) in 0..1 -> 300 logits, a linear function of the colour: the largest is where a plane is highest."""
    rng = np.random.default_rng(0)
    angles = rng.normal(size=(CLASSES, 3))
    weight = (angles / np.linalg.norm(angles, axis=1, keepdims=True)).astype(np.float32)
    bias = -0.5 * weight.sum(axis=1)
    node = helper.make_node("Conv", ["image", "w", "b"], ["logits"])
    sizes = ["N", 3, "H", "W"]
    graph = helper.make_graph(
        [node],
        "many",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, sizes)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", CLASSES, "H", "W"])],
        [numpy_helper.from_array(weight[:, :, None, None], "w"), numpy_helper.from_array(bias, "b")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def labels_of(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint16]:
    """ONNX Runtime's logits and numpy's argmax."""
    session = onnxruntime.InferenceSession(network().SerializeToString(), providers=["CPUExecutionProvider"])
    feed = (picture.astype(np.float32) / 255).transpose(2, 0, 1)[None]
    return np.asarray(session.run(None, {"image": feed})[0][0].argmax(axis=0), np.uint16)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    onnx.save(network(), folder / "many.onnx")
    (folder / "labels.txt").write_text("\n".join(f"c{index}" for index in range(CLASSES)), encoding="utf-8")
    for name in ("images", "masks"):
        (folder / "data" / name).mkdir(parents=True)
    for index in range(COUNT):
        picture = np.random.default_rng(index).integers(0, 256, (*IMAGE_HW, 3), np.uint8)
        Image.fromarray(picture).save(folder / "data" / "images" / f"{index}.png")
        truth = labels_of(picture)
        truth[:3] = 299  # the picture shows something else there
        Image.fromarray(truth).save(folder / "data" / "masks" / f"{index}.png")
    arguments = ("export", folder / "many.onnx", "--labels", folder / "labels.txt", "--out", folder / "float", "-q")
    assert command_line.densecast(*arguments).code == 0
    ended = command_line.densecast("build", folder / "float", "-b", "onnxruntime", "--out", folder / "built", "-q")
    assert ended.code == 0, ended.err
    return folder


@pytest.mark.slow
def test_masks_have_all_300_labels_in_16_bits(made: Path) -> None:
    pictures = made / "data" / "images"
    assert command_line.densecast("infer", made / "built", pictures, "--out", made / "masks", "-q").code == 0
    seen = set()
    for index in range(COUNT):
        with Image.open(pictures / f"{index}.png") as picture, Image.open(made / "masks" / f"{index}.png") as mask:
            wanted, found = labels_of(np.asarray(picture)), np.asarray(mask)
        assert (found != wanted).mean() < 1e-3
        seen |= set(found.reshape(-1).tolist())
    assert max(seen) > 255


def plain_score(made: Path) -> float:
    """The mean IoU of numpy's labels over the classes that are anywhere."""
    confusion = np.zeros((CLASSES, CLASSES))
    for index in range(COUNT):
        with Image.open(made / "data" / "images" / f"{index}.png") as picture:
            drawn = labels_of(np.asarray(picture))
        with Image.open(made / "data" / "masks" / f"{index}.png") as mask:
            np.add.at(confusion, (np.asarray(mask).astype(int), drawn), 1)
    both = np.diagonal(confusion)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - both
    return float(np.mean(both[union > 0] / union[union > 0]))


@pytest.mark.slow
def test_the_score_is_that_of_a_plain_confusion_matrix(made: Path) -> None:
    options = ("--data", made / "data", "--split", "all", "-q", "--json", "-")
    ended = command_line.densecast("evaluate", made / "built", *options)
    assert ended.code == 0, ended.err
    score = json.loads(ended.out)["score"]
    assert score["name"] == "mIoU"
    assert score["value"] == pytest.approx(plain_score(made), abs=1e-9)


@pytest.mark.slow
def test_labels_that_a_device_writes_are_read_beyond_255(made: Path, tmp_path: Path) -> None:
    """Cut to eight bits, class 256 would count as class 0, in every picture and without a word."""
    height, width = IMAGE_HW
    options = PrepareOptions(output_form="int32", processes=1, split="all", height=height, width=width)
    source = Artifact.open(made / "float")
    # What a device's labels are: those of its own size, resized.
    spec = replace(source.spec, decode=SegmentationDecode(to_image="nearest_labels"))
    resized = export_file(source.file("model.onnx"), spec, tmp_path / "float")
    prepare(resized, tmp_path / "handoff", options, data=made / "data")
    simulate(tmp_path / "handoff", tmp_path / "result")
    score = collect(tmp_path / "handoff", tmp_path / "result", data=made / "data").score
    assert score.value == pytest.approx(plain_score(made), abs=1e-9)
