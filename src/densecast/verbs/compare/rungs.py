"""The ladder that a reference and its candidates stand on, with the rungs in between that nobody has to name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from densecast import plugins
from densecast.artifact import MANIFEST, Artifact
from densecast.errors import UsageError
from densecast.imaging.folder import images_in
from densecast.spec.model import ModelSpec
from densecast.spec.sample import Split
from densecast.verbs.compare.ladder import Truth
from densecast.verbs.compare.rung import Rung, donor_among, open_rung, optimised


@contextmanager
def opened(
    reference: Path, candidates: Sequence[Path], threads: int | None = None
) -> Iterator[tuple[Rung, list[Rung]]]:
    """The reference, then the rungs that are compared with it, each loaded until the block ends.

    Where the reference is a float artifact, it is the original network if that can be had, and two kinds of rungs come
    before the candidates that were built from it: its float graph, and that graph after their passes.

    Raises:
        UsageError: nothing to compare with, or a file that needs an artifact beside it.
        MissingFileError, BadArtifactError, BadGraphError, BadCheckpointError: something cannot be used.
    """
    donor = donor_among([reference, *candidates])
    with ExitStack() as stack:

        def kept(rung: Rung) -> Rung:
            stack.callback(rung.pipeline.close)
            return rung

        first = kept(open_rung(reference, donor, threads, framework=True))
        rungs: list[Rung] = []
        if (reference / MANIFEST).is_file():
            source = Artifact.open(reference)
            if first.kind == "framework" and reference not in candidates:
                rungs.append(kept(open_rung(reference, None, threads)))
            if source.manifest.kind == "float":
                rungs += [
                    kept(stack.enter_context(optimised(source, each, threads))) for each in _built(source, candidates)
                ]
        rungs += [kept(open_rung(path, donor, threads)) for path in candidates]
        if not rungs:
            raise UsageError(f"nothing to compare {reference} with: name at least one candidate.")
        yield first, rungs


def chosen_images(
    spec: ModelSpec, images: Path | None, data: Path | None, split: Split, limit: int | None
) -> tuple[list[Path], Truth | None]:
    """The images to compare on; with the model's data set, its ground truth as well.

    Raises:
        UsageError: neither or both are named, or the model has no data set.
        MissingFileError, BadDatasetError: nothing usable is there.
    """
    if (images is None) == (data is None):
        raise UsageError(
            "compare needs either --images, a folder of them, or --data, the root of the model's data set."
        )
    if images is not None:
        return images_in(images)[:limit], None
    if spec.evaluation is None:
        raise UsageError(f"{spec.name} names no data set and metric; pass --images.")
    assert data is not None
    dataset = plugins.load("datasets", spec.evaluation.dataset).open(data, split)
    samples = tuple(dataset.samples[:limit])
    return [sample.image for sample in samples], Truth(dataset, samples)


def _built(source: Artifact, candidates: Sequence[Path]) -> list[Artifact]:
    """The candidates built from `source`, one for each set of shapes."""
    found: dict[str, Artifact] = {}
    for path in candidates:
        if not (path / MANIFEST).is_file():
            continue
        artifact = Artifact.open(path)
        options = artifact.manifest.build
        if options is not None and artifact.manifest.parent == source.identity:
            found.setdefault(repr((options.shape, options.uint8_input)), artifact)
    return list(found.values())
