"""What a report shows: one row for each built model, and what they have in common."""

from __future__ import annotations

from dataclasses import dataclass

from densecast.core.artifact import CalibrationRecord, ParityRecord
from densecast.core.machine import Machine
from densecast.core.precision import PRECISIONS, Precision, PrecisionRan, short
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

    def findings(self) -> list[str]:
        """What a reader should not miss: a lower precision that does not pay on this machine."""
        lines = []
        for row in self.rows:
            rivals = [other for other in self.rows if other.backend == row.backend and _bits(other) > _bits(row)]
            best = max(rivals, key=lambda other: other.timing.images_per_s, default=None)
            if best is not None and row.timing.images_per_s <= best.timing.images_per_s:
                share = row.timing.images_per_s / best.timing.images_per_s
                lines.append(
                    f"{row.backend}: {short(row.asked)} does not pay here. End to end it runs at {share:.2f} times the "
                    f"speed of {short(best.asked)}."
                )
        return lines

    def published_for(self, precision: Precision) -> PublishedScore | None:
        """The published score of one precision, if there is one."""
        return next((score for score in self.published if score.precision == precision), None)


def _bits(row: Row) -> int:
    """Orders precisions: the fewer bits, the lower."""
    return -PRECISIONS.index(row.asked)
