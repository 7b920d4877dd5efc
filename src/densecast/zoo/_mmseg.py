"""Common parts of MMSegmentation's published models: preprocessing, labels, mirrors, score tables.

Source of all facts: MMSegmentation 0.30 (configs, model zoo) and the README of magicmind_cloud's mmsegmentation sample.
"""

from __future__ import annotations

from dataclasses import replace

from densecast.spec.model import Evaluation, ModelSpec
from densecast.spec.precision import PRECISIONS
from densecast.spec.preprocess import FitCentre, KeepRatio, Preprocess, Resize, Stretch
from densecast.spec.tensor import Dim, TensorSpec
from densecast.spec.verb_options import ORIGINAL
from densecast.tasks.segmentation import SegmentationDecode
from densecast.tasks.segmentation.palettes import CITYSCAPES, VOC2012
from densecast.zoo._base import CheckpointSource, PublishedScore, Variant

MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
# With its attention's matrix products in int8, OpenVINO 2026.4 refuses to compile OCRNet in bfloat16 ("No suitable
# implementations") and is slow in float32. They are a small share of its arithmetic.
_ATTENTION = ("MatMul",)
# These convolutions see one pixel for each class. Quantised, they make OpenVINO gather the pixels' features in float32,
# at 108 of 1000 ms instead of 26 (ocrnet_hr18 at 1024x2048, one thread).
_OF_REGIONS = (".*key_project.*", ".*value_project.*")
LICENCE = "Apache-2.0 (MMSegmentation's weights); the data set's own terms hold for what was learned from it"
CITYSCAPES_IMAGES = 500

# The publisher's host; its domain has been out of service at times, so the public web archive is tried next.
_HOSTS = ("https://download.openmmlab.com", "https://web.archive.org/web/2024id_/https://download.openmmlab.com")
_SAMPLE = "magicmind_cloud, mmsegmentation README (MLU370, 1024×2048)"
_OPEN = (Dim("N", 1, 64), 3, Dim("H", 32, 4096), Dim("W", 32, 4096))


def cityscapes(name: str, *, long_side: int = 2048, short_side: int = 1024) -> ModelSpec:
    """Spec of a network with 19 classes, evaluated at the image's size."""
    resize = KeepRatio(long_side, short_side)
    return _spec(name, tuple(CITYSCAPES), tuple(CITYSCAPES.values()), "cityscapes", resize)


def ocrnet(name: str, *, long_side: int = 2048, short_side: int = 1024) -> ModelSpec:
    """The same spec, with attention excluded from int8."""
    spec = cityscapes(name, long_side=long_side, short_side=short_side)
    return replace(spec, excluded_types=_ATTENTION, excluded_names=_OF_REGIONS)


def voc2012(name: str, *, long_side: int = 2048, short_side: int = 512) -> ModelSpec:
    """Spec of a network with 21 classes including background, evaluated at the image's size."""
    return _spec(name, tuple(VOC2012), tuple(VOC2012.values()), "voc2012", KeepRatio(long_side, short_side))


def checkpoint(method: str, config: str, suffix: str, md5: str | None = None) -> CheckpointSource:
    """The file `<config>_<suffix>.pth`; the publisher ends its name with the first eight digits of its sha256."""
    file = f"{config}_{suffix}.pth"
    path = f"mmsegmentation/v0.5/{method}/{config}/{file}"
    return CheckpointSource(file, tuple(f"{host}/{path}" for host in _HOSTS), suffix.rpartition("-")[2], md5)


def published(*miou: float) -> tuple[PublishedScore, ...]:
    """The sample's mIoU in float32, float16 and int8, given in percent as printed."""
    variants = (ORIGINAL, *MAGICMIND)
    return tuple(
        PublishedScore(precision, "mIoU", round(value / 100, 6), CITYSCAPES_IMAGES, _SAMPLE, variants)
        for precision, value in zip(PRECISIONS, miou, strict=True)
    )


def _preprocess(resize: Resize) -> Preprocess:
    # OpenCV reads photographs upright, as MMCV's default does.
    return Preprocess(resize, "bilinear_opencv", "RGB", MEAN, STD, use_exif=True)


# magicmind_cloud stretches every image to one size, ends its graph in the argmax, and resizes labels. On Cityscapes'
# own 1024×2048 that is the original.
MAGICMIND = {"magicmind": Variant(_preprocess(Stretch((1024, 2048))), SegmentationDecode(to_image="nearest_labels"))}


# ModelZoo-PyTorch's FCN-8s on Ascend cards: 500×500, the image in the middle. `ascend` brings its labels back exactly;
# `ascend_blended` as the sample itself does.
ASCEND = {
    "ascend": Variant(_preprocess(FitCentre((500, 500))), SegmentationDecode(to_image="nearest_labels")),
    "ascend_blended": Variant(_preprocess(FitCentre((500, 500))), SegmentationDecode(to_image="blended_labels")),
}


def _spec(
    name: str, labels: tuple[str, ...], palette: tuple[tuple[int, int, int], ...], dataset: str, resize: KeepRatio
) -> ModelSpec:
    return ModelSpec(
        name=name,
        task="segmentation",
        inputs=(TensorSpec("image", "float32", _OPEN),),
        outputs=(TensorSpec("logits", "float32", (_OPEN[0], len(labels), *_OPEN[2:])),),
        preprocess=_preprocess(resize),
        decode=SegmentationDecode(),
        labels=labels,
        palette=palette,
        evaluation=Evaluation(dataset=dataset, metric="iou", frame="image"),
    )
