"""A narrow OCRNet, trained by `training/segmentation_tiny.py` on procedurally generated streets."""

from densecast.zoo import _mmseg
from densecast.zoo._base import CheckpointSource, ProceduralData, ZooEntry

ENTRY = ZooEntry(
    spec=_mmseg.ocrnet("ocrnet_hr18s_tiny", long_side=512, short_side=256),
    network="ocrnet",
    options={
        "base_width": 8,
        "stem_width": 24,
        "stem_blocks": 1,
        "modules": (1, 1, 1),
        "blocks": 2,
        "ocr_channels": 64,
        "ocr_key_channels": 24,
    },
    checkpoint=CheckpointSource(file="ocrnet_hr18s_tiny.safetensors", shipped=True),
    summary="OCRNet, HRNet of base width 8, on procedural streets",
    licence="Apache-2.0",
    data=ProceduralData(writer="write_cityscapes", count=400, seed=2000),
    example_size_hw=(256, 512),
)
