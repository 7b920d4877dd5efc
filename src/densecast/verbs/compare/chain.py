"""Opens the accuracy chain from a reference to its candidates, with the intermediate stages added automatically."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from densecast.artifact import MANIFEST, Artifact, CompiledArtifact, FloatArtifact
from densecast.errors import UsageError
from densecast.imaging.folder import images_in
from densecast.measure.ground_truth import GroundTruth
from densecast.spec.data_options import Data
from densecast.spec.model import ModelSpec
from densecast.spec.sample import Split
from densecast.verbs.compare.stage import ChainStage, open_stage, optimised_stage, spec_source_among


@contextmanager
def open_chain(
    reference: Path, candidates: Sequence[Path], threads: int | None = None
) -> Iterator[tuple[ChainStage, list[ChainStage]]]:
    """Open the reference and the stages to compare with it, loaded until the block ends.

    Where the reference is a float artifact, it is the original network if that can be had, and two kinds of stages come
    before the candidates that were built from it: its float graph, and that graph after their passes.

    Raises:
        UsageError: nothing to compare with, or a file that needs an artifact beside it.
        MissingFileError, BadArtifactError, BadGraphError, BadCheckpointError: something cannot be used.
    """
    spec_source = spec_source_among([reference, *candidates])
    with ExitStack() as stack:

        def closed_at_end(stage: ChainStage) -> ChainStage:
            stack.callback(stage.pipeline.close)
            return stage

        first = closed_at_end(open_stage(reference, spec_source, threads, framework=True))
        stages: list[ChainStage] = []
        if (reference / MANIFEST).is_file():
            source = Artifact.open(reference)
            if first.kind == "framework" and reference not in candidates:
                stages.append(closed_at_end(open_stage(reference, None, threads)))
            if isinstance(source, FloatArtifact):
                for built in _built_from(source, candidates):
                    stages.append(closed_at_end(optimised_stage(source, built, threads)))
        for path in candidates:
            stages.append(closed_at_end(open_stage(path, spec_source, threads)))
        if not stages:
            raise UsageError(f"nothing to compare {reference} with: name at least one candidate.", field="candidates")
        yield first, stages


def images_and_truth(
    spec: ModelSpec, images: Path | None, data: Path | Data | None, split: Split, limit: int | None
) -> tuple[list[Path], GroundTruth | None]:
    """The images to compare on: one file, those of a folder, or of the model's data set at `data`, with ground truth.

    Raises:
        UsageError: neither or both are named, or the model has no data set.
        MissingFileError, BadDatasetError: nothing usable is there.
    """
    if images is not None and data is None:
        return [images] if images.is_file() else images_in(images)[:limit], None
    if images is not None or data is None:
        raise UsageError(
            "compare needs either a folder of images, or the root of the model's data set.", field="images"
        )
    truth = GroundTruth.open(spec, data, split=split, limit=limit)
    return [sample.image for sample in truth.samples], truth


def _built_from(source: FloatArtifact, candidates: Sequence[Path]) -> list[CompiledArtifact]:
    """The candidates built from `source`, one for each distinct set of shapes."""
    by_shape: dict[str, CompiledArtifact] = {}
    for path in candidates:
        if not (path / MANIFEST).is_file():
            continue
        artifact = Artifact.open(path)
        if isinstance(artifact, CompiledArtifact) and artifact.manifest.parent == source.identity:
            options = artifact.manifest.build
            by_shape.setdefault(repr((options.shape, options.uint8_input)), artifact)
    return list(by_shape.values())
