"""Compares candidates with a reference on the same images: how much they differ, what it costs, where it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from densecast.io import files
from densecast.measure.ground_truth import GroundTruth
from densecast.results.compare import (
    ComparedStage,
    CompareResult,
    Comparison,
    CurvePoint,
    Findings,
    Location,
    MetricChange,
    OutputError,
)
from densecast.results.stored import ShardResult
from densecast.spec.data_options import Data
from densecast.spec.options import Split
from densecast.spec.store_options import StoreOptions
from densecast.verbs.compare.chain import images_and_truth, open_chain
from densecast.verbs.compare.differences import Progress, compare_all
from densecast.verbs.compare.root_cause import localise, localise_all
from densecast.verbs.compare.stage import ChainStage, open_stage

if TYPE_CHECKING:
    from densecast.verbs.stored.compare_models import Models

__all__ = [
    "ChainStage",
    "CompareResult",
    "ComparedStage",
    "Comparison",
    "CurvePoint",
    "Findings",
    "Location",
    "MetricChange",
    "OutputError",
    "compare",
    "compare_all",
    "compare_shard",
    "compare_stages",
    "images_and_truth",
    "localise",
    "localise_all",
    "located",
    "open_chain",
    "open_stage",
]


def compare_stages(
    reference: ChainStage,
    stages: Sequence[ChainStage],
    images: Sequence[Path],
    *,
    truth: GroundTruth | None = None,
    locate: bool = False,
    progress: Progress | None = None,
) -> tuple[ComparedStage, ...]:
    """Every stage against the reference, and with `locate` where each parts from it.

    Raises:
        UsageError: no images, or models of two tasks.
        BadShapeError: two models do not give outputs of one shape.
    """
    findings = list(localise_all(reference, stages, images)) if locate else [None] * len(stages)
    comparisons = compare_all(reference, stages, images, truth=truth, progress=progress, findings=findings)
    return tuple(
        ComparedStage(stage.title, comparison, each)
        for stage, comparison, each in zip(stages, comparisons, findings, strict=True)
    )


def compare(
    reference: Path | str,
    candidates: Sequence[Path | str] | Path | str,
    *,
    images: Path | str | None = None,
    data: Path | str | Data | None = None,
    split: Split = "val",
    limit: int | None = None,
    threads: int | None = None,
    locate: bool = False,
    progress: Progress | None = None,
    stored: StoreOptions = StoreOptions(),
) -> CompareResult:
    """Every stage from the reference to each candidate, on a folder of `images` or on the model's data set at `data`.

    Reference and candidates are artifacts, `.onnx` files or checkpoints. Stages that nobody has to name, as the float
    graph after its passes, come before the candidates built from it. With `data` the metric's change is measured too;
    with `locate` the step, and the first intermediate tensor, where a stage diverges from the reference.

    With a `stored.store` every image is recorded there, and what is recorded is not compared again; the result comes
    from the records. See docs/scale.md.

    Raises:
        UsageError: neither or both of `images` and `data`, or models of two tasks.
        BadShapeError: two models do not give outputs of one shape.
        MissingFileError, BadInputError: something cannot be used.
    """
    paths = [Path(each) for each in files.several(candidates, "candidates")]
    folder = None if images is None else files.given(images)
    root = None if data is None else Data.at(data)
    if stored.store is not None:
        from densecast.verbs.stored.compare_models import Models, compare_stored

        models = Models(Path(reference), tuple(paths), folder, root, split, limit, threads)
        found, compared = compare_stored(models, stored, progress=progress)
        return located(found, models, list(compared.values())) if locate else found
    with open_chain(Path(reference), paths, threads) as (first, others):
        chosen, truth = images_and_truth(first.pipeline.spec, folder, root, split, limit)
        stages = compare_stages(first, others, chosen, truth=truth, locate=locate, progress=progress)
        return CompareResult(first.pipeline.spec.name, first.title, len(chosen), stages)


def compare_shard(
    reference: Path | str,
    candidates: Sequence[Path | str] | Path | str,
    *,
    stored: StoreOptions,
    images: Path | str | None = None,
    data: Path | str | Data | None = None,
    split: Split = "val",
    limit: int | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> ShardResult:
    """Compare one shard of the images, `stored.shard`; `densecast.merge` has the result when all are there.

    Raises:
        UsageError: no shard is named, or the store is another run's.
        BadInputError: more images failed than may; says which.
    """
    from densecast.verbs.stored import compare_models

    models = compare_models.Models(
        Path(reference),
        tuple(Path(each) for each in files.several(candidates, "candidates")),
        None if images is None else files.given(images),
        None if data is None else Data.at(data),
        split,
        limit,
        threads,
    )
    return compare_models.compare_shard(models, stored=stored, progress=progress)


def located(result: CompareResult, models: Models, images: Sequence[Path]) -> CompareResult:
    """A result that came from records, with the place where each stage parts from the reference on these images."""
    with open_chain(models.reference, models.candidates, models.threads) as (first, others):
        findings = localise_all(first, others, images)
    stages = [replace(stage, findings=each) for stage, each in zip(result.stages, findings, strict=True)]
    return replace(result, stages=tuple(stages))
