"""Makes the candidates of a search: float32, 16 bits, and any mixture of 16 bits and int8 from one calibration."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from densecast import artifact
from densecast.artifact import Artifact, CalibrationRecord, Manifest
from densecast.backends._base import BuildJob, Built, Quantized, Quantizes
from densecast.errors import UsageError
from densecast.pipeline import Pipeline
from densecast.runtime.execution import ExecutionConfig
from densecast.runtime.machine import usable_cpus
from densecast.verbs.builder import calibration_methods
from densecast.verbs.builder.compile_plan import CompilePlan

Kept = frozenset[str]


class Workshop:
    """Candidates as artifacts in a scratch folder, each removed when its pipeline is closed."""

    def __init__(self, wanted: CompilePlan, folder: Path, *, threads: int | None = None) -> None:
        if not isinstance(wanted.backend, Quantizes):
            raise UsageError(
                f"--max-drop: backend {wanted.options.backend!r} cannot leave single layers in 16 bits. "
                "Use openvino or onnxruntime."
            )
        self._wanted, self._folder, self._count = wanted, folder, 0
        self._config = ExecutionConfig(threads or usable_cpus(), use_cache=False)
        graph = folder / "graph.onnx"
        self._notes = wanted.write_graph(graph)
        self._job, self._record = calibration_methods.resolve(wanted, graph)
        self._quantized: Quantized = wanted.backend.quantized(self._job)
        # 16 bits as they would be built if they were asked for, with the rewritings that pay in them.
        self._wide_wanted = replace(wanted, options=replace(wanted.options, precision="force_float16"), feeds=())
        self._wide_notes = self._wide_wanted.write_graph(folder / "wide.onnx")
        self._wide: tuple[Artifact, Built] | None = None

    @property
    def layers(self) -> tuple[str, ...]:
        """What can be left in 16 bits."""
        return self._quantized.layers

    @property
    def calibration(self) -> CalibrationRecord | None:
        """The images and the estimator."""
        return self._record

    def cost_ms(self) -> dict[str, float]:
        """What each layer takes longer in 16 bits, where the engine can tell."""
        return self._quantized.cost_ms()

    def exact(self) -> Pipeline:
        """The whole network in float32."""
        options = replace(self._job.options, precision="force_float32")
        return self._open(self._write(replace(self._job, options=options, calibration=()))[0])

    def wide(self) -> Pipeline:
        """The whole network in 16 bits."""
        self._wide = self._write(self._wide_wanted.job(self._folder / "wide.onnx"))
        return self._open(self._wide[0])

    def mixed(self, kept: Kept) -> Pipeline:
        """int8 but for the layers kept."""
        folder = self._next()
        with artifact.writing(folder) as draft:
            made = self._quantized.write(kept, draft.folder)
            draft.finish(self.manifest(made))
        return self._open(Artifact.open(folder))

    def into(self, folder: Path, kept: Kept | None) -> Built:
        """The files of a mixture, or for None of the 16-bit model that was measured, written into `folder`."""
        if kept is not None:
            return self._quantized.write(kept, folder)
        assert self._wide is not None
        measured, made = self._wide
        for name in measured.manifest.files:
            shutil.copyfile(measured.file(name), folder / name)
        return made

    def manifest(self, made: Built, seconds: float = 0.0, *, wide: bool = False) -> Manifest:
        """The manifest of a mixture, or of the 16-bit model, for which int8 was asked all the same."""
        asked = self._wanted.options.precision
        if wide:
            made_of = self._wide_wanted.manifest(made, self._wide_notes, seconds, asked)
            return replace(made_of, calibration=None)
        return replace(self._wanted.manifest(made, self._notes, seconds, asked), calibration=self._record)

    def discard(self, pipeline: Pipeline) -> None:
        """Close, and free the disk unless the 16-bit model may be wanted yet."""
        pipeline.close()
        if self._wide is None or pipeline.artifact.folder != self._wide[0].folder:
            shutil.rmtree(pipeline.artifact.folder, ignore_errors=True)

    def _write(self, job: BuildJob) -> tuple[Artifact, Built]:
        folder = self._next()
        with artifact.writing(folder) as draft:
            made: Built = self._wanted.backend.build(job, draft.folder)
            draft.finish(self.manifest(made))
        return Artifact.open(folder), made

    def _next(self) -> Path:
        self._count += 1
        return self._folder / f"candidate{self._count}"

    def _open(self, opened: Artifact) -> Pipeline:
        return Pipeline(opened, self._wanted.backend.load(opened, self._config), self._config)
