"""DeepLabV3 with ResNet-101, output stride 16, multi-grid 1-2-4, on Cityscapes, 80k iterations."""

from densecast.zoo import _mmseg
from densecast.zoo._base import ZooEntry

ENTRY = ZooEntry(
    spec=_mmseg.cityscapes("deeplabv3_r101_d16_mg124"),
    network="deeplabv3",
    options={},
    checkpoint=_mmseg.checkpoint(
        "deeplabv3", "deeplabv3_r101-d16-mg124_512x1024_80k_cityscapes", "20200908_005644-57bb8425"
    ),
    summary="DeepLabV3, ResNet-101-D16, multi-grid 1-2-4, 80k iterations on Cityscapes",
    licence=_mmseg.LICENCE,
    published=_mmseg.published(78.36, 78.36, 77.73),
    example_size_hw=(256, 512),
    variants=_mmseg.MAGICMIND,
)
