"""What every engine offers: a loaded network that turns named arrays into named arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from densecast.artifact import Artifact
from densecast.runtime.execution import ExecutionConfig
from densecast.spec.model import ModelSpec
from densecast.spec.options import ActivationScheme, BuildOptions
from densecast.spec.precision import Precision, PrecisionRan
from densecast.spec.tensor import Feeds, TensorSpec


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


@runtime_checkable
class Concurrent(Protocol):
    """An extra ability of a `Runner`: as many inferences at a time as its plan has streams."""

    def run_in(self, lane: int, feeds: Feeds) -> Feeds:
        """`run` for one of several callers, 0 and up; each has buffers of its own, and is one thread at a time.

        No more of them call at a time than the plan has streams.

        Raises:
            BadShapeError: feeds that do not fit `input`.
        """


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

    `settings` are the engine's own, to be used again when the model is loaded; `measurements` holds measured
    figures that a choice was based on, by name and unit.
    """

    precision: PrecisionRan
    settings: dict[str, str] = field(default_factory=dict)
    measurements: dict[str, float] = field(default_factory=dict)


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

    def load(self, artifact: Artifact, config: ExecutionConfig) -> Runner:
        """A built artifact, ready to run."""


class Quantized(Protocol):
    """A network calibrated once, any of whose layers can be left in 16 bits without calibrating again."""

    @property
    def layers(self) -> tuple[str, ...]:
        """What can be left in 16 bits, in the network's order: a layer, or layers that share a quantised input."""

    def cost_ms(self) -> dict[str, float]:
        """By layer, the time a 16-bit one takes beyond an int8 one, as measured on parts of the network; or empty."""

    def write(self, kept: frozenset[str], folder: Path) -> Built:
        """Compile into files in `folder`, with the layers `kept` as they were before quantisation."""


@runtime_checkable
class SettlesScheme(Protocol):
    """A backend for which it depends on the graph how int8 ranges are best laid out."""

    def activation_scheme(self, graph: Path) -> ActivationScheme:
        """`symmetric` or `asymmetric`."""


@runtime_checkable
class Quantizes(Protocol):
    """A backend whose int8 models can be had layer by layer."""

    def quantized(self, job: BuildJob) -> Quantized:
        """Calibrate, and compile nothing yet."""
