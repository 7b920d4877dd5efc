"""A published model: which network, which weights, on which data, with which published scores."""

from __future__ import annotations

from dataclasses import dataclass, field

from densecast.core.artifact import Option
from densecast.core.precision import Precision
from densecast.core.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class CheckpointSource:
    """A file of trained weights: where it is published, and how to know it.

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
    """A number somebody else printed, with the number of images it was measured on."""

    precision: Precision
    metric: str
    value: float
    count: int
    source: str


@dataclass(frozen=True, slots=True)
class ProceduralData:
    """Data the project makes itself: a writer of `scenes/`, and how much of it a default run uses.

    The seed is one that training never used.
    """

    writer: str
    count: int
    seed: int


@dataclass(frozen=True, slots=True)
class ZooEntry:
    """A model of the zoo; its name is its file's name."""

    spec: ModelSpec
    network: str
    options: dict[str, Option]
    checkpoint: CheckpointSource
    summary: str
    licence: str
    published: tuple[PublishedScore, ...] = ()
    data: ProceduralData | None = None
    example_size_hw: tuple[int, int] = (512, 512)
    tags: tuple[str, ...] = field(default_factory=tuple)
