"""A resize that no image can pass through is found at export and at build, with the resize that would work."""

from __future__ import annotations

from pathlib import Path

import command_line
import found_graphs
import numpy as np
import onnx
import pytest
import tiny_graphs
from found_graphs import Kind
from PIL import Image

from densecast.errors import BadShapeError, UnknownNameError, UsageError
from densecast.spec.model import Evaluation
from densecast.spec.options import BuildOptions, InputShape, Range
from densecast.spec.preprocess import (
    FitInto,
    Letterbox,
    Native,
    NearMultiple,
    PoseAffine,
    Preprocess,
    ScaleBy,
    ShortSide,
    Stretch,
)
from densecast.spec.shapes import check_resize
from densecast.spec.tensor import Dim, TensorSpec
from densecast.verbs.builder import build
from densecast.verbs.export import SpecFile, export_file

FIXED = TensorSpec("image", "float32", (1, 3, 96, 128))
OPEN = TensorSpec("image", "float32", (1, 3, Dim("H", 32, 512, 32), Dim("W", 32, 512, 32)))


@pytest.mark.parametrize(
    ("rule", "cure"),
    [
        (Stretch((128, 96)), r"128×96, but the network takes 96×128.*Height comes first.*--resize stretch:96x128"),
        (FitInto((64, 64)), r"--resize fit:96x128"),
        (Letterbox((640, 640)), r"--resize letterbox:96x128"),
    ],
)
def test_a_resize_to_another_size_is_refused_with_the_right_one(rule: Stretch, cure: str) -> None:
    with pytest.raises(BadShapeError, match=cure) as told:
        check_resize(FIXED, Preprocess(rule))
    assert told.value.field == "resize"


def test_a_resize_to_a_size_that_is_no_multiple_is_refused_unless_it_is_padded() -> None:
    with pytest.raises(BadShapeError, match="step 32"):
        check_resize(OPEN, Preprocess(Stretch((100, 100))))
    assert check_resize(OPEN, Preprocess(Stretch((100, 100)), pad_multiple=32)) is None


@pytest.mark.parametrize("rule", [Native(), ScaleBy(0.5), ShortSide(96), NearMultiple(32, (64, 64), keep_ratio=True)])
def test_where_only_some_images_fit_it_is_remarked(rule: Native) -> None:
    remark = check_resize(FIXED, Preprocess(rule))
    assert remark is not None and "--resize stretch:96x128" in remark
    assert check_resize(OPEN, Preprocess(rule)) is None


def test_people_s_resize_is_left_to_itself() -> None:
    assert check_resize(OPEN, Preprocess(PoseAffine())) is None


def test_export_and_build_say_so_before_anything_is_inferred(tmp_path: Path) -> None:
    onnx.save(found_graphs.graph(Kind(sizes=(1, 96, 128))), tmp_path / "fixed.onnx")
    arguments = ("export", tmp_path / "fixed.onnx", "--labels", "a,b,c", "--out", tmp_path / "float")
    line = command_line.failed(3, *arguments, "--resize", "stretch:128x96")
    assert "--resize stretch:96x128" in line and not (tmp_path / "float").exists()
    ended = command_line.densecast(*arguments)
    assert ended.code == 0 and "letterbox:96x128" in ended.out
    for options in (("--height", "64", "--width", "128"), ("--batch", "4")):
        line = command_line.failed(3, "build", tmp_path / "float", "-b", "onnxruntime", *options)
        assert "It is fixed inside the graph: build for it" in line and "Export it again" not in line
    Image.fromarray(np.zeros((50, 60, 3), np.uint8)).save(tmp_path / "small.png")
    built = tmp_path / "built"
    assert command_line.densecast("build", tmp_path / "float", "-b", "onnxruntime", "--out", built).code == 0
    line = command_line.failed(3, "infer", built, tmp_path / "small.png", "--out", tmp_path / "masks")
    assert "Export it with a resize to a size that it takes" in line


def test_a_build_for_a_size_that_no_image_is_brought_to_is_refused(tmp_path: Path) -> None:
    onnx.save(tiny_graphs.segmentation(), tmp_path / "open.onnx")
    spec = SpecFile(("a", "b"), Preprocess(Stretch((64, 96))), side=Range(8, 512)).model("open")
    artifact = export_file(tmp_path / "open.onnx", spec, tmp_path / "float")
    with pytest.raises(BadShapeError, match=r"every image to 64×96, but the network takes 64×64"):
        build(artifact, tmp_path / "built", BuildOptions("onnxruntime", shape=InputShape(height=64, width=64)))


@pytest.mark.parametrize(("dataset", "metric"), [("ade20k", "iou"), ("voc2012", "mIoU")])
def test_names_of_data_sets_and_metrics_are_checked_when_the_spec_is_read(dataset: str, metric: str) -> None:
    with pytest.raises(UnknownNameError, match="Known: "):
        SpecFile(("a", "b"), evaluation=Evaluation(dataset, metric)).model("own")


def test_a_metric_of_another_task_is_refused_when_the_spec_is_read() -> None:
    with pytest.raises(UsageError):
        SpecFile(("a", "b"), evaluation=Evaluation("voc2012", "coco_keypoints")).model("own")
