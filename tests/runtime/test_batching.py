"""Batches of network inputs: contents, order, padding, and rows that are their own batch."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from densecast.runtime.batching import Buffers, batches, neighbours
from densecast.spec.tensor import Array, Dim, Feeds, TensorSpec


def spec(batch: int | Dim, name: str = "image") -> TensorSpec:
    return TensorSpec(name, "float32", (batch, 3, Dim("H", 1, 64), Dim("W", 1, 64)))


def items(arrays: Iterable[Array]) -> list[Feeds]:
    return [{"image": array} for array in arrays]


def batches_of(
    arrays: Iterable[Array], batch: TensorSpec, listed: tuple[int, ...] | None, buffers: Buffers
) -> list[tuple[list[int], Array]]:
    """The batches of networks with one input."""
    return [(chosen, feeds["image"]) for chosen, feeds in batches(items(arrays), (batch,), listed, buffers)]


def inputs(*sizes_hw: tuple[int, int]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.random((3, *size_hw), dtype=np.float32) for size_hw in sizes_hw]


@pytest.mark.parametrize(
    ("batch", "listed", "sizes"),
    [(1, (1,), [1] * 5), (4, (4,), [4, 4]), (Dim("N", 1, 3), None, [3, 2]), (Dim("N", 1, 8), (1, 2), [2, 2, 1])],
)
def test_every_input_is_in_one_batch_in_order(
    batch: int | Dim, listed: tuple[int, ...] | None, sizes: list[int]
) -> None:
    arrays = inputs(*[(4, 6)] * 5)
    buffers = Buffers()
    for arrangement in (arrays, list(np.stack(arrays))):
        buffers.turn()
        found = batches_of(arrangement, spec(batch), listed, buffers)
        assert [len(made) for _, made in found] == sizes
        assert [index for chosen, _ in found for index in chosen] == list(range(5))
        for chosen, made in found:
            np.testing.assert_array_equal(made[: len(chosen)], np.stack([arrays[index] for index in chosen]))
            assert not made[len(chosen) :].any()


def test_rows_of_one_array_are_not_copied() -> None:
    whole = np.stack(inputs(*[(4, 6)] * 4))
    ((_, made),) = batches_of(list(whole), spec(4), (4,), Buffers())
    assert made.base is whole and np.shares_memory(made, whole) and made.flags.c_contiguous
    for arrangement in (list(whole[::-1]), [whole[0], whole[0], whole[1], whole[2]], list(whole[:, :, :, ::-1])):
        ((_, made),) = batches_of(arrangement, spec(4), (4,), Buffers())
        assert not np.shares_memory(made, whole)
        np.testing.assert_array_equal(made, np.stack(arrangement))


def test_memory_of_something_else_is_no_row_of_an_array() -> None:
    held = np.frombuffer(bytes(3 * 4 * 6 * 4), np.float32).reshape(3, 4, 6)
    assert neighbours([held]) is None
    assert neighbours([np.zeros((3, 4, 6), np.float32)]) is None


def test_inputs_of_several_sizes_do_not_mix() -> None:
    arrays = inputs((4, 6), (6, 4), (4, 6))
    found = {tuple(chosen): made.shape for chosen, made in batches_of(arrays, spec(Dim("N", 1, 8)), None, Buffers())}
    assert found == {(0, 2): (2, 3, 4, 6), (1,): (1, 3, 6, 4)}


def test_every_input_of_a_network_has_its_batch_of_the_same_items() -> None:
    large, small = inputs(*[(8, 12)] * 3, (6, 4)), inputs(*[(4, 6)] * 3, (3, 2))
    both = [{"image": one, "thumbnail": other} for one, other in zip(large, small, strict=True)]
    found = list(batches(both, (spec(Dim("N", 1, 2)), spec(Dim("N", 1, 2), "thumbnail")), None, Buffers()))
    assert [chosen for chosen, _ in found] == [[0, 1], [2], [3]]
    for chosen, feeds in found:
        np.testing.assert_array_equal(feeds["image"], np.stack([large[index] for index in chosen]))
        np.testing.assert_array_equal(feeds["thumbnail"], np.stack([small[index] for index in chosen]))


def test_items_whose_second_inputs_differ_in_size_do_not_mix() -> None:
    both = [
        {"image": one, "thumbnail": other}
        for one, other in zip(inputs(*[(8, 12)] * 3), inputs((4, 6), (3, 2), (4, 6)), strict=True)
    ]
    specs = (spec(Dim("N", 1, 8)), spec(Dim("N", 1, 8), "thumbnail"))
    assert [chosen for chosen, _ in batches(both, specs, None, Buffers())] == [[0, 2], [1]]


def test_buffers_come_back_the_next_turn_and_not_before() -> None:
    buffers = Buffers()
    first, second = buffers.empty((3, 4), "float32"), buffers.empty((3, 4), "float32")
    assert first is not second
    buffers.turn()
    again = [buffers.empty((3, 4), "float32") for _ in range(3)]
    assert {id(first), id(second)} < {id(array) for array in again}
    assert buffers.empty((3, 4), "uint8").dtype == np.uint8


def test_buffers_hold_only_what_the_last_turn_used() -> None:
    buffers = Buffers()
    large = buffers.empty((1000,), "float32")
    for size in range(1, 4):
        buffers.turn()
        buffers.empty((size,), "float32")
    buffers.turn()
    assert buffers.empty((1000,), "float32") is not large
