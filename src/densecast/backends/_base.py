"""Protocols of a backend: build a model, load it as a `Runner`, and optional abilities such as inspection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from densecast.artifact import CompiledArtifact, FloatArtifact
from densecast.backends._inspection import Inspector
from densecast.errors import UsageError
from densecast.plugins import PluginKind
from densecast.runtime.execution import ExecutionConfig
from densecast.spec.model import ModelSpec
from densecast.spec.options import ActivationScheme, BuildOptions, CalibrationMethod
from densecast.spec.precision import Precision, PrecisionRan
from densecast.spec.tensor import Feeds, TensorSpec


class Runner(Protocol):
    """A network ready to run. It belongs to one `Session`, which keeps its promises about threads."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What it takes, the image (N, C, H, W) first."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What it gives, the main output first."""

    @property
    def batch_sizes(self) -> tuple[int, ...] | None:
        """The batch sizes it takes, ascending; None if it takes any within `inputs`."""

    @property
    def precision(self) -> PrecisionRan:
        """Read back from the engine."""

    @property
    def max_concurrency(self) -> int:
        """How many threads may be in `run` at a time, each with a slot of its own."""

    @property
    def reuses_buffers(self) -> bool:
        """Whether what `run` returns are its slot's own arrays, which the next run of that slot overwrites."""

    def run(self, feeds: Feeds, slot: int = 0) -> Feeds:
        """One synchronous inference; every output by name.

        Slots are numbered from 0; as many exist as the execution config has workers, and a slot is one thread's at a
        time.

        Raises:
            BadShapeError: feeds that do not fit `inputs`.
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

    source: FloatArtifact
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


@dataclass(frozen=True, slots=True)
class Traits:
    """What is known of a backend without loading its engine.

    `package` is the installed package whose version decides what it computes. `device_kinds` are the devices it runs
    on. `calibration_methods` are the ways to find int8 ranges that are worth trying, the quickest first; without any,
    there is one way. `corrects_biases` says whether its quantiser can move biases so that layers keep their mean
    outputs. `survives_fork` says whether a process forked after the engine was used may use it.
    """

    package: str
    device_kinds: tuple[str, ...] = ("cpu",)
    calibration_methods: tuple[CalibrationMethod, ...] = ()
    corrects_biases: bool = False
    survives_fork: bool = True


@runtime_checkable
class Backend(Protocol):
    """An engine: what compiles models and loads them."""

    @property
    def traits(self) -> Traits:
        """What is known of it without loading its engine."""

    def capabilities(self) -> Capabilities:
        """What this backend can do on this machine."""

    def build(self, job: BuildJob, folder: Path) -> Built:
        """Compile into files in `folder`."""

    def load(self, artifact: CompiledArtifact, config: ExecutionConfig) -> Runner:
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
class ChoosesActivationScheme(Protocol):
    """A backend for which it depends on the graph how int8 ranges are best laid out."""

    def activation_scheme(self, graph: Path) -> ActivationScheme:
        """`symmetric` or `asymmetric`."""


@runtime_checkable
class Quantizes(Protocol):
    """A backend whose int8 models can be had layer by layer."""

    def quantized(self, job: BuildJob) -> Quantized:
        """Calibrate, and compile nothing yet."""


@runtime_checkable
class Inspectable(Protocol):
    """A backend whose networks show their inner tensors."""

    def inspect(self, artifact: CompiledArtifact, config: ExecutionConfig, feed_shape: Sequence[int]) -> Inspector:
        """The artifact's network in its own precision, for feeds of one shape."""


@runtime_checkable
class RunsModules(Protocol):
    """A backend that runs a framework's network as it is, without an artifact of its own."""

    def float_module(self, artifact: FloatArtifact) -> Any | None:
        """The network that a float artifact was exported from; None where it cannot be had."""

    def module_runner(self, module: Any, spec: ModelSpec, threads: int) -> Runner:
        """The module, ready to run."""

    def inspect_module(self, module: Any, spec: ModelSpec, feed_shape: Sequence[int]) -> Inspector | None:
        """The module with its inner tensors; None where it does not show them."""


def refuse_several_tensors(spec: ModelSpec) -> None:
    """For backends whose tools here are driven with one input and one output.

    Raises:
        UsageError: the network has more.
    """
    if len(spec.inputs) > 1 or len(spec.outputs) > 1:
        names = ", ".join(tensor.name for tensor in (*spec.inputs, *spec.outputs))
        raise UsageError(f"this backend runs networks with one input and one output; {spec.name} has {names}.")


def listed_batch_sizes(options: BuildOptions) -> tuple[int, ...] | None:
    """The batch sizes that a build was asked for one by one, ascending; None for a range."""
    batch = options.shape.batch
    return tuple(sorted(set(batch))) if isinstance(batch, tuple) else None


BACKENDS: PluginKind[Backend] = PluginKind("backends", "backend", "BACKEND", Backend)
