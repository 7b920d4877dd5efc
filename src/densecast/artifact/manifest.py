"""Manifests of exported graphs and of compiled models, with their provenance.

Format 2. Artifacts of format 1 are read, too; see `format1`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from densecast.artifact import format1
from densecast.artifact.half_type_record import HalfTypeRecord
from densecast.artifact.search_record import SearchRecord
from densecast.artifact.target_record import TargetRecord
from densecast.artifact.tune_record import TuneRecord
from densecast.errors import BadArtifactError, BadConfigError
from densecast.io import codec, files
from densecast.runtime.machine import Machine
from densecast.spec.model import ModelSpec
from densecast.spec.options import BuildOptions
from densecast.spec.precision import Precision, PrecisionRan
from densecast.spec.sample import SplitRecord

MANIFEST = "manifest.json"
FORMAT = 2
DIGEST = "manifest_sha256"
"""The key of a manifest's own digest; manifests that were written before have none, and are read as they are."""
Option = bool | int | float | str | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NetworkRef:
    """A network (built-in or a user's) with the options it was built with, so that it can be rebuilt."""

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
    """Differences between the exported graph and the framework, at each of `shapes`.

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
    is how ranges are laid out, `auto` resolved. `remarks` say what makes the ranges doubtful: few images, blank ones.
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
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FloatManifest:
    """Manifest of an exported graph.

    `key` identifies what went in (weights, options, versions), `files` what came out (sha256 by name). `measurements`
    are figures of the comparison with the framework beside `parity`, by name and unit.
    """

    spec: ModelSpec
    key: str
    created: str
    machine: Machine
    source: str = ""
    network: NetworkRef | None = None
    weights: WeightsRecord | None = None
    parity: ParityRecord | None = None
    passes: tuple[str, ...] = ()
    measurements: dict[str, float] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    kind: Literal["float"] = "float"
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class CompiledManifest:
    """Manifest of a compiled model.

    `key` identifies what went in (source, options, versions, CPU), `files` what came out (sha256 by name). `parent` is
    the identity of the float artifact it was built from, whose `source`, `network`, `weights` and `parity` it repeats;
    `parent_name` is the name of that one's folder.
    `precision_asked` is what the user asked for, `build.precision` what was built: the two differ where a search found
    that int8 does not pay, or loses too much. `precision_ran` is what the engine says, and `half_type` how its 16-bit
    type was chosen where that was left to the engine. `target` is the kind of CPU that it is for, and what its numbers
    depend on; None in manifests of before there were targets.
    """

    spec: ModelSpec
    key: str
    created: str
    machine: Machine
    parent: str
    build: BuildOptions
    precision_asked: Precision
    precision_ran: PrecisionRan
    source: str = ""
    network: NetworkRef | None = None
    weights: WeightsRecord | None = None
    parity: ParityRecord | None = None
    passes: tuple[str, ...] = ()
    calibration: CalibrationRecord | None = None
    settings: dict[str, str] = field(default_factory=dict)
    measurements: dict[str, float] = field(default_factory=dict)
    build_seconds: float = 0.0
    search: SearchRecord | None = None
    tuning: TuneRecord | None = None
    half_type: HalfTypeRecord | None = None
    files: dict[str, str] = field(default_factory=dict)
    parent_name: str = ""
    target: TargetRecord | None = None
    kind: Literal["compiled"] = "compiled"
    format: int = FORMAT

    @property
    def fallback(self) -> str | None:
        """Why another precision was built than requested; None where it is the same."""
        if self.build.precision == self.precision_asked:
            return None
        record = self.search or self.tuning
        return record.why if record else "as chosen by whoever built it"


Manifest = FloatManifest | CompiledManifest


def read(path: Path) -> Manifest:
    """Read a manifest of this format or an older one.

    Raises:
        BadArtifactError: missing, damaged, or of a format that this version does not know.
    """
    try:
        plain = codec.read_plain(path)
    except BadConfigError as error:
        raise BadArtifactError(f"damaged artifact: {error}") from None
    number = plain.get("format") if isinstance(plain, dict) else None
    if not isinstance(plain, dict) or not isinstance(number, int):
        raise BadArtifactError(f"damaged artifact: {path}: no manifest, or one without a format number.")
    if number > FORMAT:
        raise BadArtifactError(
            f"{path.parent} has manifest format {number}, this densecast reads up to {FORMAT}. Install a newer one."
        )
    digest = plain.pop(DIGEST, None)
    if digest is not None and digest != _digest(plain):
        raise BadArtifactError(
            f"{path.parent} is damaged: {path.name} is not as it was written (its digest differs). Build it again."
        )
    if number == 1:
        plain = format1.upgraded(plain)
    return from_plain(plain, str(path))


def to_json(manifest: Manifest) -> str:
    """The text of a manifest, with a digest of itself: a changed mean would change every answer, and no other file."""
    plain = codec.to_plain(manifest)
    return codec.json_text({**plain, DIGEST: _digest(plain)})


def _digest(plain: dict[str, Any]) -> str:
    # As it is read back: what JSON makes of a tuple or a float is the same thing twice.
    return files.sha256_text(json.dumps(json.loads(json.dumps(plain)), sort_keys=True))


def from_plain(plain: dict[str, Any], where: str) -> Manifest:
    """Convert plain JSON data to a manifest; `where` names the source in messages.

    Raises:
        BadArtifactError: neither kind, or something in it is wrong.
    """
    try:
        if plain.get("kind") == "float":
            return codec.from_plain(plain, FloatManifest, where)
        if plain.get("kind") == "compiled":
            return codec.from_plain(plain, CompiledManifest, where)
    except BadConfigError as error:
        raise BadArtifactError(f"damaged artifact: {error}") from None
    raise BadArtifactError(f"damaged artifact: {where}: neither an exported graph nor a compiled model.")
