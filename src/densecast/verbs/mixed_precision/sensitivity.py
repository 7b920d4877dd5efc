"""Ranks layers by int8 sensitivity: how much closer to float32 the outputs get when a layer stays in half precision."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from densecast.imaging.views import ModelInputs
from densecast.pipeline import Pipeline
from densecast.spec.tensor import Array
from densecast.tasks._base import F32, WeighsOutputs

# Every so many pixels count, both ways: neighbours err alike.
_STRIDE = 2


class Proxy:
    """float32's main outputs on a few images, to measure the error of candidates."""

    def __init__(self, float32: Pipeline, images: Sequence[ModelInputs]) -> None:
        # One view of each image will do; of sliding windows one of the middle, which shows more than sky or table.
        middles = [len(image.views) // 2 if float32.spec.slide is not None else 0 for image in images]
        self._inputs = [
            ModelInputs(image.feeds[place : place + 1], image.views[place : place + 1])
            for image, place in zip(images, middles, strict=True)
        ]
        self._expected = self._outputs(float32)

    def error(self, candidate: Pipeline) -> float:
        """Mean squared difference of the outputs' meaning, such as class probabilities, or of the outputs themselves.

        Squares of independent errors add up, so what single layers contribute may be compared, and probabilities
        leave out what no decision depends on: they hardly move where one class is far ahead.
        """
        pairs = zip(self._outputs(candidate), self._expected, strict=True)
        return float(np.mean([np.mean(np.square(output - expected)) for output, expected in pairs]))

    def _outputs(self, pipeline: Pipeline) -> list[F32]:
        """The meaning of each image's main output (C, h, w), subsampled."""
        name, task = pipeline.spec.output.name, pipeline.task
        meanings: list[F32] = []
        for inputs in self._inputs:
            (outputs,) = pipeline.forward(inputs)
            thinned = _thinned(outputs[name])
            meanings.append(task.meaning(thinned, pipeline.spec) if isinstance(task, WeighsOutputs) else thinned)
        return meanings


def layer_groups(layers: Sequence[str], count: int) -> list[tuple[str, ...]]:
    """Group neighbouring layers into at most `count` groups of about equal size."""
    edges = np.linspace(0, len(layers), min(max(count, 1), len(layers)) + 1).round().astype(int).tolist()
    return [tuple(layers[low:high]) for low, high in itertools.pairwise(edges)]


def _thinned(output: Array) -> F32:
    """Subsample (C, h, w) by rows and columns; other outputs are unchanged."""
    return np.asarray(output[:, ::_STRIDE, ::_STRIDE] if output.ndim == 3 else output, dtype=np.float32)
