"""A tensor is too large for a network only by both measures: what any network may make, and what its input allows."""

from __future__ import annotations

import pytest

from densecast.backends import _openvino_model

openvino = pytest.importorskip("openvino")


def spread(side: int, values: int) -> object:
    """A model that spreads an input of (1, 1, side, side) over as many values; it is never compiled."""
    from openvino import opset8

    given = opset8.parameter([1, 1, side, side], openvino.Type.f32, name="image")
    one = opset8.reduce_mean(given, [0, 1, 2, 3], True)
    return openvino.Model([opset8.broadcast(one, [1, 1, values // 1024, 1024])], [given])


@pytest.mark.parametrize(
    ("side", "values", "is_taken"),
    [
        (8, 1 << 28, True),  # far more than 4096 times the input, and no more than any network may have
        (8, (1 << 28) + 1024, False),
        (512, 1 << 30, True),  # 4096 times the input
        (512, (1 << 30) + 1024, False),
    ],
)
def test_a_tensor_is_too_large_only_by_both_measures(side: int, values: int, is_taken: bool) -> None:
    model = spread(side, values)
    if is_taken:
        _openvino_model.check_sizes(model)
    else:
        with pytest.raises(ValueError, match="makes a tensor of"):
            _openvino_model.check_sizes(model)
