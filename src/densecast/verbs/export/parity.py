"""Compares an exported graph with its framework; every export has to pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from densecast.artifact import ParityRecord
from densecast.artifact.stored_answer import least_scale
from densecast.errors import BadGraphError, ParityError
from densecast.runtime import engine_words
from densecast.spec import limits
from densecast.spec.tensor import Array, Feeds

F32 = npt.NDArray[np.float32]
Network = Callable[[Feeds], Feeds]

# A graph may be this many times as far from the exact result as the framework's own float32 is: both round as often,
# in another order.
_NOISE_FACTOR = 2.0
# A framework that is itself this far off says nothing about a graph.
_LARGEST_NOISE = 1e-2
_MOST_KEPT_VALUES = 1 << 20
_ONE_SIZE = "Export it for one size only: --static 1xHEIGHTxWIDTH."


def check(
    framework: Network, graph: Network, inputs: Sequence[Feeds], tolerance: float, exact: Network | None = None
) -> ParityRecord:
    """Run both on every input and compare every output, relative to its largest value.

    Networks that amplify rounding (softmax over many pixels, untrained weights) may differ by more than
    `tolerance` although the graph is right. Then `exact`, the framework in float64, decides: the graph must be
    no further from it than twice the framework's own float32. Outputs of whole numbers, as labels, differ by the share
    of values that are not equal.

    Raises:
        ParityError: the largest difference exceeds `tolerance` times the framework's largest output, and the
            graph is further from `exact` than rounding explains; or a value is not finite.
        BadGraphError: the graph cannot run one of the shapes, or answers with another shape.
    """
    assert inputs, "parity is measured on at least one input"
    shapes = tuple(_shape(feed) for feed in inputs)
    pairs = [(framework(feed), _run(graph, feed)) for feed in inputs]
    for feed, (expected, actual) in zip(inputs, pairs, strict=True):
        for name, array in expected.items():
            _check_output(name, feed, array, actual[name])
    absolute = max(_absolute(actual[name], array) for expected, actual in pairs for name, array in expected.items())
    relative = max(_relative(actual, expected) for expected, actual in pairs)
    if limits.is_at_most("the tolerance", relative, tolerance):
        return ParityRecord(shapes, absolute, relative, tolerance)
    own_error = graph_error = None
    truths = _exactly(exact, inputs) if exact is not None else None
    if truths is not None:
        if not all(np.isfinite(array).all() for truth in truths for array in truth.values()):
            raise ParityError("the framework's output in float64 is not finite. The weights are broken.")
        own_error = max(_relative(expected, truth) for (expected, _), truth in zip(pairs, truths, strict=True))
        graph_error = max(_relative(actual, truth) for (_, actual), truth in zip(pairs, truths, strict=True))
        if own_error <= _LARGEST_NOISE and graph_error <= _NOISE_FACTOR * own_error:
            return ParityRecord(shapes, absolute, relative, tolerance, own_error)
    noise = "" if own_error is None else f" In float64 the framework differs from itself by {own_error:.1e} only."
    raise ParityError(
        f"the exported graph differs from the framework by {relative:.2e} of the largest output, "
        f"more than the tolerance {tolerance:.0e} (shapes {', '.join(str(list(shape)) for shape in shapes)}).{noise}"
    )


def _exactly(exact: Network, inputs: Sequence[Feeds]) -> list[Feeds] | None:
    """What the framework gives in float64; None for a network whose own code asks for another type."""
    try:
        return [exact(feed) for feed in inputs]
    except (RuntimeError, TypeError):  # torch's own, of two types in one operator
        return None


def _run(graph: Network, feed: Feeds) -> Feeds:
    try:
        return graph(feed)
    except Exception as error:  # engines raise their own kinds; any of them means the graph is unusable
        raise BadGraphError(
            f"the exported graph fails on {list(_shape(feed))}: {engine_words.reason(error)}. {_ONE_SIZE}",
            field="size_hw",
        ) from error


def _shape(feed: Feeds) -> tuple[int, ...]:
    """The shape of the first input, the image."""
    return tuple(next(iter(feed.values())).shape)


def _check_output(name: str, feed: Feeds, expected: Array, actual: Array) -> None:
    shape = list(_shape(feed))
    if actual.shape != expected.shape:
        raise BadGraphError(
            f"the exported graph turns {shape} into {list(actual.shape)}, the framework into {list(expected.shape)} "
            f"(output {name!r}): sizes that its code computes were those of the example. {_ONE_SIZE}",
            field="size_hw",
        )
    if actual.size == 0:
        raise BadGraphError(f"the exported graph's output {name!r} for {shape} is empty: {list(actual.shape)}.")
    if not (np.isfinite(expected).all() and np.isfinite(actual).all()):
        raise ParityError(f"the output {name!r} for {shape} is not finite. The weights or the export are broken.")


def _absolute(actual: Array, expected: Array) -> float:
    """The largest difference; for integers the share of values that differ."""
    if expected.dtype.kind != "f":
        return float(np.mean(actual != expected))
    difference: npt.NDArray[np.floating] = np.subtract(actual, expected)
    return float(np.abs(difference).max(initial=0.0))


def _relative(actual: Feeds, expected: Feeds) -> float:
    """The largest difference of any output, relative to its largest expected value."""
    return max(_relative_of_one(actual[name], array) for name, array in expected.items())


def _relative_of_one(actual: Array, expected: Array) -> float:
    difference = _absolute(actual, expected)
    if expected.dtype.kind != "f":
        return difference
    largest = max(float(np.abs(expected).max(initial=0.0)), least_scale(expected, actual))
    return difference / largest if largest > 0 else float(difference > 0)


def image_like(shape: tuple[int, ...], seed: int) -> F32:
    """Smooth fields with edges and noise, of zero mean and unit variance: closer to photographs than white noise."""
    # An export asks for the same small array again and again; drawing it takes longer than running a small network.
    return _kept(shape, seed).copy() if math.prod(shape) <= _MOST_KEPT_VALUES else _drawn(shape, seed)


def _drawn(shape: tuple[int, ...], seed: int) -> F32:
    rng = np.random.default_rng([seed, *shape])
    height, width = shape[-2:]
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(0, 1, width, dtype=np.float32)[None, :]
    planes = np.empty((int(np.prod(shape[:-2])), height, width), dtype=np.float32)
    for plane in planes:
        fx, fy = rng.uniform(1, 12, 2)
        px, py = rng.uniform(0, 2 * np.pi, 2)
        edge = (x * np.float32(rng.normal()) + y * np.float32(rng.normal())) > rng.normal() * 0.3
        plane[:] = np.sin(2 * np.pi * fx * x + px) * np.cos(2 * np.pi * fy * y + py) + edge
        plane += rng.normal(scale=0.2, size=(height, width)).astype(np.float32)
    planes -= planes.mean()
    planes /= planes.std() + 1e-6
    return planes.reshape(shape)


_kept = lru_cache(maxsize=12)(_drawn)
