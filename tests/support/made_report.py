"""A report of made-up numbers, with everything in it that a report may hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tiny_artifacts
from made_pictures import write_jpeg

from densecast.core import machine
from densecast.core.artifact import CalibrationRecord, ParityRecord
from densecast.core.precision import PRECISIONS, Precision, PrecisionRan
from densecast.core.sample import SplitRecord
from densecast.core.score import Score
from densecast.core.timing import Timing
from densecast.core.zoo_entry import PublishedScore
from densecast.report.data import Picture, Report, Row

# Text that breaks a page which forgets to escape it.
HOSTILE = '<script src="https://example.org/x.js">&"'
STAGES = ("decode", "preprocess", "infer", "postprocess", "end_to_end")
SPLIT = SplitRecord("carvana", "val", 32, 320, 0, "ab" * 32)


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
        {"f16_ms": 9.0, "bf16_ms": 4.5} if asked == "force_float16" else {}, score, timing,
    )  # fmt: skip


def report(folder: Path) -> Report:
    """Two backends in three precisions, and a picture of two files in `folder`."""
    rows = [
        row(backend, asked, 3 * b + p)
        for b, backend in enumerate(("openvino", HOSTILE))
        for p, asked in enumerate(PRECISIONS)
    ]
    files = {title: write_jpeg(folder / "pictures" / f"{title}.jpg").relative_to(folder) for title in ("truth", "int8")}
    return Report(
        spec=tiny_artifacts.spec(),
        summary=f"a summary with {HOSTILE}",
        created="2026-01-02T03:04:05+00:00",
        machine=machine.describe(),
        source="densecast run tiny",
        data="carvana val, 32 of 320 images",
        rows=tuple(rows),
        parity=ParityRecord(((1, 3, 8, 8),), 1.2e-5, 3.4e-6, 1e-4),
        calibration=CalibrationRecord("carvana train", 288, ("a", "b"), SPLIT),
        published=(PublishedScore("force_float32", "dice_per_image", 0.9914, 508, "a published table"),),
        pictures=(Picture("0a1b", "worst", {k: str(v) for k, v in files.items()}, {"int8": 0.8765}),),
        seconds=61.7,
    )  # fmt: skip
