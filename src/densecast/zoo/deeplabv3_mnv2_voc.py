"""DeepLabV3 with MobileNetV2 on VOC2012, as TensorFlow published it: a frozen graph from image to labels."""

from densecast.spec.model import Evaluation, ModelSpec
from densecast.spec.precision import PRECISIONS
from densecast.spec.preprocess import FitInto, KeepRatio, Preprocess, Stretch
from densecast.spec.tensor import Dim, TensorSpec
from densecast.tasks.segmentation import SegmentationDecode
from densecast.tasks.segmentation.palettes import VOC2012
from densecast.zoo._base import CheckpointSource, PublishedScore, TensorFlowGraph, Variant, ZooEntry

_FILE = "deeplabv3_mnv2_pascal_train_aug_2018_01_29.tar.gz"
_HOSTS = ("https://download.tensorflow.org/models", "https://storage.googleapis.com/download.tensorflow.org/models")
_SAMPLE = "magicmind_cloud, deeplabv3_tensorflow README (MLU370, first 1000 images of val, aspect kept)"
_SIDE = 513
# x * 2 / 255 - 1. What surrounds an image is the mean pixel, which becomes 0.
_MEAN = _STD = _GREY = (127.5, 127.5, 127.5)
# In int8 the thin layers of the backbone lose more to changing types than they win, on a CPU with float16 units, and
# 2 % of the labels of hard photographs change; with the head alone in int8 it is 0.3 %.
_BACKBONE = (".*MobilenetV2/.*",)
_OPEN = (Dim("N", 1, 64), 3, Dim("H", 100, _SIDE), Dim("W", 100, _SIDE))


def _preprocess(resize: FitInto | Stretch | KeepRatio) -> Preprocess:
    return Preprocess(resize, "bilinear_opencv", "RGB", _MEAN, _STD, use_exif=True)


# The graph ends in labels, which everyone who uses it brings to the image's size by nearest neighbour; the sample did
# it by Pillow.
_LABELS = SegmentationDecode(align_corners=True, to_image="nearest_labels_pillow")
_LOGITS = SegmentationDecode(align_corners=True)

ENTRY = ZooEntry(
    spec=ModelSpec(
        name="deeplabv3_mnv2_voc",
        task="segmentation",
        inputs=(TensorSpec("image", "float32", _OPEN),),
        outputs=(TensorSpec("logits", "float32", (_OPEN[0], len(VOC2012), *_OPEN[2:])),),
        preprocess=_preprocess(FitInto((_SIDE, _SIDE), _GREY)),
        decode=_LABELS,
        labels=tuple(VOC2012),
        palette=tuple(VOC2012.values()),
        evaluation=Evaluation(dataset="voc2012", metric="iou", frame="image"),
        excluded_names=_BACKBONE,
        # bfloat16 changes 1.2 % of the labels of hard photographs, float16 0.04 %.
        half_type="f16",
    ),
    network=None,
    options={},
    # The publisher prints no hash for this file.
    checkpoint=CheckpointSource(_FILE, tuple(f"{host}/{_FILE}" for host in _HOSTS)),
    summary="DeepLabV3, MobileNetV2, output stride 8, on VOC2012 with extra annotations (TensorFlow)",
    licence="Apache-2.0 (TensorFlow's weights); the data set's own terms hold for what was learned from it",
    published=tuple(
        PublishedScore(precision, "mIoU", value, 1000, _SAMPLE)
        for precision, value in zip(PRECISIONS, (0.7665, 0.7664, 0.7630), strict=True)
    ),
    example_size_hw=(_SIDE, _SIDE),
    variants={
        "stretch": Variant(_preprocess(Stretch((_SIDE, _SIDE))), _LABELS),
        "smooth": Variant(_preprocess(FitInto((_SIDE, _SIDE), _GREY)), _LOGITS),
        "unpadded": Variant(_preprocess(KeepRatio(_SIDE, _SIDE)), _LABELS),
    },
    tensorflow=TensorFlowGraph("ImageTensor:0", "SemanticPredictions:0", "frozen_inference_graph.pb"),
)
