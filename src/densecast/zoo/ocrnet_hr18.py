"""OCRNet with HRNetV2-W18 on Cityscapes, 160k iterations."""

from densecast.zoo import _mmseg
from densecast.zoo._base import ZooEntry

ENTRY = ZooEntry(
    spec=_mmseg.ocrnet("ocrnet_hr18"),
    network="ocrnet",
    options={},
    checkpoint=_mmseg.checkpoint("ocrnet", "ocrnet_hr18_512x1024_160k_cityscapes", "20200602_191001-b9172d0c"),
    summary="OCRNet, HRNetV2-W18, 160k iterations on Cityscapes",
    licence=_mmseg.LICENCE,
    published=_mmseg.published(79.45, 79.44, 78.93),
    example_size_hw=(256, 512),
    variants=_mmseg.MAGICMIND,
)
