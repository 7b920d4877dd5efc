"""Selects the calibration method and bias correction that change the outputs least, by trying them on a few images."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from densecast import artifact
from densecast.artifact import CalibrationRecord, CompiledArtifact
from densecast.backends._base import (
    Backend,
    BuildJob,
    Built,
    CalibrationTrials,
    ChoosesActivationScheme,
    TriesCalibrations,
)
from densecast.backends._divided import Divided
from densecast.errors import UsageError
from densecast.runtime import stages
from densecast.runtime.execution import ExecutionConfig
from densecast.runtime.machine import usable_cpus
from densecast.session import Session
from densecast.spec.model import ModelSpec
from densecast.spec.options import ActivationScheme, BiasCorrection, CalibrationMethod
from densecast.spec.tensor import Feeds
from densecast.tasks._base import F32, TASKS, Task, WeighsOutputs
from densecast.verbs.builder import calibration, calibration_images
from densecast.verbs.builder.compile_plan import CompilePlan

_log = logging.getLogger(__name__)

Choice = TypeVar("Choice", bound=str)

DEFAULT: CalibrationMethod = "mean_minmax"
# Images to find ranges on, and others to evaluate them on.
CALIBRATED, EVALUATED = 16, 8
# Larger inputs take proportionally longer, and show proportionally more pixels.
_FULL_COUNT_PIXELS = 1 << 19
_FEWEST = 4
# With fewer calibration images in all, those to evaluate on would be too few.
_ENOUGH = 16
# Another way than the default has to be better by this much: smaller differences turn around on other images.
_BETTER_BY = 0.05
# The most that the whole calibration may look at: 300 images of half a megapixel, so that large ones get fewer.
_MOST_PIXELS = 300 * _FULL_COUNT_PIXELS


def activation_scheme(backend: Backend, graph: Path) -> ActivationScheme:
    """Resolve the activation scheme `auto` for a graph; asymmetric by default, which loses least."""
    return backend.activation_scheme(graph) if isinstance(backend, ChoosesActivationScheme) else "asymmetric"


def resolve(plan: CompilePlan, graph: Path) -> tuple[BuildJob, CalibrationRecord | None]:
    """Resolve activation scheme, calibration method and bias correction; returns the build's job and a record.

    Only `auto` is a choice; there have to be enough images to evaluate on, and a backend that has several methods.
    Whether correcting biases helps is measured for the chosen method on the same images, which is one trial more: it
    can hurt, so `auto` without a measurement is `none`.

    Raises:
        UsageError: biases are to be corrected by a quantiser that does not.
    """
    job, record = plan.job(graph), plan.record
    if record is None:
        return job, None
    options, corrects_biases = job.options.quantize, plan.backend.traits.corrects_biases
    if options.bias_correction in ("fast", "full") and not corrects_biases:
        raise UsageError(
            f"backend {plan.options.backend!r} does not correct biases: leave bias_correction out.",
            field="quantize.bias_correction",
        )
    if options.activations == "auto":
        options = replace(options, activations=activation_scheme(plan.backend, graph))
        job = replace(job, options=replace(job.options, quantize=options))
    bias: BiasCorrection = "none" if options.bias_correction == "auto" else options.bias_correction
    remarks = calibration_images.remarks_of(plan.spec, options, plan.images, plan.data)
    record = calibration_images.remarked(record, remarks)
    resolved = _resolved(plan, job, bias, corrects_biases=corrects_biases)
    picks = _picks(plan, job, resolved)
    if picks != list(range(len(job.calibration))):
        job = replace(job, calibration=_picked(job.calibration, picks))
        record = replace(record, count=len(picks), ids=tuple(record.ids[index] for index in picks))
    if isinstance(plan.feeds, Divided):
        why = calibration.undivided(plan.options.backend, plan.backend.traits, resolved.method, resolved.bias)
        if why is not None:
            remark = f"{why}: this machine has calibrated alone"
            _log.warning("int8 calibration: %s", remark)
            record = replace(record, remarks=(*record.remarks, remark))
    job = replace(job, tried=len(resolved.calibrated) if resolved.is_one_pass else 0)
    return _with(job, resolved.method, resolved.bias), replace(
        record,
        calibration_method=resolved.method,
        tried=resolved.tried,
        measure=resolved.measure,
        bias_correction=resolved.bias if corrects_biases else "",
        tried_biases=resolved.tried_biases,
        activations=options.activations,
    )


def _resolved(plan: CompilePlan, job: BuildJob, bias: BiasCorrection, *, corrects_biases: bool) -> _Resolved:
    """What is asked for, or what changes the outputs least."""
    options = job.options.quantize
    methods = plan.backend.traits.calibration_methods
    if options.calibration_method != "auto":
        return _Resolved(options.calibration_method, bias)
    if not methods or len(job.calibration) < _ENOUGH:
        return _Resolved(DEFAULT, bias)
    tries_biases = corrects_biases and options.bias_correction == "auto"
    return _compared(plan, job, methods, bias, tries_biases=tries_biases)


def of_images(record: CalibrationRecord | None, built: Built) -> CalibrationRecord | None:
    """The record of those images that a build has used."""
    if record is None or not 0 < built.images < record.count:
        return record
    return replace(record, count=built.images, ids=record.ids[: built.images])


@dataclass(frozen=True, slots=True)
class _Resolved:
    """The selected options, and why.

    `calibrated` are the places of the images that ranges were tried with; `is_one_pass` says that the backend has kept
    what it has found on them.
    """

    method: CalibrationMethod
    bias: BiasCorrection
    tried: dict[str, float] = field(default_factory=dict)
    tried_biases: dict[str, float] = field(default_factory=dict)
    measure: str = ""
    calibrated: Sequence[int] = ()
    is_one_pass: bool = False


def _compared(
    plan: CompilePlan,
    job: BuildJob,
    methods: Sequence[CalibrationMethod],
    bias: BiasCorrection,
    *,
    tries_biases: bool,
) -> _Resolved:
    """Try every method on a few images; with `tries_biases`, also the best one with bias correction."""
    places = _places(job)
    calibrated, evaluated = ([job.calibration[index] for index in each] for each in places)
    task = TASKS.load_trusted(plan.spec.task)
    with tempfile.TemporaryDirectory() as folder:
        trials_of = _trials(
            plan,
            replace(job, calibration=calibrated),
            methods,
            Path(folder),
            with_biases=tries_biases or bias == "fast",
        )
        stages.at("float32, to compare int8 with")
        expected = trials_of.float32(evaluated)

        def measure(method: CalibrationMethod, bias: BiasCorrection) -> float:
            """Measure the change of the outputs."""
            corrected = "" if bias == "none" else f", biases corrected ({bias})"
            stages.at(f"trying int8 ranges by {method}{corrected} on {len(calibrated)} images")
            outputs = trials_of.int8(method, bias, evaluated)
            return output_change(task, expected, outputs, plan.spec)

        tried = {method: measure(method, bias) for method in methods}
        chosen = _better(tried, DEFAULT)
        tried_biases: dict[BiasCorrection, float] = {}
        if tries_biases:
            tried_biases = {bias: tried[chosen], "fast": measure(chosen, "fast")}
            bias = _better(tried_biases, bias)
    return _Resolved(
        chosen,
        bias,
        {str(name): value for name, value in tried.items()},
        {str(name): value for name, value in tried_biases.items()},
        task.output_measure if isinstance(task, WeighsOutputs) else "relative_l2",
        places[0],
        not isinstance(trials_of, _WholeBuilds),
    )


def output_change(task: Task[Any, Any], expected: Sequence[F32], outputs: Sequence[F32], spec: ModelSpec) -> float:
    """How much main outputs changed, as weighed by the task, else by the relative L2 norm of the difference."""
    if isinstance(task, WeighsOutputs):
        return task.output_change(expected, outputs, spec)
    norm = np.linalg.norm(np.concatenate([each.ravel() for each in expected]))
    pairs = zip(expected, outputs, strict=True)
    return float(np.linalg.norm(np.concatenate([np.subtract(right, left).ravel() for left, right in pairs])) / norm)


def _better(tried: Mapping[Choice, float], default: Choice) -> Choice:
    """The option that changes the outputs least, if it is significantly better than `default`."""
    best = min(tried, key=lambda name: tried[name])
    return best if tried[best] < (1 - _BETTER_BY) * tried[default] else default


def _pixels(job: BuildJob) -> int:
    """The pixels of a calibration image, as the network sees it."""
    return max(int(np.prod(job.calibration[0][job.spec.input.name].shape[2:])), 1)


def _places(job: BuildJob) -> tuple[list[int], list[int]]:
    """The places of images to calibrate on and, interleaved with them, of those to evaluate on; fewer if large."""
    share = min(1.0, _FULL_COUNT_PIXELS / _pixels(job))
    calibrated, evaluated = (max(_FEWEST, int(count * share)) for count in (CALIBRATED, EVALUATED))
    picks = _spread(len(job.calibration), calibrated + evaluated)
    held_out = picks[1 :: max(2, (calibrated + evaluated) // evaluated)]
    return sorted(set(picks) - set(held_out)), held_out


def _picks(plan: CompilePlan, job: BuildJob, resolved: _Resolved) -> list[int]:
    """The places of the images to calibrate on in the end, those first that ranges were tried with."""
    most = max(len(resolved.calibrated), CALIBRATED, _MOST_PIXELS // _pixels(job))
    picks = _spread(len(job.calibration), most)
    if not plan.backend.traits.settles:
        return picks
    tried = resolved.calibrated if resolved.is_one_pass else ()
    others = [index for index in picks if index not in set(tried)]
    return [*tried, *(others[place] for place in calibration.in_spread_order(len(others)))][:most]


def _picked(given: Sequence[Feeds], places: Sequence[int]) -> Sequence[Feeds]:
    return given.picked(places) if isinstance(given, calibration.CalibrationFeeds) else [given[each] for each in places]


def _spread(total: int, count: int) -> list[int]:
    """At most `count` of `total` indices, evenly spaced."""
    return sorted(set(np.linspace(0, total - 1, min(count, total)).round().astype(int).tolist()))


def _with(job: BuildJob, method: CalibrationMethod, bias: BiasCorrection) -> BuildJob:
    quantize = replace(job.options.quantize, calibration_method=method, bias_correction=bias)
    return replace(job, options=replace(job.options, quantize=quantize))


def _trials(
    plan: CompilePlan,
    job: BuildJob,
    methods: Sequence[CalibrationMethod],
    folder: Path,
    *,
    with_biases: bool,
) -> CalibrationTrials:
    """Int8 models of the job, to be compared: all from one pass where the backend can, else a build with each."""
    backend = plan.backend
    if isinstance(backend, TriesCalibrations):
        stages.at(f"int8 ranges by {len(methods)} methods, on {len(job.calibration)} images")
        found = backend.calibration_trials(job, methods, with_biases=with_biases)
        if found is not None:
            return found
    return _WholeBuilds(plan, job, folder)


class _WholeBuilds:
    """Trials as builds of their own, each calibrated from the start."""

    def __init__(self, plan: CompilePlan, job: BuildJob, folder: Path) -> None:
        self._plan, self._job, self._folder = plan, job, folder

    def float32(self, images: Sequence[Feeds]) -> list[F32]:
        options = replace(self._job.options, precision="force_float32")
        return self._outputs(replace(self._job, options=options, calibration=()), images, self._folder / "float32")

    def int8(self, method: CalibrationMethod, bias: BiasCorrection, images: Sequence[Feeds]) -> list[F32]:
        return self._outputs(_with(self._job, method, bias), images, self._folder / f"{method}_{bias}")

    def _outputs(self, job: BuildJob, images: Sequence[Feeds], folder: Path) -> list[F32]:
        """The main output (N, C, h, w) of each image, from the model that `job` builds."""
        plan = self._plan
        with artifact.writing(folder) as draft:
            built = plan.backend.build(job, draft.folder)
            draft.finish(replace(plan.manifest(built, (), 0.0), build=job.options))
        config = ExecutionConfig(usable_cpus(), use_cache=False)
        with Session.open(CompiledArtifact.open(folder), config, check_cpu=False) as session:
            return [np.asarray(session.forward(feeds)[plan.spec.output.name], dtype=np.float32) for feeds in images]
