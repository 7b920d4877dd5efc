"""Opens the model that a verb works on: a pipeline that the caller has opened, or an artifact."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from densecast.artifact import Artifact
from densecast.pipeline import Pipeline, PipelineConfig
from densecast.results.json_result import ModelRecord, PrecisionReport
from densecast.runtime.execution import Mode

Model = Pipeline | PipelineConfig | Artifact | Path | str


@contextlib.contextmanager
def opened(model: Model, mode: Mode) -> Iterator[Pipeline]:
    """The caller's pipeline unchanged, or one opened in `mode` for the block; a `PipelineConfig` brings its own mode.

    Raises:
        BadArtifactError: damaged, or not compiled.
        BackendMissingError, MissingExtraError: its engine is not installed.
    """
    if isinstance(model, Pipeline):
        yield model
        return
    with Pipeline.open(model, mode=mode) as pipeline:
        yield pipeline


def mode_of(model: Model, pipeline: Pipeline, mode: Mode) -> Mode:
    """The mode that `opened` uses: the caller's own if the caller chose one."""
    if isinstance(model, PipelineConfig):
        return model.mode
    if isinstance(model, Pipeline):
        return "throughput" if pipeline.config.num_workers > 1 else "latency"
    return mode


def record_of(pipeline: Pipeline) -> ModelRecord:
    """The record of the model for results."""
    artifact = pipeline.artifact
    build = artifact.manifest.build if artifact else None
    return ModelRecord(
        model=pipeline.spec.name,
        backend=build.backend if build else None,
        artifact=str(artifact.folder) if artifact else None,
        precision=PrecisionReport(artifact.manifest.precision_asked if artifact else None, pipeline.precision),
    )
