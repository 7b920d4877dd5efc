"""MagicMind's BuilderConfig as JSON, with the arguments that the reference deployments built with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from densecast.core.precision import Precision
from densecast.core.tensor import TensorSpec

# Clusters by architecture, as the references list them for the MLU370.
_ARCHITECTURES = [{"mtp_372": [2, 6, 8]}]


def builder_config(spec: TensorSpec, precision: Precision, sizes_hw: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """The keys of `gen_model`'s configuration; several sizes make the graph's shape open between them.

    There is no `insert_bn_before_firstnode`: a network that takes bytes has its normalisation in its graph already, and
    would be normalised twice.
    """
    precision_config = {"precision_mode": str(precision)}
    if precision == "qint8_mixed_float16":
        precision_config |= {"weight_quant_granularity": "per_tensor", "activation_quant_algo": "symmetric"}
    config: dict[str, Any] = {
        "archs": _ARCHITECTURES,
        "precision_config": precision_config,
        "graph_shape_mutable": len(sizes_hw) > 1,
        "computation_preference": "fast",
        "opt_config": {"type64to32_conversion": True, "conv_scale_fold": True},
    }
    if len(sizes_hw) > 1:
        heights, widths = zip(*sizes_hw, strict=True)
        low, high = ([spec.shape[0], 3, side(heights), side(widths)] for side in (min, max))
        config["dim_range"] = {"0": {"min": low, "max": high}}
    return config
