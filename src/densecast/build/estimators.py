"""Which way of finding int8 ranges loses least on this network: tried on a few images, by the outputs it leads to."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from densecast.build.prepared import Prepared
from densecast.core import artifact
from densecast.core.artifact import Artifact, CalibrationRecord
from densecast.core.machine import usable_cpus
from densecast.core.options import RangeEstimator
from densecast.core.runner import BuildJob, Plan
from densecast.core.tensor import Array, Feeds

DEFAULT: RangeEstimator = "mean_minmax"
# Images that ranges are found on, and other ones that they are judged by.
FITTED, JUDGED = 16, 8
# Larger inputs take proportionally longer, and show proportionally more pixels.
_FULL_COUNT_PIXELS = 1 << 19
_LEAST = 4
# With fewer calibration images in all, those to judge by would be too few.
_ENOUGH = 16
# Another estimator has to be better by this much: smaller differences turn around on other images.
_BETTER_BY = 0.05
# The most that calibrating the whole network with the chosen estimator may take; slow ones get fewer images.
_SECONDS = 300.0


def settle(wanted: Prepared, graph: Path) -> tuple[BuildJob, CalibrationRecord | None]:
    """The build's job with an estimator named, and what the calibration's record says of the choice.

    Only `auto` is a choice; there have to be enough images to judge by, and a backend that has several estimators.
    """
    job, record = wanted.job(graph), wanted.record
    quantize = job.options.quantize
    if record is None or quantize.estimator != "auto":
        return job, replace(record, estimator=quantize.estimator) if record else None
    offered: tuple[RangeEstimator, ...] = getattr(wanted.backend, "ESTIMATORS", ())
    if not offered or len(job.calibration) < _ENOUGH:
        return _with(job, DEFAULT), replace(record, estimator=DEFAULT)
    fitted, judged = _images(job)
    with tempfile.TemporaryDirectory() as folder:
        expected = _expected(wanted, job, judged, Path(folder))
        tried: dict[str, float] = {}
        seconds: dict[str, float] = {}
        for estimator in offered:
            start = time.perf_counter()
            trial = replace(_with(job, estimator), calibration=fitted)
            outputs = _outputs(wanted, trial, judged, Path(folder) / estimator)
            tried[estimator] = _changed(expected, outputs, labels=wanted.spec.task == "segmentation")
            seconds[estimator] = (time.perf_counter() - start) / len(fitted)
    best = min(offered, key=lambda name: tried[name])
    chosen = best if tried[best] < (1 - _BETTER_BY) * tried[DEFAULT] else DEFAULT
    affordable = max(len(fitted), int(_SECONDS / seconds[chosen]))
    kept = _spread(len(job.calibration), affordable)
    thinned = kept if len(kept) < len(job.calibration) else None
    calibration = job.calibration if thinned is None else [job.calibration[index] for index in thinned]
    if thinned is not None:
        record = replace(record, count=len(thinned), ids=tuple(record.ids[index] for index in thinned))
    measure = "labels_changed" if wanted.spec.task == "segmentation" else "relative_l2"
    return (
        replace(_with(job, chosen), calibration=calibration),
        replace(record, estimator=chosen, tried=tried, measure=measure),
    )


def _images(job: BuildJob) -> tuple[list[Feeds], list[Feeds]]:
    """Images to find ranges on and, between them, images to judge by; fewer where they are large."""
    first = job.calibration[0]
    pixels = max(int(np.prod(next(iter(first.values())).shape[2:])), 1)
    share = min(1.0, _FULL_COUNT_PIXELS / pixels)
    fit, judge = (max(_LEAST, int(count * share)) for count in (FITTED, JUDGED))
    picks = _spread(len(job.calibration), fit + judge)
    judged = set(picks[1 :: max(2, (fit + judge) // judge)])
    return [job.calibration[index] for index in picks if index not in judged], [
        job.calibration[index] for index in sorted(judged)
    ]


def _spread(total: int, count: int) -> list[int]:
    """At most `count` of `total` places, evenly spaced."""
    return sorted(set(np.linspace(0, total - 1, min(count, total)).round().astype(int).tolist()))


def _with(job: BuildJob, estimator: RangeEstimator) -> BuildJob:
    quantize = replace(job.options.quantize, estimator=estimator)
    return replace(job, options=replace(job.options, quantize=quantize))


def _expected(wanted: Prepared, job: BuildJob, judged: Sequence[Feeds], folder: Path) -> list[Array]:
    exact = replace(job, options=replace(job.options, precision="force_float32"), calibration=())
    return _outputs(wanted, exact, judged, folder / "float32")


def _outputs(wanted: Prepared, job: BuildJob, judged: Sequence[Feeds], folder: Path) -> list[Array]:
    with artifact.writing(folder) as draft:
        made = wanted.backend.build(job, draft.folder)
        draft.finish(replace(wanted.manifest(made, (), 0.0), build=job.options))
    runner = wanted.backend.load(Artifact.open(folder), Plan(usable_cpus(), cached=False))
    outputs = [runner.run(feeds)[wanted.spec.output.name].copy() for feeds in judged]
    runner.close()
    return outputs


def _changed(expected: Sequence[Array], found: Sequence[Array], *, labels: bool) -> float:
    """The share of positions whose largest plane is another one, or the relative L2 norm of the difference."""
    if labels:
        changed = [(left.argmax(axis=1) != right.argmax(axis=1)) for left, right in zip(expected, found, strict=True)]
        return float(np.mean(np.concatenate([each.ravel() for each in changed])))
    norm = np.linalg.norm(np.concatenate([each.ravel() for each in expected]))
    pairs = zip(expected, found, strict=True)
    return float(np.linalg.norm(np.concatenate([np.subtract(right, left).ravel() for left, right in pairs])) / norm)
