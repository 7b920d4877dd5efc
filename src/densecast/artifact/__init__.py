"""A folder with a manifest: what each step of the pipeline reads, and what it writes anew."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from densecast.artifact.search_record import SearchRecord
from densecast.artifact.tune_record import TuneRecord
from densecast.errors import BadArtifactError, BadConfigError, UsageError
from densecast.io import codec, files
from densecast.runtime.machine import Machine
from densecast.spec.model import ModelSpec
from densecast.spec.options import BuildOptions
from densecast.spec.precision import Precision, PrecisionRan
from densecast.spec.sample import SplitRecord

MANIFEST = "manifest.json"
GOLDEN = "golden.npz"
"""What a built model answered to a fixed input; nothing that it computes with."""
FORMAT = 1
Option = bool | int | float | str | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NetworkRef:
    """A network of `networks/` with the options it was built with, so that it can be built again."""

    name: str
    options: dict[str, Option]


@dataclass(frozen=True, slots=True)
class WeightsRecord:
    """Where the trained weights came from."""

    file: str
    sha256: str
    tensors: int


@dataclass(frozen=True, slots=True)
class ParityRecord:
    """The exported graph against the framework, at each of `shapes`.

    `relative_error` is the largest absolute difference over the largest absolute output of the framework;
    the export fails above `tolerance`. `framework_error`, measured only above it, is how far the framework's own
    float32 is from its float64: a graph that is as near passes.
    """

    shapes: tuple[tuple[int, ...], ...]
    absolute_error: float
    relative_error: float
    tolerance: float
    framework_error: float | None = None


@dataclass(frozen=True, slots=True)
class CalibrationRecord:
    """The images that set the int8 ranges, and how; `contents_sha256` is over all files that were drawn, in order.

    `tried` holds what each estimator did to the outputs on a few images beside those it saw: by `measure`, the share
    of `labels_changed` against float32, or the `relative_l2` difference. `tried_biases` holds the same of the chosen
    estimator with biases corrected and without; `bias_correction` is empty where the quantiser has none. `activations`
    is how ranges are laid out, `auto` resolved.
    """

    source: str
    count: int
    ids: tuple[str, ...]
    split: SplitRecord | None
    contents_sha256: str = ""
    calibration_method: str = ""
    tried: dict[str, float] = field(default_factory=dict)
    measure: str = ""
    bias_correction: str = ""
    tried_biases: dict[str, float] = field(default_factory=dict)
    activations: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything known about an artifact.

    `key` identifies what went in (source, options, versions, CPU), `files` what came out (sha256 by name).
    `precision_asked` is what the user asked for, `build.precision` what was built: the two differ where a search found
    that int8 does not pay, or loses too much. `precision_ran` is what the engine says.
    """

    kind: Literal["float", "compiled"]
    spec: ModelSpec
    key: str
    created: str
    machine: Machine
    files: dict[str, str] = field(default_factory=dict)
    source: str = ""
    network: NetworkRef | None = None
    weights: WeightsRecord | None = None
    parity: ParityRecord | None = None
    passes: tuple[str, ...] = ()
    parent: str | None = None
    build: BuildOptions | None = None
    calibration: CalibrationRecord | None = None
    precision_asked: Precision | None = None
    precision_ran: PrecisionRan | None = None
    settings: dict[str, str] = field(default_factory=dict)
    measurements: dict[str, float] = field(default_factory=dict)
    build_seconds: float = 0.0
    search: SearchRecord | None = None
    tuning: TuneRecord | None = None
    format: int = FORMAT

    @property
    def fallback(self) -> str | None:
        """Why another precision was built than was asked for; None where it is the same."""
        if self.build is None or self.build.precision == self.precision_asked:
            return None
        record = self.search or self.tuning
        return record.why if record else "as chosen by whoever built it"


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact on disk."""

    folder: Path
    manifest: Manifest

    @classmethod
    def open(cls, folder: Path) -> Artifact:
        """Read the manifest and check every file against its hash.

        Raises:
            BadArtifactError: no manifest, one of another version, or a file that is missing or changed.
        """
        path = folder / MANIFEST
        if not path.is_file():
            raise BadArtifactError(
                f"{folder} is no artifact: it has no {MANIFEST}. Make one with `densecast export` or `build`."
            )
        try:
            manifest = codec.read(path, Manifest)
        except BadConfigError as error:
            raise BadArtifactError(f"damaged artifact: {error}") from None
        if manifest.format != FORMAT:
            raise BadArtifactError(
                f"{folder} has manifest format {manifest.format}, this densecast reads {FORMAT}. Build it again."
            )
        for name, digest in manifest.files.items():
            if Path(name).name != name or name == "..":
                raise BadArtifactError(f"{path}: file name {name!r} leaves the artifact's folder.")
            file = folder / name
            if not file.is_file():
                raise BadArtifactError(f"{folder} is damaged: {name} is missing. Build it again.")
            if files.sha256(file) != digest:
                raise BadArtifactError(
                    f"{folder} is damaged: {name} does not have the hash in its manifest. Build it again."
                )
        return cls(folder, manifest)

    @classmethod
    def kept(cls, folder: Path, key: str) -> Artifact | None:
        """The artifact in `folder`, if it is sound and was made from what `key` stands for; else None.

        Raises:
            UsageError: something is there that is no artifact, and must not be replaced by one.
        """
        _refuse_foreign(folder)
        if not (folder / MANIFEST).is_file():
            return None
        try:
            found = cls.open(folder)
        except BadArtifactError:
            return None
        return found if found.manifest.key == key else None

    @property
    def spec(self) -> ModelSpec:
        """The model's spec."""
        return self.manifest.spec

    @property
    def identity(self) -> str:
        """Hash over the contents of all files that it computes with: equal for artifacts that are interchangeable."""
        computes = [(name, digest) for name, digest in sorted(self.manifest.files.items()) if name != GOLDEN]
        return files.sha256_text(json.dumps(computes))

    def file(self, name: str) -> Path:
        """The path of one of the artifact's files.

        Raises:
            BadArtifactError: the artifact has no such file.
        """
        if name not in self.manifest.files:
            raise BadArtifactError(f"{self.folder} holds no {name}; it holds {', '.join(self.manifest.files)}.")
        return self.folder / name


