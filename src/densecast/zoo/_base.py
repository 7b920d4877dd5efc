"""A published model: network, weights, data set and published scores."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated

from densecast.artifact import Option
from densecast.errors import UnknownNameError
from densecast.plugins import PluginKind
from densecast.spec.model import DecodeOptions, ModelSpec, ReadByTask
from densecast.spec.precision import Precision
from densecast.spec.preprocess import Preprocess
from densecast.spec.verb_options import ORIGINAL


@dataclass(frozen=True, slots=True)
class CheckpointSource:
    """A file of trained weights: where it is published, and its hashes.

    `urls` are tried in order. `sha256` may be a prefix (some publishers print eight digits in the file name).
    `shipped` names a file of the package itself.
    """

    file: str
    urls: tuple[str, ...] = ()
    sha256: str | None = None
    md5: str | None = None
    shipped: bool = False


@dataclass(frozen=True, slots=True)
class PublishedScore:
    """A published score, with the number of images it was measured on.

    `variants` are the ways to prepare images and to decode outputs that it was measured with.
    """

    precision: Precision
    metric: str
    value: float
    count: int
    source: str
    variants: tuple[str, ...] = (ORIGINAL,)


@dataclass(frozen=True, slots=True)
class ProceduralData:
    """Procedurally generated data: the writer in `scenes/`, and the number of images in a default run.

    The seed is one that training never used.
    """

    writer: str
    count: int
    seed: int


@dataclass(frozen=True, slots=True)
class Variant:
    """Alternative pre- and postprocessing, as used by some deployment."""

    preprocess: Preprocess
    decode: Annotated[DecodeOptions, ReadByTask()]


@dataclass(frozen=True, slots=True)
class TensorFlowGraph:
    """The names of the input and output in a TensorFlow graph, and of the file in the archive that holds it."""

    input: str
    output: str
    member: str | None = None


@dataclass(frozen=True, slots=True)
class ZooEntry:
    """A model of the zoo; its name is its file's name.

    `spec` is the original's way, `variants` are other deployments' by name. `network` names a network, of the package's
    own or `package.module:Name`; it is None where the weights come with their own graph, `tensorflow`. `has_graph`
    says that the package ships the exported graph, too (`zoo/graphs/`), for where torch is not installed.
    """

    spec: ModelSpec
    network: str | None
    options: dict[str, Option]
    checkpoint: CheckpointSource
    summary: str
    licence: str
    published: tuple[PublishedScore, ...] = ()
    data: ProceduralData | None = None
    example_size_hw: tuple[int, int] = (512, 512)
    variants: dict[str, Variant] = field(default_factory=dict)
    tensorflow: TensorFlowGraph | None = None
    has_graph: bool = False

    def __post_init__(self) -> None:
        """Check that the model has either a network or a TensorFlow graph."""
        if (self.network is None) == (self.tensorflow is None):
            raise ValueError(f"{self.spec.name}: either a network or a TensorFlow graph")

    def spec_for(self, variant: str = ORIGINAL) -> ModelSpec:
        """The spec with the pre- and postprocessing of a variant.

        Raises:
            UnknownNameError: this model has no such variant.
        """
        if variant == ORIGINAL:
            return self.spec
        if variant not in self.variants:
            raise UnknownNameError.among(f"variant of {self.spec.name}", variant, (ORIGINAL, *self.variants))
        chosen = self.variants[variant]
        return replace(self.spec, preprocess=chosen.preprocess, decode=chosen.decode)


ZOO: PluginKind[ZooEntry] = PluginKind("zoo", "model", "ENTRY", ZooEntry)
