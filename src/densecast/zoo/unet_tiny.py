"""UNet at an eighth of the width, trained by `training/unet_tiny.py` on procedurally generated images."""

from dataclasses import replace

from densecast.zoo._base import CheckpointSource, ProceduralData, ZooEntry
from densecast.zoo.unet_carvana import ENTRY as _CARVANA

ENTRY = ZooEntry(
    spec=replace(_CARVANA.spec, name="unet_tiny"),
    network="unet",
    options={**_CARVANA.options, "base_width": 8},
    checkpoint=CheckpointSource(file="unet_tiny.safetensors", shipped=True),
    summary="UNet (base 8) on procedural cars: small enough to ship, trained well enough to lose accuracy",
    licence="Apache-2.0",
    data=ProceduralData(writer="write_carvana", count=320, seed=2000),
    example_size_hw=(320, 479),
    has_graph=True,
)
