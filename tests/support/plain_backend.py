"""A backend that keeps the float graph as it is, whatever is asked for, and notes what it was asked for."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from densecast.artifact import CompiledArtifact
from densecast.artifact.half_type_record import HalfTypeRecord
from densecast.backends._base import BuildJob, Built, Capabilities, Runner, Traits
from densecast.backends.onnxruntime import OnnxRuntimeRunner
from densecast.errors import MissingExtraError
from densecast.runtime.execution import ExecutionConfig
from densecast.spec.options import BuildOptions
from densecast.spec.precision import PRECISIONS, PrecisionRan
from densecast.spec.tensor import Feeds


class PlainRunner(OnnxRuntimeRunner):
    """Runs the float graph; of a build that overflows every output is infinite."""

    most_at_once = 16
    overflows = False
    ran: PrecisionRan | None = None

    @property
    def precision(self) -> PrecisionRan:
        """What the build says that it runs in."""
        return self.ran or super().precision

    @property
    def max_concurrency(self) -> int:
        """Inferences at a time, whatever was asked for."""
        return self.most_at_once

    def run(self, feeds: Feeds, slot: int = 0) -> Feeds:
        """The outputs by name."""
        found = super().run(feeds, slot)
        return {name: np.full_like(each, np.inf) for name, each in found.items()} if self.overflows else found


@dataclass
class PlainBackend:
    """`lacks` are 16-bit types it does not have; `overflows` are those in which its outputs are infinite."""

    traits: Traits = field(default_factory=lambda: Traits("numpy"))
    lacks: Sequence[str] = ()
    overflows: Sequence[str] = ()
    most_at_once: int = 16
    half_type: HalfTypeRecord | None = None
    images: int = 0
    jobs: list[BuildJob] = field(default_factory=list)
    _is_checked: bool = True

    def capabilities(self) -> Capabilities:
        """Every precision."""
        return Capabilities("1.0", ("CPU",), PRECISIONS)

    def build(self, job: BuildJob, folder: Path) -> Built:
        """Keep the graph."""
        if job.options.half_type in self.lacks:
            raise MissingExtraError.of("halves", job.options.half_type)
        self.jobs.append(job)
        self._is_checked = False
        shutil.copy(job.graph, folder / "model.onnx")
        half_type = self.half_type if job.options.half_type == "auto" else None
        return Built(PrecisionRan("float32", {"float32": 1}, "plain"), half_type=half_type, images=self.images)

    def load(self, artifact: CompiledArtifact, config: ExecutionConfig) -> Runner:
        """Run the graph that was kept; what is loaded first is the build's own check, in which nothing overflows."""
        runner = PlainRunner(artifact, config)
        build: BuildOptions = artifact.manifest.build
        runner.most_at_once, runner.ran = self.most_at_once, artifact.manifest.precision_ran
        runner.overflows = self._is_checked and build.half_type in self.overflows
        self._is_checked = True
        return runner
