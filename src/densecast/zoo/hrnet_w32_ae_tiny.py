"""The same pose HRNet, narrow and shallow, trained by `training/pose_tiny.py` on pictures drawn by the project."""

from densecast.core.zoo_entry import CheckpointSource, ProceduralData, ZooEntry
from densecast.zoo import _mmpose

ENTRY = ZooEntry(
    spec=_mmpose.coco("hrnet_w32_ae_tiny", short_side=256),
    network="pose_hrnet",
    options={"base_width": 12, "stem_width": 24, "stem_blocks": 1, "modules": (1, 1, 1), "blocks": 2},
    checkpoint=CheckpointSource(file="hrnet_w32_ae_tiny.safetensors", shipped=True),
    summary="Associative embedding, HRNet of width 12, on procedural people: small enough to ship",
    licence="Apache-2.0",
    data=ProceduralData(writer="write_coco", count=400, seed=2000),
    example_size_hw=(256, 320),
    protocols=_mmpose.protocols(short_side=256),
)
