"""Scores a model by how far its predictions are those of the first one, where there is no ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from densecast.measure.change import bootstrap
from densecast.pipeline import Pipeline
from densecast.spec.sample import Sample
from densecast.spec.score import Interval, Score
from densecast.tasks._base import TASKS

NAME = "agreement"


def score(folder: Path, first: Path, samples: Sequence[Sample], device: str = "") -> Score:
    """The mean agreement of an artifact's predictions with those of the artifact `first`, 1 for equal ones.

    It is 1 less the task's difference: the share of pixels of one label, or the similarity of the people.
    """
    with Pipeline.open(folder, device=device) as pipeline, Pipeline.open(first, device=device) as other:
        task = TASKS.load_trusted(pipeline.spec.task)
        per_image: dict[str, float] = {}
        for sample in samples:
            image = pipeline.read(sample.image)
            expected = other(image)
            same = pipeline(image) if folder != first else expected
            per_image[sample.id] = 1 - task.difference(expected, same).value
    return Score(
        NAME, float(np.mean(list(per_image.values()))), "fraction", "higher", len(samples), per_image=per_image
    )


def change(measured: Score) -> Interval:
    """The score less 1, with its interval over images."""
    values = np.array(list(measured.per_image.values()))

    def gained(weights: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        return np.asarray(weights @ values / weights.sum(axis=1) - 1, dtype=np.float64)

    return bootstrap(len(values), gained)
