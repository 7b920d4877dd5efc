"""Compares candidates with a reference on the same images: how much they differ, what it costs, where it starts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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
from densecast.spec.data_options import Data
from densecast.spec.options import Split
from densecast.verbs.compare.chain import images_and_truth, open_chain
from densecast.verbs.compare.differences import Progress, compare_all
from densecast.verbs.compare.root_cause import localise, localise_all
from densecast.verbs.compare.stage import ChainStage, open_stage

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
    "compare_stages",
    "images_and_truth",
    "localise",
    "localise_all",
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
    candidates: Sequence[Path | str],
    *,
    images: Path | str | None = None,
    data: Path | str | Data | None = None,
    split: Split = "val",
    limit: int | None = None,
    threads: int | None = None,
    locate: bool = False,
    progress: Progress | None = None,
) -> CompareResult:
    """Every stage from the reference to each candidate, on a folder of `images` or on the model's data set at `data`.

    Reference and candidates are artifacts, `.onnx` files or checkpoints. Stages that nobody has to name, as the float
    graph after its passes, come before the candidates built from it. With `data` the metric's change is measured too;
    with `locate` the step, and the first intermediate tensor, where a stage diverges from the reference.

    Raises:
        UsageError: neither or both of `images` and `data`, or models of two tasks.
        BadShapeError: two models do not give outputs of one shape.
        MissingFileError, BadInputError: something cannot be used.
    """
    paths = [Path(each) for each in candidates]
    folder = None if images is None else Path(images)
    root = Path(data) if isinstance(data, str) else data
    with open_chain(Path(reference), paths, threads) as (first, others):
        chosen, truth = images_and_truth(first.pipeline.spec, folder, root, split, limit)
        stages = compare_stages(first, others, chosen, truth=truth, locate=locate, progress=progress)
        return CompareResult(first.pipeline.spec.name, first.title, len(chosen), stages)
