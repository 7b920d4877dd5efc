"""Reference and candidates, same images  ->  how much they differ, what it means, and where it starts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from densecast.pipeline import Pipeline
from densecast.verbs.compare.difference import Comparison, MetricChange
from densecast.verbs.compare.ladder import Progress, Truth, climb
from densecast.verbs.compare.locate import CurvePoint, Findings, Location
from densecast.verbs.compare.rung import Rung, open_rung
from densecast.verbs.compare.where import find

__all__ = [
    "Comparison",
    "CurvePoint",
    "Findings",
    "Location",
    "MetricChange",
    "Rung",
    "Truth",
    "climb",
    "compare",
    "find",
    "open_rung",
]


def compare(
    reference: Pipeline, candidate: Pipeline, images: Sequence[Path], *, progress: Progress | None = None
) -> Comparison:
    """Run both on every image.

    Raises:
        UsageError: no images.
        BadShapeError: the two do not give outputs of one shape.
    """
    return climb(reference, [candidate], images, progress=progress)[0]
