"""Where two rungs part: reading and preparing images first, then the network's inside, then the decoding."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from densecast.errors import UsageError
from densecast.spec.prediction import Poses, Prediction, SegmentationMap
from densecast.verbs.compare import locate, stages
from densecast.verbs.compare.ladder import decoded, see
from densecast.verbs.compare.locate import Findings, Location
from densecast.verbs.compare.rung import Rung, as_float_feed

# Images are read and prepared by both to be compared; the inside is looked at with the first of them.
_MOST_IMAGES = 20


def find(reference: Rung, candidate: Rung, images: Sequence[Path]) -> Findings:
    """The first stage, and within the network the first tensor, that differs beyond what rounding explains.

    Raises:
        UsageError: no images.
    """
    if not images:
        raise UsageError("compare needs at least one image.")
    for path in images[:_MOST_IMAGES]:
        if (fault := before_network(reference, candidate, path)) is not None:
            return Findings(fault, (), 0)
    closed = [rung.title for rung in (reference, candidate) if rung.inspect is None]
    if reference.inspect is None or candidate.inspect is None:
        after = _after_network(reference, candidate, images[0])
        return Findings(after, (), 0, f"{' and '.join(closed)} shows no inner tensors")
    left, right = _feed(reference, images[0]), _feed(candidate, images[0])
    found = locate.locate(reference.inspect(left.shape), candidate.inspect(right.shape), candidate.stored, left, right)
    if found.location is not None:
        return found
    return Findings(_after_network(reference, candidate, images[0]), found.curve, found.runs)


def find_all(reference: Rung, candidates: Sequence[Rung], images: Sequence[Path]) -> list[Findings]:
    """`find` for each rung; once the float graph is known to be right, it stands in for its original network.

    It has a tensor for every operator, with the names that later rungs keep.
    """
    base, found = reference, []
    for candidate in candidates:
        found.append(find(base, candidate, images))
        if candidate.kind == "float graph" and found[-1].location is None:
            base = candidate
    return found


def before_network(reference: Rung, candidate: Rung, path: Path) -> Location | None:
    """What of reading and preparing an image differs."""
    left, right = reference.pipeline, candidate.pipeline
    images = left.read(path), right.read(path)
    told = stages.spec_differences(left.spec, right.spec, "preprocess")
    if images[0].shape != images[1].shape or not np.array_equal(*images):
        return Location("decode", "", "", "", f"{path.name} is read as another image. {told}".strip())
    arrays = [
        as_float_feed(rung, rung.pipeline.prepare(image).array)
        for rung, image in zip((reference, candidate), images, strict=True)
    ]
    fault = stages.compare_inputs(arrays[0], arrays[1])
    if fault is None:
        return None
    return Location(fault.stage, "", "", "", f"{fault.symptom}. {told}".strip())


def _after_network(reference: Rung, candidate: Rung, path: Path) -> Location | None:
    """Whether one output is decoded to other predictions, the inside of the networks being alike."""
    seen = see(reference.pipeline, path)
    ours, theirs = (decoded(rung.pipeline, seen, "image") for rung in (reference, candidate))
    if _equal(ours, theirs):
        return None
    told = stages.spec_differences(reference.pipeline.spec, candidate.pipeline.spec, "decode")
    return Location("postprocess", "", "", "", f"one output is decoded to other predictions. {told}".strip())


def _feed(rung: Rung, path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    pipeline = rung.pipeline
    array = pipeline.prepare(pipeline.read(path)).array
    return np.asarray(array[None])


def _equal(left: Prediction, right: Prediction) -> bool:
    if isinstance(left, SegmentationMap) and isinstance(right, SegmentationMap):
        return np.array_equal(left.class_id, right.class_id)
    if isinstance(left, Poses) and isinstance(right, Poses):
        return len(left) == len(right) and np.array_equal(left.xy_px, right.xy_px)
    return False
