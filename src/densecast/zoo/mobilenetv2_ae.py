"""Bottom-up pose by associative embedding with MobileNetV2, on COCO."""

from densecast.zoo import _mmpose
from densecast.zoo._base import ZooEntry

ENTRY = ZooEntry(
    spec=_mmpose.coco("mobilenetv2_ae"),
    network="pose_mobilenetv2",
    options={},
    checkpoint=_mmpose.checkpoint("mobilenetv2", "4d96e309"),
    summary="Associative embedding, MobileNetV2, bottom-up pose on COCO",
    licence=_mmpose.LICENCE,
    published=_mmpose.published(38.13, 37.98, 37.83),
    example_size_hw=(256, 320),
    variants=_mmpose.variants(),
)
