"""A narrow HRNet, trained by `training/pose_tiny.py` on procedurally generated people."""

from dataclasses import replace

from densecast.zoo import _mmpose
from densecast.zoo._base import CheckpointSource, ProceduralData, ZooEntry

# With the last stage alone in 16 bits, AP falls by 1.1 points on images of two other seeds; with the branch of the
# highest resolution, of which joints' places are read, in 16 bits as well, by 0.5.
_KEEPS_FLOAT = (".*stage4.*", r".*branches\.0/.*")

ENTRY = ZooEntry(
    spec=replace(
        _mmpose.coco("hrnet_w32_ae_tiny", short_side=256, decode=_mmpose.SMALL_DECODE),
        excluded_names=_KEEPS_FLOAT,
    ),
    network="pose_hrnet",
    options={"base_width": 20, "stem_width": 16, "stem_blocks": 1, "modules": (2, 2, 1), "blocks": 1},
    checkpoint=CheckpointSource(file="hrnet_w32_ae_tiny.safetensors", shipped=True),
    summary="Associative embedding, HRNet of base width 20, on procedural people",
    licence="Apache-2.0",
    data=ProceduralData(writer="write_coco", count=400, seed=2000),
    example_size_hw=(256, 320),
    variants=_mmpose.variants(short_side=256, decode=_mmpose.SMALL_DECODE),
)
