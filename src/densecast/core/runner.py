"""What every engine offers: a loaded network that turns named arrays into named arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from densecast.core.artifact import Artifact
from densecast.core.options import BuildOptions
from densecast.core.precision import Precision, PrecisionRan
from densecast.core.spec import ModelSpec
from densecast.core.tensor import Feeds, TensorSpec


@dataclass(frozen=True, slots=True)
class Plan:
    """How many CPUs one network may keep busy."""

    threads: int


class Runner(Protocol):
    """A network ready to run.

    `run` may return arrays that the next `run` overwrites: copy what you keep.
    """

    @property
    def input(self) -> TensorSpec:
        """The one input: (N, 3, H, W)."""

    @property
    def batch_sizes(self) -> tuple[int, ...] | None:
        """The batch sizes it takes, ascending; None if it takes any within `input`."""

    @property
    def precision(self) -> PrecisionRan:
        """Read back from the engine."""

    def run(self, feeds: Feeds) -> Feeds:
        """One synchronous inference.

        Raises:
            BadShapeError: feeds that do not fit `input`.
        """

    def close(self) -> None:
        """Free the engine's memory; `run` must not be called again."""


@dataclass(frozen=True, slots=True)
class BuildJob:
    """What a backend compiles.

    `graph` is the ONNX file with its shapes and passes applied; `spec` describes it. `source` is the float
    artifact it came from (for backends that run the original network). `calibration` holds one image's
    feeds each, and is empty unless int8 is asked.
    """

    source: Artifact
    graph: Path
    spec: ModelSpec
    options: BuildOptions
    calibration: Sequence[Feeds]


@dataclass(frozen=True, slots=True)
class Built:
    """What a backend says of the model it has just compiled.

    `settings` are the engine's own, to be used again when the model is loaded; `evidence` holds measured
    figures that a choice was based on, by name and unit.
    """

    precision: PrecisionRan
    settings: dict[str, str] = field(default_factory=dict)
    evidence: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do here. `missing` says why it cannot be used, None if it can."""

    version: str
    devices: tuple[str, ...]
    precisions: tuple[Precision, ...]
    notes: tuple[str, ...] = ()
    missing: str | None = None


class Backend(Protocol):
    """A module of `backends/`."""

    def capabilities(self) -> Capabilities:
        """What this backend can do on this machine."""

    def build(self, job: BuildJob, folder: Path) -> Built:
        """Compile into files in `folder`."""

    def load(self, artifact: Artifact, plan: Plan) -> Runner:
        """A built artifact, ready to run."""
