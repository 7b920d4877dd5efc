"""Common parts of MMPose's published bottom-up models: preprocessing, postprocessing, mirrors, score tables.

Source of all facts: MMPose 0.29 (configurations, model zoo) and the README of magicmind_cloud's mmpose sample.
"""

from __future__ import annotations

from dataclasses import replace

from densecast.spec.model import Evaluation, ModelSpec
from densecast.spec.precision import PRECISIONS
from densecast.spec.preprocess import PoseAffine, Preprocess
from densecast.spec.tensor import Dim, TensorSpec
from densecast.tasks.pose import PoseDecode
from densecast.tasks.pose.coco_person import JOINTS
from densecast.zoo._base import CheckpointSource, PublishedScore, Variant

# Of values 0..1.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
LICENCE = "Apache-2.0 (MMPose's weights); the data set's own terms hold for what was learned from it"
COCO_IMAGES = 5000

# The publisher's host; its domain has been out of service at times, so the public web archive is tried next.
_HOSTS = ("https://download.openmmlab.com", "https://web.archive.org/web/2024id_/https://download.openmmlab.com")
_SAMPLE = "magicmind_cloud, mmpose README (MLU370); it says 5000 images, its scripts take 1000"
_SIDES = (Dim("H", 64, 4096), Dim("W", 64, 4096))
_QUARTERS = (Dim("h", 16, 1024), Dim("w", 16, 1024))
_BATCH = Dim("N", 1, 64)
_PERSON_RGB = (0, 158, 115)


DECODE = PoseDecode()
# The small networks' own: of joints that are there they are surer than the published ones, and less sure of whose they
# are; their peaks are broader. Chosen on images of a seed that neither training nor the scores have seen, where AP is
# 1 point higher than with the published grouping and peaks, and 1 to 4 higher than with the published 0.1.
SMALL_DECODE = PoseDecode(detection_threshold=0.3, tag_threshold=2.0, nms_kernel=7)


def coco(name: str, *, short_side: int = 512, decode: PoseDecode = DECODE) -> ModelSpec:
    """Spec of a network for COCO's 17 joints, with the mirrored image as a second view."""
    return ModelSpec(
        name=name,
        task="pose",
        inputs=(TensorSpec("image", "float32", (_BATCH, 3, *_SIDES)),),
        # A heatmap for every joint, then a tag map for every joint.
        outputs=(TensorSpec("maps", "float32", (_BATCH, 2 * len(JOINTS), *_QUARTERS)),),
        preprocess=_preprocess(short_side),
        decode=decode,
        labels=("person",),
        palette=(_PERSON_RGB,),
        evaluation=Evaluation(dataset="coco_keypoints", metric="coco_keypoints", frame="image"),
    )


def variants(*, short_side: int = 512, decode: PoseDecode = DECODE) -> dict[str, Variant]:
    """Variant `no_flip`: without the mirrored view, which takes half the time."""
    return {"no_flip": Variant(_preprocess(short_side), replace(decode, flip=False))}


def checkpoint(network: str, suffix: str) -> CheckpointSource:
    """The file `<network>_coco_512x512-<suffix>_20200816.pth`; `suffix` are the first eight digits of its sha256."""
    file = f"{network}_coco_512x512-{suffix}_20200816.pth"
    return CheckpointSource(file, tuple(f"{host}/mmpose/bottom_up/{file}" for host in _HOSTS), sha256=suffix)


def published(*ap: float) -> tuple[PublishedScore, ...]:
    """The sample's AP in float32, float16 and int8, given in percent as printed."""
    return tuple(
        PublishedScore(precision, "AP", round(value / 100, 6), COCO_IMAGES, _SAMPLE)
        for precision, value in zip(PRECISIONS, ap, strict=True)
    )


def _preprocess(short_side: int) -> Preprocess:
    # OpenCV reads photographs upright, as MMCV's default does.
    return Preprocess(PoseAffine(short_side), "bilinear_opencv", "RGB", MEAN, STD, use_exif=True, divisor=255.0)
