"""Localises where two stages diverge: in preprocessing, inside the network, or in postprocessing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from densecast.errors import UsageError
from densecast.results.compare import Findings, Location
from densecast.spec.tensor import Array
from densecast.verbs.compare import divergence_search, pipeline_steps
from densecast.verbs.compare.forward import forward, postprocessed
from densecast.verbs.compare.stage import ChainStage, as_float_feed

# Images are read and prepared by both to be compared; the inside is looked at with the first of them.
_MOST_IMAGES = 20


def localise(reference: ChainStage, candidate: ChainStage, images: Sequence[Path]) -> Findings:
    """Find the first step, and within the network the first tensor, that differs by more than rounding explains.

    Raises:
        UsageError: no images.
    """
    if not images:
        raise UsageError("compare needs at least one image.", field="images")
    for path in images[:_MOST_IMAGES]:
        if (location := _before_network(reference, candidate, path)) is not None:
            return Findings(location, (), 0)
    left, right = _feed(reference, images[0]), _feed(candidate, images[0])
    inspectors = reference.inspect(left.shape), candidate.inspect(right.shape)
    if inspectors[0] is None or inspectors[1] is None:
        stages = zip((reference, candidate), inspectors, strict=True)
        closed = " and ".join(stage.title for stage, inspector in stages if inspector is None)
        location = _after_network(reference, candidate, images[0])
        return Findings(location, (), 0, f"{closed} shows no inner tensors")
    findings = divergence_search.search(inspectors[0], inspectors[1], candidate.stored, left, right)
    if findings.location is not None:
        return findings
    return Findings(_after_network(reference, candidate, images[0]), findings.curve, findings.runs)


def localise_all(reference: ChainStage, candidates: Sequence[ChainStage], images: Sequence[Path]) -> list[Findings]:
    """Localise each stage; once the float graph is known to be correct, it replaces its original network as reference.

    It has a tensor for every operator, with the names that later stages keep. A checkpoint's
    network, whose normalisations are not folded, is still held against the original one.
    """
    base, findings = reference, []
    for candidate in candidates:
        findings.append(localise(reference if candidate.kind == "framework" else base, candidate, images))
        if candidate.kind == "float graph" and findings[-1].location is None:
            base = candidate
    return findings


def _before_network(reference: ChainStage, candidate: ChainStage, path: Path) -> Location | None:
    """Differences in reading and preprocessing an image."""
    left, right = reference.pipeline, candidate.pipeline
    images = left.read(path), right.read(path)
    options = pipeline_steps.spec_differences(left.spec, right.spec, "preprocess")
    if images[0].shape != images[1].shape or not np.array_equal(*images):
        return Location("decode", "", "", "", f"{path.name} is read as another image. {options}".strip())
    arrays = []
    for stage, image in zip((reference, candidate), images, strict=True):
        feeds = stage.pipeline.preprocess(image).feeds[0]
        arrays.append(as_float_feed(stage, feeds[stage.pipeline.spec.input.name]))
    fault = pipeline_steps.compare_inputs(arrays[0], arrays[1])
    if fault is None:
        return None
    return Location(fault.step, "", "", "", f"{fault.symptom}. {options}".strip())


def _after_network(reference: ChainStage, candidate: ChainStage, path: Path) -> Location | None:
    """Whether the same output is postprocessed to different predictions."""
    left, right = reference.pipeline, candidate.pipeline
    result = forward(left, path)
    ours = left.task.tensors(postprocessed(left, result, "image"))
    theirs = right.task.tensors(postprocessed(right, result.under_names_of(left.spec, right.spec), "image"))
    if set(ours) == set(theirs) and all(np.array_equal(ours[name], theirs[name]) for name in ours):
        return None
    options = pipeline_steps.spec_differences(left.spec, right.spec, "decode")
    return Location("postprocess", "", "", "", f"one output is decoded to other predictions. {options}".strip())


def _feed(stage: ChainStage, path: Path) -> Array:
    """The main input (1, C, H, W) of an image."""
    pipeline = stage.pipeline
    feeds = pipeline.preprocess(pipeline.read(path)).feeds[0]
    return np.asarray(feeds[pipeline.spec.input.name][None])
