"""A narrow MobileNetV2, trained by `training/pose_tiny.py` on procedurally generated people."""

from densecast.zoo import _mmpose
from densecast.zoo._base import CheckpointSource, ProceduralData, ZooEntry

ENTRY = ZooEntry(
    spec=_mmpose.coco("mobilenetv2_ae_tiny", short_side=384, decode=_mmpose.SMALL_DECODE),
    network="pose_mobilenetv2",
    options={
        "stem_width": 8,
        "widths": (8, 16, 32, 64, 96, 160, 192),
        "blocks": (1, 2, 3, 4, 3, 3, 1),
        "expansion": 3,
        "last_width": 256,
        "head_channels": 80,
    },
    checkpoint=CheckpointSource(file="mobilenetv2_ae_tiny.safetensors", shipped=True),
    summary="Associative embedding, MobileNetV2 of small widths, on procedural people",
    licence="Apache-2.0",
    data=ProceduralData(writer="write_coco", count=400, seed=2000),
    example_size_hw=(384, 512),
    variants=_mmpose.variants(short_side=384, decode=_mmpose.SMALL_DECODE),
)
