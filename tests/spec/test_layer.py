"""Multiplications of a network are the sum of its layers', or not known."""

from __future__ import annotations

from densecast.spec.layer import Layer, total_macs


def layer(macs: int | None) -> Layer:
    return Layer("a", "Conv", (1, 8, 4, 4), 72, macs, "float32")


def test_multiplications_are_all_layers_or_not_known() -> None:
    assert total_macs([layer(5), layer(0), layer(7)]) == 12
    assert total_macs([]) == 0
    # A sum over some of them would pass for that of the network.
    assert total_macs([layer(5), layer(None)]) is None
