"""The data behind a report: one row for each built model, and what they have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from densecast.artifact import CalibrationRecord, CompiledManifest, ParityRecord
from densecast.artifact.half_type_record import HalfTypeRecord
from densecast.artifact.search_record import SearchRecord
from densecast.artifact.tune_record import TuneRecord
from densecast.results.timing import Pace, Timing
from densecast.runtime.machine import Machine
from densecast.spec import html_table
from densecast.spec.model import ModelSpec
from densecast.spec.precision import Precision, PrecisionRan, short
from densecast.spec.score import Interval, Score
from densecast.zoo._base import PublishedScore

# Titles of drawings that are no model's.
IMAGE, TRUTH, DIFFERENCE = "image", "ground truth", "difference of both"


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
    """One measured build; `reasons` explains how it was chosen.

    `change` is its score less the baseline's, with the interval over images; None for the baseline, and for few images.
    `pace` is its speed beside the fastest build of its engine with more bits. `confusion` are pixels by class, there
    (rows) and predicted (columns), of segmentations with a readable number of classes.
    """

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
    change: Interval | None = None
    pace: Pace | None = None
    confusion: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """Results from a vendor's device: the score of its outputs, and the speed that its tool reported, by file.

    `is_simulated`: `handoff simulate` made the outputs and the figures, on a CPU.
    """

    device: str
    asked: Precision
    batch: int
    score: Score
    performance: dict[str, dict[str, float]]
    hardware: str
    is_simulated: bool = False


@dataclass(frozen=True, slots=True)
class DrawnImage:
    """One image, and with the ground truth and models' predictions drawn over it, as JPEG files of the report's folder.

    `files` are relative to that folder, by title; `values` are the metric's for this image, by the same titles.
    """

    sample: str
    why: str
    files: dict[str, str]
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class Report:
    """A whole run. `rows[0]` is the baseline of the others; `remarks` say what was not measured or built, and why."""

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
    remarks: tuple[str, ...] = ()
    version: int = 2

    def _repr_html_(self) -> str:
        """One line for each build, for notebooks; the whole report is `report.html`."""
        rows = [
            [
                row.backend,
                short(row.asked),
                str(row.ran),
                f"{row.score.value:.4f}",
                "" if row is self.rows[0] else self.change_text(row),
                f"{row.timing.images_per_s:.3g}",
                f"{row.size_mb:.3g}",
            ]
            for row in self.rows
        ]
        header = ["backend", "asked", "ran", self.rows[0].score.name, "change", "images/s", "size MB"]
        return html_table.table(f"{self.spec.name}: {self.data}", header, rows)

    def change(self, row: Row) -> float:
        """A row's score minus the first row's."""
        return row.score.value - self.rows[0].score.value

    def change_text(self, row: Row) -> str:
        """`+0.0002 [-0.0010, 0.0014]`, or without an interval where there is none."""
        interval = f" [{row.change.low:+.4f}, {row.change.high:+.4f}]" if row.change else ""
        return f"{self.change(row):+.4f}{interval}"

    def findings(self) -> list[str]:
        """Warnings: a lower precision that does not pay off here, or was not built, and what noise leaves open."""
        lines = list(self.remarks)
        for row in self.rows:
            if row.reasons.fallback is not None and row.reasons.built is not None:
                lines.append(
                    f"{row.backend}: {short(row.asked)} was requested, {short(row.reasons.built)} was built: "
                    f"{row.reasons.fallback}."
                )
                continue
            if (said := _of_pace(row)) is not None:
                lines.append(said)
        same = [f"{row.backend} {short(row.asked)}" for row in self.rows if _is_untold(row.change)]
        if same:
            count = self.rows[0].score.count
            lines.append(f"Over {count} images the change of {', '.join(same)} could not be told apart from 0.")
        records = (row.reasons.calibration for row in self.rows if row.reasons.calibration is not None)
        doubts = dict.fromkeys(remark for record in records for remark in record.remarks)
        lines += [f"int8: {remark}." for remark in doubts]
        if self.rows:
            lines += self.rows[0].score.remarks
        return lines

    def published_for(self, precision: Precision) -> PublishedScore | None:
        """The published score of one precision, if there is one."""
        return next((score for score in self.published if score.precision == precision), None)


def _of_pace(row: Row) -> str | None:
    """That a precision does not pay off, or that this could not be decided; None where it does, or was not measured."""
    pace, name = row.pace, short(row.asked)
    if pace is None or pace.faster == "yes":
        return None
    if pace.faster == "no":
        return (
            f"{row.backend}: {name} does not pay off here. End to end it runs at {pace.ratio} times the speed of "
            f"{pace.against}."
        )
    return f"{row.backend}: whether {name} is faster than {pace.against} {pace.why}."


def _is_untold(change: Interval | None) -> bool:
    return change is not None and change.low <= 0 <= change.high
