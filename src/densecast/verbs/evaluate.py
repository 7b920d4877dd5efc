"""Measures a compiled artifact's accuracy on its data set."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from densecast.errors import UnknownNameError, UsageError
from densecast.io import files
from densecast.measure import loop
from densecast.measure.ground_truth import GroundTruth
from densecast.measure.in_memory import Triples
from densecast.measure.loop import Observer, Progress
from densecast.measure.other_reading import OtherReading
from densecast.metrics._base import METRICS, HasResults, HasTables
from densecast.pipeline import Pipeline
from densecast.results.predictions import EvaluateResult
from densecast.spec.augment import Augment
from densecast.spec.choices import checked
from densecast.spec.data_options import Data
from densecast.spec.model import ModelSpec
from densecast.spec.score import Score
from densecast.spec.store_options import StoreOptions
from densecast.spec.verb_options import EvaluateOptions
from densecast.verbs._model import Model, opened, record_of


@checked
def evaluate(
    model: Model,
    data: Path | str | Data | Triples | None = None,
    options: EvaluateOptions = EvaluateOptions(),
    *,
    progress: Progress | None = None,
    observe: Observer | None = None,
    results: Path | str | None = None,
    stored: StoreOptions = StoreOptions(),
) -> EvaluateResult:
    """Measure the model's metric on its data set, at `data` or where the configuration names it.

    `data` is a folder or data file, such with options (`Data`), or any sequence or iterable of (id, image, target). A
    segmentation that names no data set is measured on pairs of pictures and masks, by its mIoU.

    An artifact is opened in throughput mode, and closed again; a pipeline is used as it is. `observe` sees every
    prediction beside its target, in the frame the metric compares them in. `results` is a JSON file to write for the
    data set's evaluation server.

    With a `stored.store` every image is recorded there, and what is recorded is not computed again; the score comes
    from the records. See `densecast.verbs.stored`.

    Raises:
        UsageError: the model names no data set and metric, or there is no format of results for them, or it does
            something else than the protocol.
        MissingFileError: nothing says where the data is.
        BadDatasetError, BadImageError: the data cannot be used.
    """
    if stored.store is not None:
        from densecast.verbs.stored.evaluate import evaluate_stored

        if observe is not None:
            raise UsageError("with a store images are not observed: what is recorded is not computed.", field="store")
        if stored.shard is not None:
            raise UsageError("a shard has no score; see densecast.evaluate_shard.", field="shard")
        return evaluate_stored(model, data, options, stored, progress=progress, results=results)
    with opened(model, "throughput") as pipeline:
        truth = GroundTruth.open(
            pipeline.spec,
            Path(data) if isinstance(data, str) else data,
            split=options.split,
            seed=options.seed,
            limit=options.limit,
            protocol=options.protocol,
        )
        metric = truth.metric
        if results is not None and not isinstance(metric, HasResults):
            raise UsageError(f"{metric.name} has no format of results; COCO's key points have.", field="results")
        reading = OtherReading(truth.spec)
        observers: list[Observer] = [reading] if observe is None else [reading, observe]
        counts = list(loop.counts(truth, pipeline, batch=options.batch, progress=progress, observe=observers))
        if results is not None and isinstance(metric, HasResults):
            files.write_text(Path(results), json.dumps(metric.results(counts)) + "\n")
        return EvaluateResult(truth.score(counts, reading.remarks()), record_of(pipeline), _chosen_views(pipeline))


def _chosen_views(pipeline: Pipeline) -> Augment:
    """The TTA views that the user chose, without the mirroring that the model always does."""
    flip = pipeline.augment.flip and not pipeline.spec.needs_mirror
    return replace(pipeline.augment, flip=flip)


def table_printer(spec: ModelSpec, style: str | None = None) -> Callable[[Score], str]:
    """A function that prints the model's score in a table style, by default the metric's first one.

    Nothing is printed where the metric has no tables.

    Raises:
        UnknownNameError: the metric has tables, but none of this style.
        UsageError: it has none.
    """
    metric: object = METRICS.load_trusted(spec.evaluation.metric) if spec.evaluation else None
    if not isinstance(metric, HasTables):
        if style is not None and spec.evaluation is not None:
            raise UsageError(
                f"the metric {spec.evaluation.metric!r} prints no table: leave the style out.", field="table"
            )
        return lambda score: ""
    style = style or metric.table_styles[0]
    if style not in metric.table_styles:
        raise UnknownNameError.among("table style", style, metric.table_styles)
    return functools.partial(metric.table, style=style)
