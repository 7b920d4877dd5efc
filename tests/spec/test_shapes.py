"""What was asked, within what the graph takes, is what the built model takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny_specs

from densecast.errors import BadShapeError, UsageError
from densecast.spec.options import InputShape, Range
from densecast.spec.shapes import built_input
from densecast.spec.tensor import Dim, TensorSpec, check_feeds

N, H, W = Dim("N", 1, 16), Dim("H", 32, 512, 16), Dim("W", 32, 512)
OPEN = TensorSpec("image", "float32", (N, 3, H, W))
FIXED = TensorSpec("image", "float32", (2, 3, 64, 96))


@pytest.mark.parametrize(
    ("source", "asked", "wanted"),
    [
        (OPEN, InputShape(), (1, 3, H, W)),
        (OPEN, InputShape(batch=(4,), height=64, width=100), (4, 3, 64, 100)),
        (OPEN, InputShape(batch=(16, 1, 4)), (N, 3, H, W)),
        (OPEN, InputShape(batch=(2, 4)), (Dim("N", 2, 4), 3, H, W)),
        (OPEN, InputShape(batch=Range(1, 8), width=Range(64, 128)), (Dim("N", 1, 8), 3, H, Dim("W", 64, 128))),
        (OPEN, InputShape(batch=Range(4, 4), height=Range(64, 64)), (4, 3, 64, W)),
        (OPEN, InputShape(height=Range(64, 128)), (1, 3, Dim("H", 64, 128, 16), W)),
        (FIXED, InputShape(batch=(2,)), (2, 3, 64, 96)),
        (FIXED, InputShape(batch=Range(2, 2), height=64, width=96), (2, 3, 64, 96)),
    ],
)
def test_sizes_are_narrowed(source: TensorSpec, asked: InputShape, wanted: tuple[int | Dim, ...]) -> None:
    built = built_input(source, asked, uint8=False)
    assert built.shape == wanted and built.dtype == "float32"
    assert built_input(source, asked, uint8=True).dtype == "uint8"


@pytest.mark.parametrize(
    ("source", "asked", "axis"),
    [
        (OPEN, InputShape(batch=(17,)), "batch"),
        (OPEN, InputShape(batch=Range(1, 17)), "batch"),
        (OPEN, InputShape(height=40), "height"),
        (OPEN, InputShape(width=31), "width"),
        (OPEN, InputShape(width=Range(1, 64)), "width"),
        (FIXED, InputShape(), "batch"),
        (FIXED, InputShape(batch=(2,), width=Range(64, 128)), "width"),
    ],
)
def test_sizes_beyond_the_graph_are_refused(source: TensorSpec, asked: InputShape, axis: str) -> None:
    with pytest.raises(BadShapeError, match=f"^{axis} .* was requested, but the exported graph takes"):
        built_input(source, asked, uint8=False)


@pytest.mark.parametrize("wrong", [{"batch": ()}, {"batch": (0,)}, {"batch": (1, -2)}, {"height": 0}, {"width": -4}])
def test_shapes_that_are_none_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        InputShape(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("bounds", [(0, 4), (5, 4), (-3, -1)])
def test_empty_ranges_are_refused(bounds: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="1 <= min <= max"):
        Range(*bounds)


@pytest.mark.parametrize("shape", [(1, 3, 48, 33), (16, 3, 512, 512), (1, 3, 32, 32)])
def test_arrays_within_the_spec_pass(shape: tuple[int, ...]) -> None:
    check_feeds((OPEN,), {"image": np.zeros(shape, np.float32)})


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((1, 3, 40, 33), np.float32),
        np.zeros((17, 3, 48, 33), np.float32),
        np.zeros((1, 3, 16, 33), np.float32),
        np.zeros((1, 3, 48, 513), np.float32),
        np.zeros((3, 48, 33), np.float32),
        np.zeros((1, 1, 3, 48, 33), np.float32),
        np.zeros((1, 3, 48, 33), np.float64),
        np.zeros((1, 3, 48, 33), np.uint8),
        np.zeros((0, 3, 48, 33), np.float32),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_outside_the_spec_are_refused_with_promise_and_fact(array: np.ndarray) -> None:
    with pytest.raises(BadShapeError) as caught:
        check_feeds((OPEN,), {"image": array})
    assert "float32 [N in 1..16, 3, H in 32..512 step 16, W in 32..512]" in str(caught.value)
    assert f"got {array.dtype} {list(array.shape)}" in str(caught.value)


def test_another_main_output_leaves_the_others_in_place() -> None:
    names = ("main", "second", "third")
    outputs = tuple(TensorSpec(name, "float32", (1, 2, 8, 8)) for name in names)
    changed = replace(tiny_specs.segmentation(), outputs=outputs).with_output(TensorSpec("new", "float32", (1, 1)))
    assert [each.name for each in changed.outputs] == ["new", "second", "third"]
