"""UNet-S5-D16 with an FCN head on Cityscapes, 160k iterations; height and width in multiples of 16."""

from densecast.zoo import _mmseg
from densecast.zoo._base import ZooEntry

ENTRY = ZooEntry(
    spec=_mmseg.cityscapes("unet_s5_d16"),
    network="unet_s5",
    options={},
    checkpoint=_mmseg.checkpoint("unet", "fcn_unet_s5-d16_4x4_512x1024_160k_cityscapes", "20211210_145204-6860854e"),
    summary="UNet-S5-D16 with an FCN head, 160k iterations on Cityscapes",
    licence=_mmseg.LICENCE,
    published=_mmseg.published(69.10, 69.10, 68.82),
    example_size_hw=(256, 512),
    variants=_mmseg.MAGICMIND,
)
