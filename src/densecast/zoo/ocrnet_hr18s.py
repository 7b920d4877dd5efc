"""OCRNet with HRNetV2-W18-small on Cityscapes, 80k iterations."""

from densecast.zoo import _mmseg
from densecast.zoo._base import PublishedScore, ZooEntry

ENTRY = ZooEntry(
    spec=_mmseg.ocrnet("ocrnet_hr18s"),
    network="ocrnet",
    options={"stem_blocks": 2, "modules": (1, 3, 2), "blocks": 2},
    checkpoint=_mmseg.checkpoint("ocrnet", "ocrnet_hr18s_512x1024_80k_cityscapes", "20200601_222735-55979e63"),
    summary="OCRNet, HRNetV2-W18-small, 80k iterations on Cityscapes",
    licence=_mmseg.LICENCE,
    published=(
        PublishedScore("force_float32", "mIoU", 0.7716, _mmseg.CITYSCAPES_IMAGES, "MMSegmentation 0.30 model zoo"),
    ),
    example_size_hw=(256, 512),
    variants=_mmseg.MAGICMIND,
)
