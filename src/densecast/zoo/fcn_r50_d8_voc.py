"""FCN with ResNet-50, output stride 8, on VOC2012 with extra annotations, 20k iterations."""

from densecast.zoo import _mmseg
from densecast.zoo._base import PublishedScore, ZooEntry

ENTRY = ZooEntry(
    spec=_mmseg.voc2012("fcn_r50_d8_voc"),
    network="fcn",
    options={},
    checkpoint=_mmseg.checkpoint(
        "fcn", "fcn_r50-d8_512x512_20k_voc12aug", "20200617_010715-52dc5306", md5="0b42f76eb2e3779a5f802acb5ded5eed"
    ),
    summary="FCN, ResNet-50-D8, 20k iterations on VOC2012 with extra annotations",
    licence=_mmseg.LICENCE,
    published=(
        PublishedScore("force_float32", "mIoU", 0.67085, 1449, "MMSegmentation's log; the original 512-pixel pipeline"),
        PublishedScore(
            "force_float16", "mIoU", 0.6901, 1449, "ModelZoo-PyTorch FCN-8s (Ascend 310, 500×500)", tuple(_mmseg.ASCEND)
        ),
    ),
    example_size_hw=(256, 256),
    variants=_mmseg.ASCEND,
)
