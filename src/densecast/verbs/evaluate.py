"""Compiled artifact + data set  ->  score."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np

from densecast import plugins
from densecast.datasets._base import EvaluationProtocol
from densecast.errors import UnknownNameError, UsageError
from densecast.imaging.prepare import resize_labels
from densecast.io import config, files
from densecast.metrics._base import Accumulator, HasResults
from densecast.pipeline import Image, Pipeline, Predicted
from densecast.spec.model import ModelSpec
from densecast.spec.prediction import Prediction
from densecast.spec.sample import Dataset, Sample, Split, Target
from densecast.spec.score import Score

Progress = Callable[[int, int], None]
Observer = Callable[[Sample, Prediction, Target], None]


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """Which images, and how many at once: None for what the model was tuned for, else 1.

    `limit` takes the first so many of the split.
    `protocol` names a published way to measure of the data set, which settles split and number of images.
    """

    split: Split = "val"
    limit: int | None = None
    batch: int | None = None
    seed: int = 0
    protocol: str | None = None

    def __post_init__(self) -> None:
        """Counts are positive, and a protocol's images are its own."""
        if self.protocol is not None and (self.limit is not None or self.split != "val"):
            raise UsageError(
                f"--protocol {self.protocol} settles which images are measured: leave --limit, --split out."
            )
        if any(count is not None and count < 1 for count in (self.batch, self.limit)):
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
        UsageError: the model names no data set and metric, or there is no format of results for them, or it does
            something else than the protocol.
        MissingFileError: nothing says where the data is.
        BadDatasetError, BadImageError: the data cannot be used.
    """
    protocol = pipeline.spec.evaluation
    if protocol is None:
        raise UsageError(f"{pipeline.spec.name} names no data set and metric; its spec file lacks [evaluation].")
    plugin = plugins.load("datasets", protocol.dataset)
    asked, published = options.protocol, _published(plugin, protocol.dataset, options.protocol)
    if published is not None and asked is not None:
        published.check_model(asked, pipeline.spec)
        options = replace(options, protocol=None, split=published.split, limit=published.count)
    root = data or config.data_root(protocol.dataset, plugin.ROOT_VARIABLES)
    dataset: Dataset = plugin.open(root, options.split, options.seed)
    if published is not None and asked is not None:
        published.check_images(asked, len(dataset.samples))
    counter: Accumulator = plugins.load("metrics", protocol.metric).accumulator(pipeline.spec)
    if results is not None and not isinstance(counter, HasResults):
        raise UsageError(f"--results: {protocol.metric} has no format of results; COCO's key points have.")
    chosen = dataset.samples[: options.limit]

    def beside_target(found: Predicted[Sample]) -> tuple[Sample, Prediction, Target]:
        target = dataset.read_target(found.source)
        if protocol.frame == "network" and isinstance(target, np.ndarray):
            target = resize_labels(target, found.placement.content_hw)
        return found.source, found.prediction, target

    def read(sample: Sample) -> Image:
        return pipeline.read(sample.image)

    with contextlib.closing(
        pipeline.stream(chosen, read, beside_target, batch=options.batch, frame=protocol.frame)
    ) as found:
        for done, (sample, prediction, target) in enumerate(found, start=1):
            counter.add(sample.id, prediction, target)
            if observe:
                observe(sample, prediction, target)
            if progress:
                progress(done, len(chosen))
    if results is not None and isinstance(counter, HasResults):
        files.write_text(results, json.dumps(counter.results()) + "\n")
    return replace(counter.score(), data=dataset.record(options.limit), protocol=asked)


def _published(plugin: ModuleType, dataset: str, name: str | None) -> EvaluationProtocol | None:
    """The data set's protocol of that name.

    Raises:
        UnknownNameError: it has none of that name.
    """
    known: dict[str, EvaluationProtocol] = getattr(plugin, "PROTOCOLS", {})
    if name is not None and name not in known:
        raise UnknownNameError.among(f"protocol of {dataset}", name, known)
    return None if name is None else known[name]


def table_printer(spec: ModelSpec, style: str | None = None) -> Callable[[Score], str]:
    """What prints the model's score as the tables of `style`, the metric's first where none is named.

    Nothing is printed where the metric has no tables.

    Raises:
        UnknownNameError: the metric has tables, but none of this style.
    """
    metric = plugins.load("metrics", spec.evaluation.metric) if spec.evaluation else None
    if metric is None or not hasattr(metric, "tables"):
        return lambda score: ""
    style = style or metric.STYLES[0]
    if style not in metric.STYLES:
        raise UnknownNameError.among("table style", style, metric.STYLES)
    return functools.partial(metric.tables, style=style)
