"""A narrow FCN, trained by `training/segmentation_tiny.py` on procedurally generated streets."""

from densecast.zoo import _mmseg
from densecast.zoo._base import CheckpointSource, ProceduralData, ZooEntry

ENTRY = ZooEntry(
    spec=_mmseg.cityscapes("fcn_tiny", long_side=512, short_side=256),
    network="fcn",
    options={"classes": 19, "base_width": 8, "blocks": (2, 2, 3, 2), "head_channels": 40},
    checkpoint=CheckpointSource(file="fcn_tiny.safetensors", shipped=True),
    summary="FCN, ResNet of base width 8, on procedural streets",
    licence="Apache-2.0",
    data=ProceduralData(writer="write_cityscapes", count=400, seed=2000),
    example_size_hw=(256, 512),
)
