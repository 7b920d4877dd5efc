"""Bottom-up pose by associative embedding with ResNet-50, on COCO."""

from densecast.zoo import _mmpose
from densecast.zoo._base import ZooEntry

ENTRY = ZooEntry(
    spec=_mmpose.coco("res50_ae"),
    network="pose_resnet",
    options={},
    checkpoint=_mmpose.checkpoint("res50", "5521bead"),
    summary="Associative embedding, ResNet-50, bottom-up pose on COCO",
    licence=_mmpose.LICENCE,
    published=_mmpose.published(46.78, 46.60, 45.61),
    example_size_hw=(256, 320),
    variants=_mmpose.variants(),
)
