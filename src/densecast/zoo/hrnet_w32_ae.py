"""Bottom-up pose by associative embedding with HRNet-W32, on COCO."""

from densecast.zoo import _mmpose
from densecast.zoo._base import ZooEntry

ENTRY = ZooEntry(
    spec=_mmpose.coco("hrnet_w32_ae"),
    network="pose_hrnet",
    options={},
    checkpoint=_mmpose.checkpoint("hrnet_w32", "bcb8c247"),
    summary="Associative embedding, HRNet-W32, bottom-up pose on COCO",
    licence=_mmpose.LICENCE,
    published=_mmpose.published(65.42, 65.37, 62.49),
    example_size_hw=(256, 320),
    variants=_mmpose.variants(),
)