@contextlib.contextmanager
def writing(target: Path) -> Iterator[Draft]:
    """A draft folder; on a good end, and after `finish`, it becomes the artifact at `target`.

    Raises:
        UsageError: something is there that is no artifact, and must not be replaced by one.
    """
    _refuse_foreign(target)
    with files.new_folder(target) as scratch:
        draft = Draft(scratch)
        yield draft
        if not (scratch / MANIFEST).is_file():
            raise AssertionError("the draft was not finished")


@dataclass(frozen=True, slots=True)
class Draft:
    """An artifact being written: put files into `folder`, then call `finish` once."""

    folder: Path

    def finish(self, manifest: Manifest) -> None:
        """Hash all files and write the manifest."""
        hashes = {path.name: files.sha256(path) for path in sorted(self.folder.iterdir()) if path.name != MANIFEST}
        files.write_text(self.folder / MANIFEST, codec.to_json(replace(manifest, files=hashes)))


def with_files(manifest: Manifest, hashes: dict[str, str]) -> Manifest:
    """The manifest of an artifact that holds files of these names and hashes."""
    return replace(manifest, files=hashes)


def _refuse_foreign(target: Path) -> None:
    """An artifact's folder is replaced as a whole, so a folder of anything else has to be left alone."""
    is_artifact = (target / MANIFEST).is_file()
    is_empty = target.is_dir() and not any(target.iterdir())
    if target.exists() and not is_artifact and not is_empty:
        raise UsageError(f"{target} exists and is no artifact. Name another folder, or remove it first.")


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
