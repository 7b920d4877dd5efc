"""Which int8 ranges and biases lose least on this network: tried on a few images, by the outputs they lead to."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import numpy as np

from densecast import artifact
from densecast.artifact import Artifact, CalibrationRecord
from densecast.backends._base import BuildJob, SettlesScheme
from densecast.errors import UsageError
from densecast.runtime.execution import ExecutionConfig
from densecast.runtime.machine import usable_cpus
from densecast.spec.options import ActivationScheme, BiasCorrection, CalibrationMethod
from densecast.spec.tensor import Array, Feeds
from densecast.verbs.builder.compile_plan import CompilePlan

Choice = TypeVar("Choice", bound=str)

DEFAULT: CalibrationMethod = "mean_minmax"
# Images that ranges are found on, and other ones that they are judged by.
FITTED, JUDGED = 16, 8
# Larger inputs take proportionally longer, and show proportionally more pixels.
_FULL_COUNT_PIXELS = 1 << 19
_LEAST = 4
# With fewer calibration images in all, those to judge by would be too few.
_ENOUGH = 16
# Another way than the default has to be better by this much: smaller differences turn around on other images.
_BETTER_BY = 0.05
# The most that calibrating the whole network with the chosen estimator may take; slow ones get fewer images.
_SECONDS = 300.0


def scheme(backend: ModuleType, graph: Path) -> ActivationScheme:
    """How a backend lays out the int8 ranges of a graph unless it is told; asymmetric wastes the least of them."""
    if isinstance(backend, SettlesScheme):
        chosen: ActivationScheme = backend.activation_scheme(graph)
        return chosen
    return "asymmetric"


def resolve(wanted: CompilePlan, graph: Path) -> tuple[BuildJob, CalibrationRecord | None]:
    """The build's job with scheme, estimator and bias correction named, and what the calibration's record says of them.

    Only `auto` is a choice; there have to be enough images to judge by, and a backend that has several estimators.
    Whether correcting biases helps is asked of the chosen estimator on the same images, which is one trial more: it can
    hurt, so it is not done unasked and unmeasured.

    Raises:
        UsageError: biases are to be corrected by a quantiser that does not.
    """
    job, record = wanted.job(graph), wanted.record
    if record is None:
        return job, None
    asked, corrects = job.options.quantize, getattr(wanted.backend, "CORRECTS_BIASES", False)
    if asked.bias_correction in ("fast", "full") and not corrects:
        raise UsageError(f"backend {wanted.options.backend!r} does not correct biases: leave --bias-correction out.")
    if asked.activations == "auto":
        asked = replace(asked, activations=scheme(wanted.backend, graph))
        job = replace(job, options=replace(job.options, quantize=asked))
    bias: BiasCorrection = asked.bias_correction
    if bias == "auto":
        bias = "none"
    offered: tuple[CalibrationMethod, ...] = getattr(wanted.backend, "CALIBRATION_METHODS", ())
    calibration_method = DEFAULT if asked.calibration_method == "auto" else asked.calibration_method
    found = _Found(calibration_method, bias)
    if asked.calibration_method == "auto" and offered and len(job.calibration) >= _ENOUGH:
        found = _compared(wanted, job, offered, bias, both=corrects and asked.bias_correction == "auto")
    kept = _spread(len(job.calibration), found.affordable or len(job.calibration))
    if len(kept) < len(job.calibration):
        job = replace(job, calibration=[job.calibration[index] for index in kept])
        record = replace(record, count=len(kept), ids=tuple(record.ids[index] for index in kept))
    return _with(job, found.calibration_method, found.bias), replace(
        record,
        calibration_method=found.calibration_method,
        tried=found.tried,
        measure=found.measure,
        bias_correction=found.bias if corrects else "",
        tried_biases=found.tried_biases,
        activations=asked.activations,
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """What is taken, and why; `affordable` is how many images may be calibrated on, 0 for any number."""

    calibration_method: CalibrationMethod
    bias: BiasCorrection
    tried: dict[str, float] = field(default_factory=dict)
    tried_biases: dict[str, float] = field(default_factory=dict)
    measure: str = ""
    affordable: int = 0


def _compared(
    wanted: CompilePlan, job: BuildJob, offered: Sequence[CalibrationMethod], bias: BiasCorrection, *, both: bool
) -> _Found:
    """Try every estimator on a few images; with `both`, the best of them with biases corrected as well."""
    fitted, judged = _images(job)
    with tempfile.TemporaryDirectory() as folder:
        expected = _expected(wanted, job, judged, Path(folder))

        def attempt(calibration_method: CalibrationMethod, bias: BiasCorrection) -> tuple[float, float]:
            """The change of the outputs, and the seconds that an image took."""
            start = time.perf_counter()
            trial = replace(_with(job, calibration_method, bias), calibration=fitted)
            outputs = _outputs(wanted, trial, judged, Path(folder) / f"{calibration_method}_{bias}")
            changed = _changed(expected, outputs, labels=wanted.spec.task == "segmentation")
            return changed, (time.perf_counter() - start) / len(fitted)

        trials = {calibration_method: attempt(calibration_method, bias) for calibration_method in offered}
        tried = {name: changed for name, (changed, _) in trials.items()}
        chosen = _better(tried, DEFAULT)
        tried_biases: dict[BiasCorrection, float] = {}
        if both:
            tried_biases = {bias: tried[chosen], "fast": attempt(chosen, "fast")[0]}
            bias = _better(tried_biases, bias)
    return _Found(
        chosen,
        bias,
        {str(name): value for name, value in tried.items()},
        {str(name): value for name, value in tried_biases.items()},
        "labels_changed" if wanted.spec.task == "segmentation" else "relative_l2",
        max(len(fitted), int(_SECONDS / trials[chosen][1])),
    )


def _better(tried: Mapping[Choice, float], default: Choice) -> Choice:
    """What changes the outputs least, if by so much less than `default` does that it means something."""
    best = min(tried, key=lambda name: tried[name])
    return best if tried[best] < (1 - _BETTER_BY) * tried[default] else default


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


def _with(job: BuildJob, calibration_method: CalibrationMethod, bias: BiasCorrection) -> BuildJob:
    quantize = replace(job.options.quantize, calibration_method=calibration_method, bias_correction=bias)
    return replace(job, options=replace(job.options, quantize=quantize))


def _expected(wanted: CompilePlan, job: BuildJob, judged: Sequence[Feeds], folder: Path) -> list[Array]:
    exact = replace(job, options=replace(job.options, precision="force_float32"), calibration=())
    return _outputs(wanted, exact, judged, folder / "float32")


def _outputs(wanted: CompilePlan, job: BuildJob, judged: Sequence[Feeds], folder: Path) -> list[Array]:
    with artifact.writing(folder) as draft:
        made = wanted.backend.build(job, draft.folder)
        draft.finish(replace(wanted.manifest(made, (), 0.0), build=job.options))
    runner = wanted.backend.load(Artifact.open(folder), ExecutionConfig(usable_cpus(), use_cache=False))
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
