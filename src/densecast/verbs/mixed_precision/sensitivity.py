"""Which layers lose most in int8, by a cheap proxy: how much nearer to float32 the outputs come without one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from densecast.imaging.views import ModelInputs
from densecast.pipeline import Pipeline
from densecast.spec.tensor import Array

# Every so many pixels count, both ways: neighbours err alike.
_STRIDE = 2
_FIRST_EXPONENT = 80.0

F32 = npt.NDArray[np.float32]


class Proxy:
    """float32's outputs on a few images, and how far others are from them."""

    def __init__(self, exact: Pipeline, images: Sequence[ModelInputs]) -> None:
        self._images = [image.array for image in images]
        self._soft = exact.spec.task == "segmentation"
        self._expected = [self._meaning(output) for output in self._outputs(exact)]

    def error(self, candidate: Pipeline) -> float:
        """Mean square difference of class probabilities, or of heatmaps.

        Squares of independent errors add up, so what single layers contribute may be compared, and probabilities
        leave out what no decision depends on: they hardly move where one class is far ahead.
        """
        pairs = zip(self._outputs(candidate), self._expected, strict=True)
        return float(np.mean([np.mean(np.square(self._meaning(output) - expected)) for output, expected in pairs]))

    def _outputs(self, pipeline: Pipeline) -> list[Array]:
        name = pipeline.spec.output.name
        found = []
        for array in self._images:
            _, batch = next(iter(pipeline.batches([array])))
            found.append(pipeline.runner.run({pipeline.spec.input.name: batch})[name][0].copy())
        return found

    def _meaning(self, output: Array) -> F32:
        """(C, h, w) -> the same, thinned out: softmax over classes, or maps as they are."""
        thin = np.asarray(output[:, ::_STRIDE, ::_STRIDE], dtype=np.float32)
        if not self._soft:
            return thin
        # Non-finite logits of a broken candidate count as large, so that its error is large and not undefined.
        finite = np.nan_to_num(thin, nan=0.0, posinf=_FIRST_EXPONENT, neginf=-_FIRST_EXPONENT)
        powers = np.exp(finite - finite.max(axis=0))
        return np.asarray(powers / powers.sum(axis=0), dtype=np.float32)


def bundles(layers: Sequence[str], count: int) -> list[tuple[str, ...]]:
    """The layers in at most `count` runs of neighbours of about equal length."""
    edges = np.linspace(0, len(layers), min(max(count, 1), len(layers)) + 1).round().astype(int).tolist()
    return [tuple(layers[low:high]) for low, high in itertools.pairwise(edges)]
