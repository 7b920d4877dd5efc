"""Reference and candidate, same images  ->  how much they differ, in outputs and in what the task makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from densecast.core.errors import BadShapeError, UsageError
from densecast.core.precision import PrecisionRan
from densecast.core.prediction import Prediction, SegmentationMap
from densecast.infer import Pipeline

Progress = Callable[[int, int], None]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A candidate's outputs against the reference's, over all images.

    `relative_error` is the largest difference over the reference's largest output; `relative_l2` the norm of
    the difference over the norm of the reference. `labels_changed` is the share of pixels with another class,
    and `changed_margin` the largest gap, between the reference's two best logits, among those pixels: small
    means that only near-ties flipped. None where the task has no labels, or none changed.
    """

    reference: str
    candidate: str
    ran: PrecisionRan
    images: int
    max_error: float
    mean_error: float
    relative_error: float
    relative_l2: float
    cosine: float
    labels_changed: float | None
    changed_margin: float | None


def compare(
    reference: Pipeline, candidate: Pipeline, images: Sequence[Path], *, progress: Progress | None = None
) -> Comparison:
    """Run both on every image.

    Raises:
        UsageError: no images.
        BadShapeError: the two do not give outputs of one shape.
    """
    if not images:
        raise UsageError("compare needs at least one image.")
    largest = total_error = squared = squared_reference = squared_candidate = product = 0.0
    max_error, values, changed, pixels, margin = 0.0, 0, 0, 0, 0.0
    for done, path in enumerate(images):
        expected, left = _outputs(reference, path)
        found, right = _outputs(candidate, path)
        if expected.shape != found.shape:
            raise BadShapeError(f"{path.name}: the reference gives {expected.shape}, the candidate {found.shape}.")
        difference = found - expected
        max_error = max(max_error, float(np.abs(difference).max()))
        largest = max(largest, float(np.abs(expected).max()))
        total_error += float(np.abs(difference).sum())
        values += difference.size
        squared += float(np.vdot(difference, difference))
        squared_reference += float(np.vdot(expected, expected))
        squared_candidate += float(np.vdot(found, found))
        product += float(np.vdot(expected, found))
        if isinstance(left, SegmentationMap) and isinstance(right, SegmentationMap):
            differs = left.class_id != right.class_id
            changed += int(np.count_nonzero(differs))
            pixels += differs.size
            margin = max(margin, _largest_margin(expected, differs))
        if progress:
            progress(done + 1, len(images))
    return Comparison(
        reference=str(reference.artifact.folder),
        candidate=str(candidate.artifact.folder),
        ran=candidate.runner.precision,
        images=len(images),
        max_error=max_error,
        mean_error=total_error / values,
        relative_error=max_error / largest if largest else 0.0,
        relative_l2=(squared / squared_reference) ** 0.5 if squared_reference else 0.0,
        cosine=product / (squared_reference * squared_candidate) ** 0.5
        if squared_reference * squared_candidate
        else 1.0,
        labels_changed=changed / pixels if pixels else None,
        changed_margin=margin if changed else None,
    )


def _outputs(pipeline: Pipeline, path: Path) -> tuple[F64, Prediction]:
    """The raw output (C, h, w) of one image, and what the task makes of it at the network's size."""
    prepared = pipeline.prepare(pipeline.read(path))
    batch = np.zeros((_smallest_batch(pipeline), *prepared.array.shape), dtype=prepared.array.dtype)
    batch[0] = prepared.array
    output = pipeline.runner.run({pipeline.spec.input.name: batch})[pipeline.spec.output.name]
    kept = np.array(output[0], dtype=np.float64)  # the next inference may overwrite it
    return kept, pipeline.run([prepared], frame="network")[0]


def _smallest_batch(pipeline: Pipeline) -> int:
    if pipeline.runner.batch_sizes:
        return pipeline.runner.batch_sizes[0]
    images = pipeline.spec.input.shape[0]
    return images if isinstance(images, int) else images.min


def _largest_margin(logits: F64, differs: npt.NDArray[np.bool_]) -> float:
    """Largest gap between the two best logits where labels differ; 0 when the maps are not of one size."""
    if not differs.any() or logits.shape[1:] != differs.shape:
        return 0.0
    at = np.sort(logits[:, differs], axis=0)
    return float((at[-1] - at[-2]).max())
