"""Builds and times the search's candidates: float32, half precision, and mixed int8 from one calibration."""

from __future__ import annotations

import contextlib
import functools
import itertools
import shutil
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from densecast import artifact
from densecast.artifact import CompiledArtifact, CompiledManifest
from densecast.backends._base import BuildJob, Built, Quantized, Quantizes
from densecast.errors import UsageError
from densecast.imaging.views import ModelInputs
from densecast.pipeline import Pipeline
from densecast.runtime import ab_timing
from densecast.runtime.ab_timing import Ratio
from densecast.runtime.batching import Buffers, batches
from densecast.runtime.cpu_load import CpuLoad, LoadMeter
from densecast.runtime.execution import ExecutionConfig
from densecast.runtime.machine import usable_cpus
from densecast.session import Session
from densecast.verbs.builder import calibration_methods, float_check
from densecast.verbs.builder.compile_plan import CompilePlan
from densecast.verbs.mixed_precision.strategy import HalfLayers

_ROUNDS = ab_timing.RoundLimits(most=60, fewest=7, seconds=1.5)
# Speeds within a fiftieth are a tie: known to half of that, after so many seconds, they need no more rounds.
_KNOWN_WITHIN, _LEAST_S = 0.01, 0.4


class CandidateBuilder:
    """Builds candidates as artifacts in a scratch folder; each is removed when its pipeline is discarded."""

    def __init__(self, plan: CompilePlan, folder: Path, *, threads: int | None = None) -> None:
        if not isinstance(plan.backend, Quantizes):
            raise UsageError(
                f"backend {plan.options.backend!r} cannot leave single layers in 16 bits, as a search within a drop "
                "has to. Use openvino or onnxruntime.",
                field="backend",
            )
        self._plan, self._folder, self._numbers = plan, folder, itertools.count(1)
        cpus = threads or usable_cpus()
        # One inference at a time has all of them; another image is judged meanwhile.
        self._config = ExecutionConfig(cpus, use_cache=False, num_workers=min(2, cpus))
        self._building = threading.Lock()
        self._graphs = folder / "graph.onnx", folder / "half.onnx"
        self._notes = plan.write_graph(self._graphs[0])
        self._job, self._calibration = calibration_methods.resolve(plan, self._graphs[0])
        self._quantized: Quantized = plan.backend.quantized(self._job)
        # Half precision as a build of its own, with the graph passes that pay off in it.
        self._half_plan = replace(plan, options=replace(plan.options, precision="force_float16"), feeds=())
        self._half_notes = self._half_plan.write_graph(self._graphs[1])
        self._half: tuple[CompiledArtifact, Built] | None = None

    def check_engine(self) -> None:
        """Compare what the engine makes of both graphs in float32 with the graphs themselves.

        A drop is measured against the engine's own float32, beside which an operator that it misreads costs nothing.

        Raises:
            ParityError: the engine computes something else than a graph.
        """
        for plan, job, graph in (
            (self._plan, self._job, self._graphs[0]),
            (self._half_plan, self._half_plan.job(self._graphs[1]), self._graphs[1]),
        ):
            if float_check.is_needed(plan):
                float_check.check(plan, job, graph)

    @property
    def layers(self) -> tuple[str, ...]:
        """Layers that can be kept in half precision."""
        return self._quantized.layers

    def cost_ms(self) -> dict[str, float]:
        """Extra time of each layer in half precision over int8, if the engine can measure it."""
        return self._quantized.cost_ms()

    def float32(self) -> Pipeline:
        """Build the whole network in float32."""
        options = replace(self._job.options, precision="force_float32")
        return self._open(self._compile(replace(self._job, options=options, calibration=()))[0])

    def half(self) -> Pipeline:
        """Build the whole network in half precision."""
        self._half = self._compile(self._half_plan.job(self._graphs[1]))
        return self._open(self._half[0])

    def mixed(self, half_layers: HalfLayers) -> Pipeline:
        """Build in int8, except for `half_layers`; while one thread opens its build, another one's is built."""
        folder = self._next_folder()
        with self._building, artifact.writing(folder) as draft:
            built = self._quantized.write(half_layers, draft.folder)
            draft.finish(self.manifest(built))
        return self._open(CompiledArtifact.open(folder))

    def write_into(self, folder: Path, half_layers: HalfLayers | None) -> Built:
        """Write the files of a mixed-precision configuration, or for None of the measured half-precision model."""
        if half_layers is not None:
            return self._quantized.write(half_layers, folder)
        assert self._half is not None
        measured, built = self._half
        for name in measured.manifest.files:
            shutil.copyfile(measured.file(name), folder / name)
        return built

    def manifest(self, built: Built, seconds: float = 0.0, *, is_half: bool = False) -> CompiledManifest:
        """The manifest of a mixed-precision configuration or the half-precision model; both were requested as int8."""
        precision = self._plan.options.precision
        if is_half:
            manifest = self._half_plan.manifest(built, self._half_notes, seconds, precision)
            return replace(manifest, calibration=None)
        record = calibration_methods.of_images(self._calibration, built)
        return replace(self._plan.manifest(built, self._notes, seconds, precision), calibration=record)

    def discard(self, pipeline: Pipeline) -> None:
        """Close a pipeline and delete its files, unless it is the half-precision model, which may still be needed."""
        pipeline.close()
        opened = pipeline.artifact
        assert opened is not None
        if self._half is None or opened.folder != self._half[0].folder:
            shutil.rmtree(opened.folder, ignore_errors=True)

    def _compile(self, job: BuildJob) -> tuple[CompiledArtifact, Built]:
        folder = self._next_folder()
        with artifact.writing(folder) as draft:
            built = self._plan.backend.build(job, draft.folder)
            draft.finish(self.manifest(built))
        return CompiledArtifact.open(folder), built

    def _next_folder(self) -> Path:
        return self._folder / f"candidate{next(self._numbers)}"

    def _open(self, opened: CompiledArtifact) -> Pipeline:
        return Pipeline(Session.open(opened, self._config, check_cpu=False), artifact=opened)


