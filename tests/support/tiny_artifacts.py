"""Float and compiled artifacts of the tiny graphs."""

from __future__ import annotations

from pathlib import Path

import onnx
import tiny_graphs

from densecast.artifact import Artifact
from densecast.spec.model import Evaluation, ModelSpec
from densecast.spec.options import BuildOptions, Range
from densecast.spec.preprocess import PoseAffine, Preprocess, ScaleBy
from densecast.verbs.builder import build
from densecast.verbs.export import export_file
from densecast.verbs.export.spec_file import SpecFile

PREPROCESS = Preprocess(ScaleBy(0.5), interpolation="bicubic_pillow")
LABELS = ("background", "car")


def spec(preprocess: Preprocess = PREPROCESS) -> ModelSpec:
    """Half size, two labels, Dice on Carvana; sides of 8 to 512 pixels, up to 8 images at a time."""
    described = SpecFile(
        LABELS, preprocess, evaluation=Evaluation("carvana", "dice", "network"), side=Range(8, 512), largest_batch=8
    )
    return described.model("tiny")


def exported(
    folder: Path, model: onnx.ModelProto | None = None, preprocess: Preprocess = PREPROCESS, name: str = "float"
) -> Artifact:
    """A float artifact at `folder / name`, through the ONNX file beside it."""
    path = folder / "tiny.onnx"
    onnx.save(model or tiny_graphs.segmentation(), path)
    return export_file(path, spec(preprocess), folder / name)


def pose_spec(short_side: int = 64) -> ModelSpec:
    """People by COCO's joints, sides in multiples of 32 pixels; evaluated on COCO."""
    described = SpecFile(
        ("person",),
        Preprocess(PoseAffine(short_side, 32), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), divisor=255.0),
        task="pose",
        evaluation=Evaluation("coco_keypoints", "coco_keypoints"),
        side=Range(32, 512),
        largest_batch=8,
    )
    return described.model("tiny_pose")


def compiled_pose(folder: Path, options: BuildOptions, spec: ModelSpec | None = None) -> Artifact:
    """A float artifact of the tiny pose graph at `folder / "float"`, and one built from it at `folder / "built"`."""
    path = folder / "tiny_pose.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(tiny_graphs.pose(), path)
    return build(export_file(path, spec or pose_spec(), folder / "float"), folder / "built", options)


def compiled(folder: Path, options: BuildOptions = BuildOptions(), model: onnx.ModelProto | None = None) -> Artifact:
    """`exported`, then built with `options`, at `folder / "built"`."""
    return build(exported(folder, model), folder / "built", options)
