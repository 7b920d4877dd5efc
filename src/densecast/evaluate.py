"""Compiled artifact + data set  ->  score."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from densecast.core import catalog, config, files
from densecast.core.accumulator import Accumulator, HasResults
from densecast.core.errors import UnknownNameError, UsageError
from densecast.core.prediction import Prediction
from densecast.core.sample import Dataset, Sample, Split, Target
from densecast.core.score import Score
from densecast.core.spec import ModelSpec
from densecast.imaging.prepare import resize_labels
from densecast.infer import Pipeline

Progress = Callable[[int, int], None]
Observer = Callable[[Sample, Prediction, Target], None]


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """Which images, and how many at once. `limit` takes the first so many of the split."""

    split: Split = "val"
    limit: int | None = None
    batch: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        """Counts are positive."""
        if self.batch < 1 or (self.limit is not None and self.limit < 1):
            raise UsageError(f"--batch and --limit must be at least 1, got {self.batch} and {self.limit}.")


def evaluate(
    pipeline: Pipeline,
    data: Path | None = None,
    options: EvaluateOptions = EvaluateOptions(),
    *,
    progress: Progress | None = None,
    observe: Observer | None = None,
    results: Path | None = None,
) -> Score:
    """The model's published metric over its data set at `data`, or where the configuration names it.

    `observe` sees every prediction beside its target, in the frame the metric compares them in. `results` is a JSON
    file to write for the data set's evaluation server.

    Raises:
        UsageError: the model names no data set and metric, or there is no format of results for them.
        MissingFileError: nothing says where the data is.
        BadDatasetError, BadImageError: the data cannot be used.
    """
    protocol = pipeline.spec.evaluation
    if protocol is None:
        raise UsageError(f"{pipeline.spec.name} names no data set and metric; its spec file lacks [evaluation].")
    plugin = catalog.load("datasets", protocol.dataset)
    root = data or config.data_root(protocol.dataset, plugin.ROOT_VARIABLES)
    dataset: Dataset = plugin.open(root, options.split, options.seed)
    counter: Accumulator = catalog.load("metrics", protocol.metric).accumulator(pipeline.spec)
    if results is not None and not isinstance(counter, HasResults):
        raise UsageError(f"--results: {protocol.metric} has no format of results; COCO's key points have.")
    chosen = dataset.samples[: options.limit]
    done = 0
    for group in _groups(chosen, options.batch):
        prepared = [pipeline.prepare(pipeline.read(sample.image)) for sample in group]
        predictions = pipeline.run(prepared, frame=protocol.frame)
        for sample, item, prediction in zip(group, prepared, predictions, strict=True):
            target = dataset.read_target(sample)
            if protocol.frame == "network" and isinstance(target, np.ndarray):
                target = resize_labels(target, item.placement.content_hw)
            counter.add(sample.id, prediction, target)
            if observe:
                observe(sample, prediction, target)
            done += 1
            if progress:
                progress(done, len(chosen))
    if results is not None and isinstance(counter, HasResults):
        files.write_text(results, json.dumps(counter.results()) + "\n")
    return replace(counter.score(), data=dataset.record(options.limit))


def table_printer(spec: ModelSpec, style: str | None = None) -> Callable[[Score], str]:
    """What prints the model's score as the tables of `style`, the metric's first where none is named.

    Nothing is printed where the metric has no tables.

    Raises:
        UnknownNameError: the metric has tables, but none of this style.
    """
    metric = catalog.load("metrics", spec.evaluation.metric) if spec.evaluation else None
    if metric is None or not hasattr(metric, "tables"):
        return lambda score: ""
    style = style or metric.STYLES[0]
    if style not in metric.STYLES:
        raise UnknownNameError.among("table style", style, metric.STYLES)
    return functools.partial(metric.tables, style=style)


def _groups(samples: Sequence[Sample], size: int) -> Iterator[Sequence[Sample]]:
    for start in range(0, len(samples), size):
        yield samples[start : start + size]
