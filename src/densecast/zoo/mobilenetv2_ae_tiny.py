"""The same pose MobileNetV2, a quarter as wide, trained by `training/pose_tiny.py` on pictures drawn by the project."""

from densecast.core.zoo_entry import CheckpointSource, ProceduralData, ZooEntry
from densecast.zoo import _mmpose

ENTRY = ZooEntry(
    spec=_mmpose.coco("mobilenetv2_ae_tiny", short_side=256),
    network="pose_mobilenetv2",
    options={
        "stem_width": 16,
        "widths": (8, 16, 24, 32, 48, 64, 96),
        "blocks": (1, 2, 3, 3, 2, 2, 1),
        "last_width": 256,
        "head_channels": 64,
    },
    checkpoint=CheckpointSource(file="mobilenetv2_ae_tiny.safetensors", shipped=True),
    summary="Associative embedding, narrow MobileNetV2, on procedural people: small enough to ship",
    licence="Apache-2.0",
    data=ProceduralData(writer="write_coco", count=400, seed=2000),
    example_size_hw=(256, 320),
    protocols=_mmpose.protocols(short_side=256),
)