@dataclass(frozen=True, slots=True)
class Speed:
    """A candidate's speed beside its baseline's: see `Trial`."""

    speed: float
    infer_ms: float
    speed_range: Ratio | None = None
    cpu_speed: float | None = None
    load: CpuLoad = field(default_factory=CpuLoad)


def measure_speed(candidate: Pipeline, baseline: Pipeline, inputs: ModelInputs) -> Speed:
    """Measure the network alone: the candidate's speed-up over the baseline, and its median in milliseconds."""
    _, feeds = next(batches(inputs.feeds[:1], candidate.spec.inputs, candidate.session.batch_sizes, Buffers()))
    with contextlib.ExitStack() as leases:
        own = leases.enter_context(candidate.session.lease())
        # A model may be its own baseline, and has no more than one slot.
        other = own if baseline is candidate else leases.enter_context(baseline.session.lease())
        cpu_s: tuple[list[float], list[float]] = ([], [])
        workloads = [
            ab_timing.cpu_noted(ab_timing.timed(functools.partial(slot.run, feeds)), taken)
            for slot, taken in zip((own, other), cpu_s, strict=True)
        ]
        for warm_up in workloads:
            warm_up()
        meter = LoadMeter()
        own_s, other_s = ab_timing.interleave(
            workloads,
            _ROUNDS,
            lambda seconds: ab_timing.is_known(seconds[1], seconds[0], _KNOWN_WITHIN, _LEAST_S),
        )
        load = meter.load()
    speed = ab_timing.undisturbed_ratio(other_s, own_s)
    over_rounds = ab_timing.median_ratio(other_s, own_s)
    speed_range = Ratio(speed, min(speed, over_rounds.low), max(speed, over_rounds.high))
    cpu_speed = ab_timing.cpu_ratio(cpu_s[1][1:], cpu_s[0][1:])
    return Speed(speed, float(np.median(own_s)) * 1e3, speed_range, cpu_speed, load)
