"""What to say of a segmentation's main output: what it holds, and where that is in doubt."""

from __future__ import annotations

import math
from typing import Any

from densecast.graph import _value_bounds
from densecast.spec.model import ModelSpec
from densecast.spec.tensor import Array
from densecast.tasks.segmentation import BINARY, Form, SegmentationDecode


def said(main: str, form: Form, spec: ModelSpec) -> tuple[str, ...]:
    """What the output was found to hold; nothing of logits, and of what the spec declares."""
    assert isinstance(spec.decode, SegmentationDecode)
    if form in ("logits", spec.decode.form):
        return ()
    threshold = f", {spec.labels[1]!r} above {spec.decode.threshold:g}" if form in BINARY else ""
    return (f"the output {main!r} holds {in_words(form)}: decoded as form {form!r}{threshold}",)


def doubts(model: Any, output: Array, main: str, form: Form, spec: ModelSpec) -> tuple[str, ...]:
    """What to say of one plane that was taken for logits, and may hold probabilities, or amounts of something.

    `output` is what the graph `model` gives for a test image.
    """
    assert isinstance(spec.decode, SegmentationDecode)
    if form != "binary_logits" or spec.decode.form == form or not output.size:
        return ()
    if float(output.min()) >= 0 and float(output.max()) <= 1:
        return (
            f"on a test image {main!r} lies between 0 and 1, and nothing in the graph shows a sigmoid: if it holds "
            "probabilities, declare form = 'binary_probability' in [decode]",
        )
    low, high = _value_bounds.of(model, main)
    if low >= 0 and math.isinf(high):
        return (
            f"{main!r} is never below 0, as counts, densities and distances are: it is {spec.labels[1]!r} wherever it "
            "is above 0. If it is such an amount, it is no segmentation: see the other tasks (depth, a task of your "
            "own)",
        )
    return ()


def in_words(form: Form) -> str:
    """The form in words that follow "holds"."""
    return {
        "logits": "logits",
        "labels": "labels, as the graph ends in the decision",
        "probabilities": "probabilities",
        "binary_logits": "one plane of logits for two labels",
        "binary_probability": "one plane, the probability of the second of two labels",
    }[form]
