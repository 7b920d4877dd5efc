"""Specs of tiny models, without any file: a segmentation of two classes, and poses of COCO's joints."""

from __future__ import annotations

from densecast.spec.model import Evaluation, ModelSpec
from densecast.spec.preprocess import PoseAffine, Preprocess, Resize, ScaleBy
from densecast.spec.tensor import Dim, TensorSpec
from densecast.tasks.monocular_depth import MonocularDepthDecode
from densecast.tasks.multilabel import MultilabelDecode
from densecast.tasks.pose import PoseDecode
from densecast.tasks.pose.coco_person import JOINTS
from densecast.tasks.segmentation import SegmentationDecode
from densecast.tasks.segmentation.palettes import voc

HALF = ScaleBy(0.5)
_BATCH, _SIDES = Dim("N", 1, 8), (Dim("H", 8, 512), Dim("W", 8, 512))


def segmentation(
    labels: tuple[str, ...] = ("background", "car"),
    resize: Resize = HALF,
    decode: SegmentationDecode = SegmentationDecode(),
) -> ModelSpec:
    """Half size, two labels, Dice on Carvana."""
    return ModelSpec(
        name="tiny",
        task="segmentation",
        inputs=(TensorSpec("image", "float32", (_BATCH, 3, *_SIDES)),),
        outputs=(TensorSpec("logits", "float32", (_BATCH, len(labels), *_SIDES)),),
        preprocess=Preprocess(resize, interpolation="bicubic_pillow"),
        decode=decode,
        labels=labels,
        palette=voc(len(labels)),
        evaluation=Evaluation("carvana", "dice", "network"),
    )


def multilabel(decode: MultilabelDecode = MultilabelDecode(), resize: Resize = HALF) -> ModelSpec:
    """Half size, three labels of which a pixel has any number."""
    labels = ("wet", "lit", "far")
    return ModelSpec(
        name="tiny_multilabel",
        task="multilabel",
        inputs=(TensorSpec("image", "float32", (_BATCH, 3, *_SIDES)),),
        outputs=(TensorSpec("logits", "float32", (_BATCH, len(labels), *_SIDES)),),
        preprocess=Preprocess(resize),
        decode=decode,
        labels=labels,
        palette=voc(len(labels)),
        evaluation=Evaluation("multilabel_pairs", "multilabel_iou"),
    )


def depth(decode: MonocularDepthDecode = MonocularDepthDecode(), resize: Resize = HALF) -> ModelSpec:
    """Half size, one plane of metres."""
    return ModelSpec(
        name="tiny_depth",
        task="monocular_depth",
        inputs=(TensorSpec("image", "float32", (_BATCH, 3, *_SIDES)),),
        outputs=(TensorSpec("depth", "float32", (_BATCH, 1, *_SIDES)),),
        preprocess=Preprocess(resize),
        decode=decode,
        labels=(),
        palette=(),
        evaluation=Evaluation("depth_pairs", "monocular_depth"),
    )


def pose(short_side: int = 64) -> ModelSpec:
    """People by COCO's joints, sides in multiples of 32 pixels; evaluated on COCO."""
    return ModelSpec(
        name="tiny_pose",
        task="pose",
        inputs=(TensorSpec("image", "float32", (_BATCH, 3, *_SIDES)),),
        outputs=(TensorSpec("maps", "float32", (_BATCH, 2 * len(JOINTS), *_SIDES)),),
        preprocess=Preprocess(PoseAffine(short_side, 32), mean=(0.5,) * 3, std=(0.25,) * 3, divisor=255.0),
        decode=PoseDecode(),
        labels=("person",),
        palette=((0, 158, 115),),
        evaluation=Evaluation("coco_keypoints", "coco_keypoints"),
    )
