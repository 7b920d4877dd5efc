"""What handing a model over, and bundling it, gives back: files with their hashes, and how far they were compared."""

from __future__ import annotations

from dataclasses import dataclass

from densecast.results.json_result import FORMAT
from densecast.spec.tensor import TensorSpec


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the written model's answer is from the artifact's own on test images, run by `engine` on this CPU.

    `difference` is in `measure`, the task's own or `relative_l2`; the export fails above `allowed`.
    """

    engine: str
    measure: str
    difference: float
    allowed: float
    images: int


@dataclass(frozen=True, slots=True)
class ExportToResult:
    """A model that was handed over.

    `files` are hashes (sha256) by path in `folder`, `model_file` is the one that holds the network. `inputs` and
    `outputs` are its tensors, `input_colour` the order of colours of the pixels that go in, `resize` what is done to an
    image before. `precision` is what was built; `remarks` say what is not equal, or what nobody has said. `source` is
    the identity of the artifact.
    """

    receiver: str
    model: str
    name: str
    folder: str
    model_file: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    input_colour: str
    resize: str
    precision: str
    agreement: Agreement
    source: str
    version: str
    licence: str | None = None
    remarks: tuple[str, ...] = ()
    files: dict[str, str] | None = None
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class BundleResult:
    """A bundle: for which `python` and `platform`, with which wheels and artifacts; `files` are hashes by path."""

    out: str
    python: str
    platform: str
    requirement: str
    wheels: tuple[str, ...]
    artifacts: tuple[str, ...]
    size_bytes: int
    files: dict[str, str]
    remarks: tuple[str, ...] = ()
    format: int = FORMAT
