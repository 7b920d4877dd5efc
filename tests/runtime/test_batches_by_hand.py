"""Which items run together, in which sizes, and when their batch is a part of one larger array as it is."""

from __future__ import annotations

import numpy as np
import pytest

from densecast.runtime.batching import Buffers, batches, neighbours
from densecast.spec.tensor import Array, Dim, TensorSpec

SPEC = TensorSpec("x", "float32", (Dim("N", 2, 4), 1, Dim("H", 1, 9), Dim("W", 1, 9)))


def items(*widths: int) -> list[dict[str, Array]]:
    return [{"x": np.full((1, 2, width), place + 1, np.float32)} for place, width in enumerate(widths)]


def run(
    given: list[dict[str, Array]], listed: tuple[int, ...] | None = None
) -> list[tuple[list[int], int, list[float]]]:
    """The indices of each batch, its size, and the first value of each of its rows."""
    found = []
    for chosen, batch in batches(given, (SPEC,), listed, Buffers()):
        found.append((list(chosen), len(batch["x"]), [float(row.flat[0]) for row in batch["x"]]))
    return found


def test_items_of_one_shape_run_together_up_to_the_largest_batch() -> None:
    assert run(items(3, 3, 3, 3)) == [([0, 1, 2, 3], 4, [1, 2, 3, 4])]
    # The last ones are filled up to the smallest batch with zeros.
    assert run(items(3, 3, 3, 3, 3)) == [([0, 1, 2, 3], 4, [1, 2, 3, 4]), ([4], 2, [5, 0])]
    assert run(items(3, 5, 3)) == [([0, 2], 2, [1, 3]), ([1], 2, [2, 0])]
    assert run([]) == []


@pytest.mark.parametrize(
    ("count", "sizes"), [(1, [1]), (2, [1, 1]), (3, [3]), (4, [3, 1]), (7, [3, 3, 1]), (8, [8]), (12, [8, 3, 1])]
)
def test_of_listed_sizes_the_largest_that_can_be_filled_is_taken(count: int, sizes: list[int]) -> None:
    found = run(items(*[3] * count), (1, 3, 8))
    assert [size for _, size, _ in found] == sizes
    assert [index for chosen, _, _ in found for index in chosen] == list(range(count))


def test_where_no_listed_size_can_be_filled_the_smallest_is_filled_up() -> None:
    assert run(items(3, 3), (4, 8)) == [([0, 1], 4, [1, 2, 0, 0])]
    assert run(items(3, 3, 3, 3, 3), (4,)) == [([0, 1, 2, 3], 4, [1, 2, 3, 4]), ([4], 4, [5, 0, 0, 0])]


WHOLE = np.arange(4 * 6, dtype=np.float32).reshape(4, 1, 2, 3).copy()


def test_neighbouring_rows_are_their_batch_as_they_are() -> None:
    for rows in ([0, 1, 2, 3], [1, 2], [3]):
        found = neighbours([WHOLE[row] for row in rows])
        assert found is not None and np.shares_memory(found, WHOLE)
        np.testing.assert_array_equal(found, WHOLE[rows])


@pytest.mark.parametrize(
    "arrays",
    [
        [WHOLE[1], WHOLE[0]], [WHOLE[0], WHOLE[2]], [WHOLE[0], WHOLE[0]], [WHOLE[3], WHOLE[3]], [WHOLE[2].copy()],
        [WHOLE[0], WHOLE.copy()[1]], [WHOLE[0, :, :, :2]], [WHOLE[0][:, ::-1]],
        [WHOLE[0].view(np.int32)],
    ],
)  # fmt: skip
def test_other_arrays_are_no_neighbours(arrays: list[Array]) -> None:
    assert neighbours(arrays) is None


def test_rows_that_are_not_neighbours_are_copied_in_their_order() -> None:
    ((chosen, batch),) = batches([{"x": WHOLE[2]}, {"x": WHOLE[0]}], (SPEC,), None, Buffers())
    assert list(chosen) == [0, 1] and not np.shares_memory(batch["x"], WHOLE)
    np.testing.assert_array_equal(batch["x"], WHOLE[[2, 0]])
    ((_, same),) = batches([{"x": WHOLE[1]}, {"x": WHOLE[2]}], (SPEC,), None, Buffers())
    assert np.shares_memory(same["x"], WHOLE)
    # Filled up to the smallest batch it is a copy, whose last row is zero.
    ((_, filled),) = batches([{"x": WHOLE[1]}], (SPEC,), None, Buffers())
    np.testing.assert_array_equal(filled["x"], [WHOLE[1], np.zeros_like(WHOLE[1])])
