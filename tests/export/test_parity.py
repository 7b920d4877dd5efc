"""The gate that every export passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from densecast.errors import BadGraphError, ParityError
from densecast.spec.tensor import Array, Feeds
from densecast.verbs.export import parity

IMAGE = parity.image_like((1, 3, 16, 16), 1)
INPUTS: list[Feeds] = [{"image": IMAGE}]


def one(compute: Callable[[Any], Array]) -> parity.Network:
    """A network of one output."""
    return lambda feeds: {"logits": compute(feeds["image"])}


def check(framework, graph, inputs, tolerance, exact=None):  # type: ignore[no-untyped-def]
    """`parity.check` of networks that are functions of one array."""
    feeds = [{"image": array} for array in inputs]
    return parity.check(one(framework), one(graph), feeds, tolerance, one(exact) if exact else None)


def framework(feed: np.ndarray) -> np.ndarray:
    return feed * np.float32(2)


def test_a_difference_above_the_tolerance_fails_without_an_exact_result() -> None:
    with pytest.raises(ParityError, match="more than the tolerance"):
        check(framework, lambda feed: framework(feed) + np.float32(0.1), [IMAGE], 1e-4)


def test_a_framework_that_cannot_compute_in_float64_is_compared_as_it_is() -> None:
    def exact(feed: np.ndarray) -> np.ndarray:
        raise RuntimeError("expected scalar type Double but found Float")

    with pytest.raises(ParityError, match=r"more than the tolerance[^.]*\.$"):
        check(framework, lambda feed: framework(feed) + np.float32(0.1), [IMAGE], 1e-1 / 64, exact)


def test_a_graph_as_near_to_the_exact_result_as_its_framework_passes() -> None:
    def exact(feed: np.ndarray) -> np.ndarray:
        return feed.astype(np.float64) * 2 + 1e-3  # the framework is off by as much as this

    def graph(feed: np.ndarray) -> np.ndarray:
        return framework(feed) + np.float32(2e-3)

    record = check(framework, graph, [IMAGE], 1e-4, exact)
    assert record.relative_error > record.tolerance
    assert record.framework_error == pytest.approx(1e-3 / np.abs(exact(IMAGE)).max(), rel=1e-3)


def test_a_graph_further_from_the_exact_result_than_rounding_fails() -> None:
    def exact(feed: np.ndarray) -> np.ndarray:
        return feed.astype(np.float64) * 2

    with pytest.raises(ParityError, match="In float64 the framework differs from itself"):
        check(framework, lambda feed: framework(feed) + np.float32(1e-2), [IMAGE], 1e-4, exact)


@pytest.mark.parametrize(("times", "passes"), [(1.9, True), (2.2, False)])
def test_a_graph_may_be_twice_as_far_from_the_exact_result_as_its_framework(times: float, passes: bool) -> None:
    own = 1e-3

    def exact(feed: np.ndarray) -> np.ndarray:
        return feed.astype(np.float64) * 2 + own

    def graph(feed: np.ndarray) -> np.ndarray:
        return (feed.astype(np.float64) * 2 + own - times * own).astype(np.float32)

    if passes:
        assert check(framework, graph, [IMAGE], 1e-5, exact).framework_error is not None
        return
    with pytest.raises(ParityError, match="In float64 the framework differs from itself"):
        check(framework, graph, [IMAGE], 1e-5, exact)


def test_a_framework_that_is_itself_far_off_excuses_nothing() -> None:
    def exact(feed: np.ndarray) -> np.ndarray:
        return feed.astype(np.float64) * 3

    with pytest.raises(ParityError):
        check(framework, lambda feed: framework(feed) + np.float32(0.1), [IMAGE], 1e-4, exact)


def test_an_exact_result_that_is_not_finite_excuses_nothing() -> None:
    framework = np.ones((1, 2, 4, 4), np.float32)
    graph = framework + np.float32(1e-3)
    exact = framework.astype(np.float64)
    # Not the first: a comparison with NaN must not lose it.
    exacts = iter([exact, np.full_like(exact, np.nan)])
    with pytest.raises(ParityError, match="float64 is not finite"):
        check(lambda feed: framework, lambda feed: graph, [framework] * 2, 1e-4, lambda feed: next(exacts))


def test_an_empty_output_was_not_compared() -> None:
    empty = np.zeros((1, 2, 0, 4), np.float32)
    with pytest.raises(BadGraphError, match="is empty"):
        check(lambda feed: empty, lambda feed: empty, [np.ones((1, 3, 4, 4), np.float32)], 1e-4)


def test_every_output_is_compared_by_its_own_largest_value() -> None:
    def framework(feeds: Feeds) -> Feeds:
        return {"logits": feeds["image"] * np.float32(1000), "aux": np.ones((1, 2), np.float32)}

    def graph(feeds: Feeds) -> Feeds:
        return framework(feeds) | {"aux": np.full((1, 2), 1.01, np.float32)}

    with pytest.raises(ParityError, match=r"differs from the framework by 1\.00e-02"):
        parity.check(framework, graph, INPUTS, 1e-3)
    assert parity.check(framework, graph, INPUTS, 2e-2).relative_error == pytest.approx(0.01, rel=1e-3)


def test_whole_numbers_differ_by_the_share_that_is_another() -> None:
    def labels(number: int) -> parity.Network:
        array = np.zeros((1, 10, 10), np.int64)
        array[0, 0, :number] = 7
        return lambda _: {"labels": array}

    assert parity.check(labels(0), labels(1), INPUTS, 0.02).relative_error == 0.01
    with pytest.raises(ParityError):
        parity.check(labels(0), labels(1), INPUTS, 1e-4)


def test_parity_judges_the_largest_difference_by_the_largest_output() -> None:
    feeds = [parity.image_like((1, 3, 8, 8), 0), parity.image_like((2, 3, 8, 12), 0)]
    record = check(lambda x: 4 * x, lambda x: 4 * x + np.float32(0.01), feeds, 1e-2)
    largest = min(float(np.abs(4 * feed).max()) for feed in feeds)
    # 0.01 is added in float32 to numbers around ten.
    assert record.absolute_error == pytest.approx(0.01, rel=1e-3)
    assert record.relative_error == pytest.approx(0.01 / largest, rel=1e-3)
    assert record.shapes == ((1, 3, 8, 8), (2, 3, 8, 12))
    with pytest.raises(ParityError, match="more than the tolerance 1e-04"):
        check(lambda x: 4 * x, lambda x: 4 * x + np.float32(0.01), feeds, 1e-4)
    assert check(lambda x: 4 * x, lambda x: 4 * x, feeds, 0.0).relative_error == 0.0


def test_parity_refuses_other_shapes_failures_and_what_is_not_finite() -> None:
    feed = [parity.image_like((1, 3, 8, 8), 0)]

    def fails(_: np.ndarray) -> np.ndarray:
        raise RuntimeError("unsupported\nby this engine")

    with pytest.raises(BadGraphError, match=r"into \[1, 3, 8, 7\]"):
        check(lambda x: x, lambda x: x[..., 1:], feed, 1.0)
    with pytest.raises(BadGraphError, match="unsupported"):
        check(lambda x: x, fails, feed, 1.0)
    with pytest.raises(ParityError, match="not finite"):
        check(lambda x: x * np.nan, lambda x: x, feed, 1.0)
    with pytest.raises(ParityError, match="not finite"):
        check(lambda x: x, lambda x: x * np.inf, feed, 1.0)


def test_a_graph_that_gives_other_sizes_than_its_framework_is_to_be_exported_for_one_size() -> None:
    with pytest.raises(BadGraphError, match=r"turns \[1, 3, 16, 16\] into \[1, 3, 8, 16\], the .*--static") as caught:
        check(framework, lambda feed: framework(feed)[:, :, ::2], [IMAGE], 1e-4)
    assert caught.value.field == "size_hw"
