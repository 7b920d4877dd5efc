"""Counts what is taken for what: pixels by the class that is there and the class that was predicted."""

from __future__ import annotations

from typing import Any

import numpy as np

from densecast.spec.model import ModelSpec
from densecast.spec.sample import Sample

# A larger matrix has cells that nobody could read.
MOST_CLASSES = 64
Matrix = tuple[tuple[int, ...], ...]


class Confusion:
    """An observer of the measuring loop: sums up class maps, and nothing of predictions that are none."""

    def __init__(self, spec: ModelSpec) -> None:
        self._classes = len(spec.labels)
        self._sum = np.zeros((self._classes, self._classes), np.int64)
        self._is_wanted = spec.task == "segmentation" and self._classes <= MOST_CLASSES

    def __call__(self, sample: Sample, prediction: Any, target: Any) -> None:
        """Take one image's prediction and target; pixels that are no class in either do not count."""
        if not self._is_wanted:
            return
        predicted, there = prediction.class_id.ravel(), np.asarray(target).ravel()
        counted = (there < self._classes) & (predicted < self._classes)
        pairs = there[counted].astype(np.int64) * self._classes + predicted[counted]
        self._sum += np.bincount(pairs, minlength=self._classes**2).reshape(self._sum.shape)

    def matrix(self) -> Matrix:
        """Pixels by what is there (rows) and what was predicted (columns); empty if none were counted."""
        return tuple(tuple(row) for row in self._sum.tolist()) if self._sum.any() else ()
