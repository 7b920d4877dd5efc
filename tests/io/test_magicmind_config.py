"""The BuilderConfig's keys are the references'; normalisation is never in two places."""

from __future__ import annotations

from densecast.io.vendor_formats import builder_config
from densecast.spec.tensor import Dim, TensorSpec

OPEN = (4, 3, Dim("H", 32, 512), Dim("W", 32, 512))


def test_one_size_is_immutable_and_several_are_a_range() -> None:
    one = builder_config(TensorSpec("image", "float32", (4, 3, 48, 48)), "force_float16", [(48, 48)])
    assert one["graph_shape_mutable"] is False and "dim_range" not in one
    several = builder_config(TensorSpec("image", "float32", OPEN), "force_float16", [(64, 128), (128, 96)])
    assert several["graph_shape_mutable"] is True
    assert several["dim_range"] == {"0": {"min": [4, 3, 64, 96], "max": [4, 3, 128, 128]}}


def test_bytes_are_normalised_by_the_graph_alone() -> None:
    config = builder_config(TensorSpec("image", "uint8", (1, 3, 48, 48)), "force_float32", [(48, 48)])
    assert "insert_bn_before_firstnode" not in config
