"""Refuses graphs that are the network for one image alone: decisions that tracing kept, answers that never read it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from densecast.artifact import ParityRecord
from densecast.artifact.stored_answer import least_scale
from densecast.errors import BadGraphError, DensecastError, ParityError
from densecast.runtime import engine_words
from densecast.spec.tensor import Array, Feeds
from densecast.verbs.export import outputs, parity

Network = Callable[[Feeds], Feeds]

# Of the largest value, or of all labels: far above what rounding makes of networks that amplify it, far below another
# way through the network.
OTHERWISE = 5e-2
# Brighter by so many standard deviations of a normalised image.
_BRIGHTER = 2.0


def answer(framework: Network, feed: Feeds, where: str) -> Feeds:
    """What the framework gives for some arrays.

    Raises:
        BadGraphError: the network fails on them; says what it said.
    """
    try:
        return framework(feed)
    except DensecastError:
        raise
    except Exception as error:  # the network's code raises whatever it likes
        shape = list(next(iter(feed.values())).shape)
        raise BadGraphError(
            f"{where} fails on {shape} ({engine_words.reason(error)}). If it takes one image at a time, or one size, "
            "fix that: batch = 1, or --static 1xHEIGHTxWIDTH.",
            field="batch",
        ) from error


def compared(
    graph: Network, trials: Sequence[tuple[Feeds, Feeds]], tolerance: float, framework: Network, exact: Network
) -> ParityRecord:
    """Compare a graph with what the framework gave for the same arrays, and for an image of other values.

    Raises:
        ParityError, BadGraphError: see `parity.check`, `check_repeats` and `check_other_values`.
    """
    by_feed = {id(feed): result for feed, result in trials}
    feeds = [feed for feed, _ in trials]
    try:
        record = parity.check(lambda feed: by_feed[id(feed)], graph, feeds, tolerance, exact)
    except ParityError:
        check_repeats(framework, *trials[0])
        raise
    check_other_values(framework, graph, min(feeds, key=lambda feed: sum(array.size for array in feed.values())))
    return record


def check_reads_image(model: Any, name: str) -> None:
    """Refuse a graph none of whose operators reads the image.

    Raises:
        BadGraphError: what depends on the image left PyTorch, and became a constant.
    """
    if not any(name in node.input for node in model.graph.node):
        raise BadGraphError(
            "the exported graph does not read the image: on its way it left PyTorch, as through numpy or .item(), and "
            "became a constant. Compute everything with PyTorch's functions."
        )


def check_types(model: Any) -> None:
    """Refuse a graph of a network that turns its tensors to bfloat16 itself, in which no engine's layers run.

    Raises:
        BadGraphError: says what does so.
    """
    import onnx

    if any(
        node.op_type == "Cast" and each.name == "to" and each.i == onnx.TensorProto.BFLOAT16
        for node in model.graph.node
        for each in node.attribute
    ):
        raise BadGraphError(
            "the network computes in bfloat16 by itself, as under torch.autocast in its forward. Leave that out: build "
            "chooses the precision (--precision)."
        )


def check_repeats(framework: Network, feed: Feeds, result: Feeds) -> None:
    """Refuse a network that answers otherwise when it is asked again, to which no graph can be compared.

    Raises:
        BadGraphError: it draws random numbers, or keeps something from call to call.
    """
    for name, again in framework(feed).items():
        if name in result and _differs(again, result[name]):
            raise BadGraphError(
                f"the network answers otherwise each time it is run on one image ({name!r}): it draws random numbers, "
                "as dropout does that is always on, or keeps something from call to call. Switch that off first."
            )


def check_other_values(framework: Network, graph: Network, feed: Feeds) -> None:
    """Refuse a graph that answers for a brighter image otherwise than the network.

    Raises:
        BadGraphError: the network decides by values of the image, and the graph has one of its ways.
    """
    brighter: Feeds = {name: np.add(array, _BRIGHTER).astype(array.dtype) for name, array in feed.items()}
    wanted, found = framework(brighter), graph(brighter)
    for name, array in found.items():
        expected = wanted.get(name)
        if expected is not None and np.isfinite(expected).all() and _differs(array, expected):
            raise BadGraphError(
                f"for a brighter image the exported graph answers otherwise than the network ({name!r}): the network "
                "decides by values of the image (if, .item()), and the graph keeps the way of one image. Decide inside "
                "of PyTorch, as by torch.where."
            )


def answers_otherwise(graph: Network, feed: Feeds, expected: Feeds, share: float = OTHERWISE) -> bool:
    """Whether a graph fails where the network answers, or is off by more than this share of the largest value."""
    found = outputs.answered(graph, feed)
    return found is None or any(
        np.isfinite(expected[name]).all() and _differs(array, expected[name], share)
        for name, array in found.items()
        if name in expected
    )


def _differs(array: Array, expected: Array, share: float = OTHERWISE) -> bool:
    if array.shape != expected.shape:
        return True
    if expected.dtype.kind != "f":
        return bool(np.mean(array != expected) > share)
    largest = max(float(np.abs(expected).max(initial=0)), least_scale(expected, array))
    return bool(np.abs(np.subtract(array, expected, dtype=np.float64)).max(initial=0) > share * largest)
