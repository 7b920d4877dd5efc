"""Protocols of a backend: build a model, load it as a `Runner`, and optional abilities such as inspection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from densecast.artifact import CompiledArtifact, FloatArtifact
from densecast.artifact.half_type_record import HalfTypeRecord
from densecast.backends._inspection import Inspector
from densecast.errors import UsageError
from densecast.plugins import PluginKind
from densecast.runtime.execution import ExecutionConfig
from densecast.runtime.roofline import Roofline
from densecast.spec.cpu import Ability
from densecast.spec.layer import Layer
from densecast.spec.model import ModelSpec
from densecast.spec.options import ActivationScheme, BiasCorrection, BuildOptions, CalibrationMethod
from densecast.spec.precision import Precision, PrecisionRan
from densecast.spec.tensor import Feeds, TensorSpec

F32 = npt.NDArray[np.float32]


class Runner(Protocol):
    """A network ready to run. It belongs to one `Session`, which keeps its promises about threads."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Input specs, the image (N, C, H, W) first."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Output specs, the main output first."""

    @property
    def batch_sizes(self) -> tuple[int, ...] | None:
        """Supported batch sizes, ascending; None for any within `inputs`."""

    @property
    def precision(self) -> PrecisionRan:
        """The precision that runs, read back from the engine."""

    @property
    def max_concurrency(self) -> int:
        """How many threads may call `run` concurrently, each with a slot of its own."""

    @property
    def reuses_buffers(self) -> bool:
        """Whether `run` returns the slot's own buffers, which the next run of that slot overwrites."""

    def run(self, feeds: Feeds, slot: int = 0) -> Feeds:
        """Run one synchronous inference; returns every output by name.

        Slots are numbered from 0; as many exist as the execution config has workers, and a slot is one thread's at a
        time.

        Raises:
            BadShapeError: feeds that do not fit `inputs`.
        """

    def close(self) -> None:
        """Free the engine's memory; `run` must not be called again."""


@dataclass(frozen=True, slots=True)
class BuildJob:
    """Input of a build: what a backend compiles.

    `graph` is the ONNX file with its shapes and passes applied; `spec` describes it. `source` is the float
    artifact it came from (for backends that run the original network). `calibration` holds one image's
    feeds each, and is empty unless int8 is requested; where it is `Divided`, other machines can see the images. The
    options' `cpu` is resolved: never `native`. `half_types` are the 16-bit types that may be used, the usual one first,
    and without any float32 is; None for those of this CPU. `tried` says that the first so many of the calibration
    images are those of the trials just before, see `TriesCalibrations`; 0 without any.
    """

    source: FloatArtifact
    graph: Path
    spec: ModelSpec
    options: BuildOptions
    calibration: Sequence[Feeds]
    half_types: tuple[str, ...] | None = None
    tried: int = 0


@dataclass(frozen=True, slots=True)
class Built:
    """Result of a build: what the backend reports about the model it has compiled.

    `settings` are the engine's own, to be used again when the model is loaded; `measurements` holds measured
    figures that a choice was based on, by name and unit; `half_type` how the 16-bit type was chosen, if it was. `needs`
    is what a CPU must compute natively to give the same numbers. `images` is how many of the job's calibration images
    were used, the first ones; 0 for all.
    """

    precision: PrecisionRan
    settings: dict[str, str] = field(default_factory=dict)
    measurements: dict[str, float] = field(default_factory=dict)
    half_type: HalfTypeRecord | None = None
    needs: tuple[Ability, ...] = ()
    images: int = 0


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend supports on this machine. `missing` says why it cannot be used; None if it can."""

    version: str
    devices: tuple[str, ...]
    precisions: tuple[Precision, ...]
    notes: tuple[str, ...] = ()
    missing: str | None = None


@dataclass(frozen=True, slots=True)
class Traits:
    """Properties of a backend that are known without loading its engine.

    `package` is the installed package whose version decides what it computes. `device_kinds` are the devices it runs
    on. `calibration_methods` are the ways to find int8 ranges that are worth trying, the quickest first; without any,
    there is one way. `merged_methods` are those whose statistics of single images merge to exactly what one process
    finds, so that calibration can be divided. `corrects_biases` says whether its quantiser can move biases so that
    layers keep their mean outputs. `settles` says whether it uses no more calibration images than its ranges take to
    settle: they are then in an order in which every beginning is spread over all. `survives_fork` says whether a
    process forked after the engine was used may use it. `targets_cpus` says whether its builds are for a kind of CPU:
    options that name one are refused otherwise.
    """

    package: str
    device_kinds: tuple[str, ...] = ("cpu",)
    calibration_methods: tuple[CalibrationMethod, ...] = ()
    merged_methods: tuple[CalibrationMethod, ...] = ()
    corrects_biases: bool = False
    settles: bool = False
    survives_fork: bool = True
    targets_cpus: bool = False


@runtime_checkable
class Backend(Protocol):
    """An engine that compiles and loads models."""

    @property
    def traits(self) -> Traits:
        """Properties that are known without loading the engine."""

    def capabilities(self) -> Capabilities:
        """What this backend supports on this machine."""

    def build(self, job: BuildJob, folder: Path) -> Built:
        """Compile the job's model into files in `folder`."""

    def load(self, artifact: CompiledArtifact, config: ExecutionConfig) -> Runner:
        """Load a built artifact."""


