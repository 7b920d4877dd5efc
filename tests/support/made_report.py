"""A report of made-up numbers, with everything in it that a report may hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tiny_artifacts
from made_images import write_jpeg

from densecast.artifact import CalibrationRecord, ParityRecord
from densecast.artifact.search_record import HALF_PRECISION, SearchRecord
from densecast.artifact.search_record import Trial as SearchTrial
from densecast.artifact.tune_record import ABTiming, Rate, Setting, Trial, TuneRecord
from densecast.report.data import DrawnImage, Reasons, Report, Row
from densecast.results.timing import Timing
from densecast.runtime import machine
from densecast.spec.precision import PRECISIONS, Precision, PrecisionRan
from densecast.spec.sample import SplitRecord
from densecast.spec.score import Interval, Score
from densecast.spec.verb_options import MaxDrop, TuneOptions
from densecast.zoo._base import PublishedScore

# Text that breaks a page which forgets to escape it.
HOSTILE = '<script src="https://example.org/x.js">&"'
STAGES = ("decode", "preprocess", "infer", "postprocess", "end_to_end")
SPLIT = SplitRecord("carvana", "val", 32, 320, 0, "ab" * 32)


CALIBRATION = CalibrationRecord(
    "carvana train", 288, ("a", "b"), SPLIT, "", "histogram", {"mean_minmax": 0.0054, "histogram": 0.00412},
    "labels_changed", "fast", {"none": 0.00412, "fast": 0.00377}, "asymmetric",
)  # fmt: skip


def tuning() -> TuneRecord:
    """bfloat16 taken, int8 tried and not taken."""
    first = Setting("force_float16", "f16", (), "asymmetric", 1, 1)
    taken = Setting("force_float16", "bf16", (), "asymmetric", 2, 4)
    int8 = Setting("qint8_mixed_float16", "bf16", (), "asymmetric", 2, 4)
    won = ABTiming(Rate(10.0, 100.0), Rate(17.25, 231.9), 1.71, (1.65, 1.79), 15)
    lost = ABTiming(Rate(17.25, 231.9), Rate(16.5, 242.4), 0.957, (0.94, 0.97), 15)
    return TuneRecord(
        TuneOptions(), "qint8_mixed_float16", taken, 2,
        (
            Trial("bf16 instead of f16", taken, first, 1.1, won, True, "taken"),
            Trial("float32 instead", first, taken, 0.98, None, False, "the time was up"),
            Trial("int8 instead", int8, taken, 1.05, lost, False, "not faster", True),
        ),
        "int8 is 0.96 times as fast as the best build without it", 33.0, True,
    )  # fmt: skip


def search() -> SearchRecord:
    """Plain int8 loses too much; with one layer in 16 bits it keeps the limit."""
    trials = (
        SearchTrial(HALF_PRECISION, (), Interval(0.002, 0.0, 0.004), 1.0, 9.0),
        SearchTrial("int8", (), Interval(2.5, 2.1, 2.9), 1.8, 5.0),
        SearchTrial("int8 but 1", (HOSTILE,), Interval(0.311, 0.28, 0.342), 1.62, 5.55),
        SearchTrial("int8 but 2", (HOSTILE, "other"), Interval(0.45, 0.41, 0.49), 1.1, 8.2),
    )
    return SearchRecord(
        MaxDrop(0.5), "mIoU", 0.7812, 60, ("a",), 35, trials, ("int8", "int8 but 1", HALF_PRECISION), "int8 but 1",
        "1.62 times as fast as 16 bits, the fastest that loses at most 0.5 points", True, 41.0, True, {HOSTILE: 0.93},
    )  # fmt: skip


def reasons(index: int, asked: Precision) -> Reasons:
    """int8 of the first backend was searched for, that of the second fell back to 16 bits."""
    if asked != "qint8_mixed_float16":
        return Reasons(asked)
    if index < 3:
        return Reasons(asked, None, CALIBRATION, None, search())
    return Reasons("force_float16", tuning().why, None, tuning())


def row(backend: str, asked: Precision, index: int, value: float | None = None) -> Row:
    rng = np.random.default_rng(index)
    timing = Timing(
        samples_ms={stage: tuple(rng.gamma(4, 2 + index, 20).tolist()) for stage in STAGES},
        scope={stage: f"what {stage} covers" for stage in STAGES},
        images=20,
        batch=1,
        warm_up=5,
        threads=2,
        inputs="20 image files",
        images_per_s=12.5 + 7 * index,
        inference_only_per_s=15.25 + 9 * index,
        peak_rss_mb=321.0,
        machine=machine.describe(),
    )
    score = Score(
        "dice_per_image", 0.9876 - 0.0012 * index if value is None else value, "fraction", "higher", 32,
        others={"dice_pooled": 0.98 - 0.001 * index, "iou_pooled": 0.96}, data=SPLIT,
        per_class={"IoU": {"car": 0.71 + 0.01 * index, "never seen": None}},
    )  # fmt: skip
    ran = PrecisionRan.from_counts({"int8": 19, "float32": 4} if index % 3 == 2 else {"float32": 23}, f"{backend} says")
    return Row(
        f"artifact_{index}", backend, asked, ran, 7.8 + index, 3.2 + index, {"HINT": "bf16"},
        {"f16_ms": 9.0, "bf16_ms": 4.5} if asked == "force_float16" else {}, score, timing, reasons(index, asked),
    )  # fmt: skip


def report(folder: Path) -> Report:
    """Two backends in three precisions, and an image of two files in `folder`."""
    rows = [
        row(backend, asked, 3 * b + p)
        for b, backend in enumerate(("openvino", HOSTILE))
        for p, asked in enumerate(PRECISIONS)
    ]
    files = {title: write_jpeg(folder / "images" / f"{title}.jpg").relative_to(folder) for title in ("truth", "int8")}
    return Report(
        spec=tiny_artifacts.spec(),
        summary=f"a summary with {HOSTILE}",
        created="2026-01-02T03:04:05+00:00",
        machine=machine.describe(),
        source="densecast run tiny",
        data="carvana val, 32 of 320 images",
        rows=tuple(rows),
        parity=ParityRecord(((1, 3, 8, 8),), 1.2e-5, 3.4e-6, 1e-4),
        published=(PublishedScore("force_float32", "dice_per_image", 0.9914, 508, "a published table"),),
        images=(DrawnImage("0a1b", "worst", {k: str(v) for k, v in files.items()}, {"int8": 0.8765}),),
        seconds=61.7,
    )  # fmt: skip
