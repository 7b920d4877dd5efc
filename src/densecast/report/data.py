"""What a report shows: one row for each built model, and what they have in common."""

from __future__ import annotations

from dataclasses import dataclass

from densecast.core.artifact import CalibrationRecord, ParityRecord
from densecast.core.machine import Machine
from densecast.core.precision import Precision, PrecisionRan
from densecast.core.score import Score
from densecast.core.spec import ModelSpec
from densecast.core.timing import Timing
from densecast.core.zoo_entry import PublishedScore


@dataclass(frozen=True, slots=True)
class Row:
    """One built model, measured."""

    artifact: str
    backend: str
    asked: Precision
    ran: PrecisionRan
    size_mb: float
    build_seconds: float
    settings: dict[str, str]
    evidence: dict[str, float]
    score: Score
    timing: Timing


@dataclass(frozen=True, slots=True)
class Picture:
    """One image with the reference's prediction and another model's over it, as JPEG files of the report's folder."""

    sample: str
    why: str
    files: dict[str, str]
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class Report:
    """A whole run. `rows[0]` is what the others are compared with."""

    spec: ModelSpec
    summary: str
    created: str
    machine: Machine
    source: str
    data: str
    rows: tuple[Row, ...]
    parity: ParityRecord | None = None
    calibration: CalibrationRecord | None = None
    published: tuple[PublishedScore, ...] = ()
    pictures: tuple[Picture, ...] = ()
    seconds: float = 0.0
    version: int = 1

    def change(self, row: Row) -> float:
        """A row's score less the first row's."""
        return row.score.value - self.rows[0].score.value

    def published_for(self, precision: Precision) -> PublishedScore | None:
        """The published score of one precision, if there is one."""
        return next((score for score in self.published if score.precision == precision), None)
