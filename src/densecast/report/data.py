"""The data behind a report: one row for each built model, and what they have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from densecast.artifact import CalibrationRecord, CompiledManifest, ParityRecord
from densecast.artifact.half_type_record import HalfTypeRecord
from densecast.artifact.search_record import SearchRecord
from densecast.artifact.tune_record import TuneRecord
from densecast.results.timing import Timing
from densecast.runtime.machine import Machine
from densecast.spec.model import ModelSpec
from densecast.spec.precision import PRECISIONS, Precision, PrecisionRan, short
from densecast.spec.score import Score
from densecast.zoo._base import PublishedScore


@dataclass(frozen=True, slots=True)
class Reasons:
    """The choices recorded in a manifest, with their measurements.

    `built` is the precision that is in the model; `fallback` says why it is not the one requested.
    """

    built: Precision | None = None
    fallback: str | None = None
    calibration: CalibrationRecord | None = None
    tuning: TuneRecord | None = None
    search: SearchRecord | None = None
    half_type: HalfTypeRecord | None = None

    @classmethod
    def of(cls, manifest: CompiledManifest) -> Self:
        """Read the choices from a build's manifest."""
        return cls(
            manifest.build.precision,
            manifest.fallback,
            manifest.calibration,
            manifest.tuning,
            manifest.search,
            manifest.half_type,
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One measured build; `reasons` explains how it was chosen."""

    artifact: str
    backend: str
    asked: Precision
    ran: PrecisionRan
    size_mb: float
    build_seconds: float
    settings: dict[str, str]
    measurements: dict[str, float]
    score: Score
    timing: Timing
    reasons: Reasons = Reasons()


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """Results from a vendor's device: the score of its outputs, and the speed that its tool reported, by file."""

    device: str
    asked: Precision
    batch: int
    score: Score
    performance: dict[str, dict[str, float]]
    hardware: str


@dataclass(frozen=True, slots=True)
class DrawnImage:
    """One image with the ground truth and models' predictions drawn over it, as JPEG files of the report's folder.

    `files` are relative to that folder, by title; `values` are the metric's for this image, by the same titles.
    """

    sample: str
    why: str
    files: dict[str, str]
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class Report:
    """A whole run. `rows[0]` is the baseline of the others."""

    spec: ModelSpec
    summary: str
    created: str
    machine: Machine
    source: str
    data: str
    rows: tuple[Row, ...]
    parity: ParityRecord | None = None
    published: tuple[PublishedScore, ...] = ()
    images: tuple[DrawnImage, ...] = ()
    seconds: float = 0.0
    devices: tuple[DeviceRow, ...] = ()
    version: int = 2

    def change(self, row: Row) -> float:
        """A row's score minus the first row's."""
        return row.score.value - self.rows[0].score.value

    def findings(self) -> list[str]:
        """Warnings: a lower precision that does not pay off on this machine, or that was not built."""
        lines = []
        for row in self.rows:
            if row.reasons.fallback is not None and row.reasons.built is not None:
                lines.append(
                    f"{row.backend}: {short(row.asked)} was requested, {short(row.reasons.built)} was built: "
                    f"{row.reasons.fallback}."
                )
                continue
            rivals = [other for other in self.rows if other.backend == row.backend and _bits(other) > _bits(row)]
            best = max(rivals, key=lambda other: other.timing.images_per_s, default=None)
            if best is not None and row.timing.images_per_s <= best.timing.images_per_s:
                share = row.timing.images_per_s / best.timing.images_per_s
                lines.append(
                    f"{row.backend}: {short(row.asked)} does not pay off here. End to end it runs at {share:.2f} times "
                    f"the speed of {short(best.asked)}."
                )
        return lines

    def published_for(self, precision: Precision) -> PublishedScore | None:
        """The published score of one precision, if there is one."""
        return next((score for score in self.published if score.precision == precision), None)


def _bits(row: Row) -> int:
    """Sort key of precisions: fewer bits are lower."""
    return -PRECISIONS.index(row.asked)