class Quantized(Protocol):
    """A calibrated network, any of whose layers can be kept in 16 bits without recalibration."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Units that can be kept in 16 bits, in the network's order: layers, or groups that share a quantised input."""

    def cost_ms(self) -> dict[str, float]:
        """Extra time of each layer in 16 bits over int8, as measured by the engine; empty if unknown."""

    def write(self, excluded: frozenset[str], folder: Path) -> Built:
        """Compile into files in `folder`, with the layers `excluded` from int8."""


@runtime_checkable
class ChoosesActivationScheme(Protocol):
    """A backend whose best activation scheme depends on the graph."""

    def activation_scheme(self, graph: Path) -> ActivationScheme:
        """`symmetric` or `asymmetric`."""


class CalibrationTrials(Protocol):
    """Int8 models of one network by several calibration methods, whose ranges were found in one pass over its images.

    Nothing of them is kept: they are there to be compared.
    """

    def float32(self, images: Sequence[Feeds]) -> list[F32]:
        """The main output (N, C, h, w) of each image in float32."""

    def int8(self, method: CalibrationMethod, bias: BiasCorrection, images: Sequence[Feeds]) -> list[F32]:
        """The main output (N, C, h, w) of each image in int8, with ranges by a method."""


@runtime_checkable
class TriesCalibrations(Protocol):
    """A backend that compares calibration methods without building a model with each from the start."""

    def calibration_trials(
        self, job: BuildJob, methods: Sequence[CalibrationMethod], *, with_biases: bool
    ) -> CalibrationTrials | None:
        """Find ranges by all methods on the job's images, and what correcting biases needs; None if it cannot."""


@runtime_checkable
class Quantizes(Protocol):
    """A backend that can build mixed-precision models layer by layer."""

    def quantized(self, job: BuildJob) -> Quantized:
        """Calibrate the network; nothing is compiled yet."""


@runtime_checkable
class NeedsExtras(Protocol):
    """A backend that needs an extra of densecast for some precisions."""

    def require(self, precision: Precision) -> None:
        """Check that what builds of this precision need is installed.

        Raises:
            MissingExtraError: it is not.
        """


@runtime_checkable
class ListsLayers(Protocol):
    """A backend that can tell the layers of its models, and the number type in which each runs."""

    def layers(self, artifact: CompiledArtifact, shape: Sequence[int]) -> tuple[Layer, ...]:
        """The layers of a model for inputs of one shape, in its order.

        Raises:
            BackendMissingError: the engine is not installed.
        """


@runtime_checkable
class EmulatesSaturation(Protocol):
    """A backend that can tell what an int8 model computes on CPUs whose int8 sums saturate."""

    def saturating(self, artifact: CompiledArtifact, feeds: Feeds) -> Feeds:
        """The outputs there, by name; computed here, slowly."""


@runtime_checkable
class Inspectable(Protocol):
    """A backend whose models expose their intermediate tensors."""

    def inspect(self, artifact: CompiledArtifact, config: ExecutionConfig, feed_shape: Sequence[int]) -> Inspector:
        """Open an artifact's network for inspection in its own precision, for feeds of one shape."""


@runtime_checkable
class ProfilesLayers(Protocol):
    """A backend that can time every operator of a network as it runs it."""

    def profile(self, artifact: CompiledArtifact, config: ExecutionConfig, feeds: Feeds, runs: int) -> Roofline:
        """Run an artifact's network `runs` times on feeds; each operator's median time, beside this machine's peaks."""


@runtime_checkable
class RunsModules(Protocol):
    """A backend that runs a framework's module directly, without a compiled artifact."""

    def float_module(self, artifact: FloatArtifact) -> Any | None:
        """The module that a float artifact was exported from; None if it is not available."""

    def module_runner(self, module: Any, spec: ModelSpec, threads: int) -> Runner:
        """Wrap the module in a runner."""

    def inspect_module(self, module: Any, spec: ModelSpec, feed_shape: Sequence[int]) -> Inspector | None:
        """Open a module for inspection; None if it does not expose its tensors."""


def refuse_several_tensors(spec: ModelSpec) -> None:
    """Refuse models of several inputs or outputs, for backends that support only one of each.

    Raises:
        UsageError: the network has more.
    """
    if len(spec.inputs) > 1 or len(spec.outputs) > 1:
        names = ", ".join(tensor.name for tensor in (*spec.inputs, *spec.outputs))
        raise UsageError(f"this backend runs networks with one input and one output; {spec.name} has {names}.")


def listed_batch_sizes(options: BuildOptions) -> tuple[int, ...] | None:
    """The batch sizes to compile separately, ascending; None for a range."""
    batch = options.shape.batch
    return tuple(sorted(set(batch))) if isinstance(batch, tuple) else None


BACKENDS: PluginKind[Backend] = PluginKind("backends", "backend", "BACKEND", Backend)
