"""The model: the network with its preprocessing, data set and metric, known to densecast as `depth_tiny`."""

from __future__ import annotations

from densecast import CheckpointSource, Dim, Evaluation, ModelSpec, Native, Preprocess, TensorSpec, ZooEntry
from my_depth.task import DepthDecode

SIZES = (Dim("N", 1, 16), 3, Dim("H", 16, 512, 2), Dim("W", 16, 512, 2))
OUTPUT = (SIZES[0], 1, Dim("H_out", 8, 256), Dim("W_out", 8, 256))

SPEC = ModelSpec(
    name="depth_tiny",
    task="depth",
    inputs=(TensorSpec("image", "float32", SIZES),),
    outputs=(TensorSpec("depth", "float32", OUTPUT), TensorSpec("confidence", "float32", OUTPUT)),
    preprocess=Preprocess(Native()),
    decode=DepthDecode(max_m=20.0),
    labels=(),
    palette=(),
    evaluation=Evaluation("depth_folder", "depth_errors"),
)

ENTRY = ZooEntry(
    spec=SPEC,
    network="depth_tiny",
    options={"width": 16},
    checkpoint=CheckpointSource("depth_tiny.pth"),
    summary="Depth from the brightness of rooms without furniture",
    licence="MIT",
    example_size_hw=(72, 96),
)
