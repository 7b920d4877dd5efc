"""Reads back which number types the layers of a compiled OpenVINO model run in."""

from __future__ import annotations

from collections import Counter
from typing import Any

# The layers that hold nearly all of a network's arithmetic, under OpenVINO's names for what it executes.
_COUNTED = {"Convolution", "Deconvolution", "GroupConvolution", "MatMul", "FullyConnected"}
TYPES = {"f32": "float32", "f16": "float16", "bf16": "bfloat16", "i8": "int8", "u8": "int8"}


def counted(compiled: Any) -> dict[str, int]:
    """Convolutions and matrix products of the compiled graph, by type."""
    layers: Counter[str] = Counter()
    for operation in compiled.get_runtime_model().get_ops():
        info = operation.get_rt_info()
        if info["layerType"].astype(str) in _COUNTED:
            kind = info["runtimePrecision"].astype(str)
            layers[TYPES.get(kind, kind)] += 1
    return dict(layers)
