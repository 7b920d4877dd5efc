"""The gate that every export passes."""

import numpy as np
import pytest

from densecast.errors import BadGraphError, ParityError
from densecast.verbs.export import parity

INPUTS = [parity.image_like((1, 3, 16, 16), 1)]


def framework(feed: np.ndarray) -> np.ndarray:
    return feed * np.float32(2)


def test_a_difference_above_the_tolerance_fails_without_an_exact_result() -> None:
    with pytest.raises(ParityError, match="more than the tolerance"):
        parity.check(framework, lambda feed: framework(feed) + np.float32(0.1), INPUTS, 1e-4)


def test_a_graph_as_near_to_the_exact_result_as_its_framework_passes() -> None:
    def exact(feed: np.ndarray) -> np.ndarray:
        return feed.astype(np.float64) * 2 + 1e-3  # the framework is off by as much as this

    def graph(feed: np.ndarray) -> np.ndarray:
        return framework(feed) + np.float32(2e-3)

    record = parity.check(framework, graph, INPUTS, 1e-4, exact)
    assert record.relative_error > record.tolerance
    assert record.framework_error == pytest.approx(1e-3 / np.abs(exact(INPUTS[0])).max(), rel=1e-3)


def test_a_graph_further_from_the_exact_result_than_rounding_fails() -> None:
    def exact(feed: np.ndarray) -> np.ndarray:
        return feed.astype(np.float64) * 2

    with pytest.raises(ParityError, match="In float64 the framework differs from itself"):
        parity.check(framework, lambda feed: framework(feed) + np.float32(1e-2), INPUTS, 1e-4, exact)


def test_a_framework_that_is_itself_far_off_excuses_nothing() -> None:
    def exact(feed: np.ndarray) -> np.ndarray:
        return feed.astype(np.float64) * 3

    with pytest.raises(ParityError):
        parity.check(framework, lambda feed: framework(feed) + np.float32(0.1), INPUTS, 1e-4, exact)


def test_an_exact_result_that_is_not_finite_excuses_nothing() -> None:
    framework = np.ones((1, 2, 4, 4), np.float32)
    graph = framework + np.float32(1e-3)
    exact = framework.astype(np.float64)
    # Not the first: a comparison with NaN must not lose it.
    exacts = iter([exact, np.full_like(exact, np.nan)])
    with pytest.raises(ParityError, match="float64 is not finite"):
        parity.check(lambda feed: framework, lambda feed: graph, [framework] * 2, 1e-4, lambda feed: next(exacts))


def test_an_empty_output_was_not_compared() -> None:
    empty = np.zeros((1, 2, 0, 4), np.float32)
    with pytest.raises(BadGraphError, match="is empty"):
        parity.check(lambda feed: empty, lambda feed: empty, [np.ones((1, 3, 4, 4), np.float32)], 1e-4)
