"""A narrow DeepLabV3, trained by `training/segmentation_tiny.py` on procedurally generated streets."""

from densecast.zoo import _mmseg
from densecast.zoo._base import CheckpointSource, ProceduralData, ZooEntry

ENTRY = ZooEntry(
    spec=_mmseg.cityscapes("deeplabv3_tiny", long_side=512, short_side=256),
    network="deeplabv3",
    options={"base_width": 8, "blocks": (1, 1, 2, 3), "head_channels": 22, "rates": (2, 4, 6)},
    checkpoint=CheckpointSource(file="deeplabv3_tiny.safetensors", shipped=True),
    summary="DeepLabV3, ResNet of base width 8, on procedural streets",
    licence="Apache-2.0",
    data=ProceduralData(writer="write_cityscapes", count=400, seed=2000),
    example_size_hw=(256, 512),
)
