"""A report as a run of a street network makes it, with intervals, spreads, classes and pictures in threes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import made_report
import numpy as np
from PIL import Image

from densecast.report.data import DrawnImage, Report
from densecast.results.timing import Pace
from densecast.runtime.ab_timing import Ratio
from densecast.runtime.cpu_load import CpuLoad
from densecast.spec.score import Interval
from densecast.tasks.segmentation.palettes import CITYSCAPES

SPEED = (12.1, 25.6, 38.0, 11.4, 12.0, 37.2)
MIOU = (0.7231, 0.7230, 0.7219, 0.7231, 0.7229, 0.7102)
CHANGE = (None, (-0.0004, 0.0002), (-0.0026, 0.0001), (-0.0001, 0.0001), (-0.0005, 0.0003), (-0.0151, -0.0104))


def picture(folder: Path, name: str, seed: int) -> str:
    """A street of flat colours, 2:1."""
    rng = np.random.default_rng(seed)
    image = np.zeros((160, 320, 3), np.uint8)
    image[:80], image[80:] = (70, 130, 180), (128, 64, 128)
    for left in range(0, 320, 40):
        image[int(rng.integers(20, 90)) : 110, left : left + 30] = rng.integers(40, 220, 3)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(folder / "images" / f"{name}.jpg")
    return f"images/{name}.jpg"


def report(folder: Path) -> Report:
    """Six builds of two engines."""
    made = made_report.report(folder)
    names = list(CITYSCAPES)
    rng = np.random.default_rng(0)
    by_class = rng.uniform(0.35, 0.97, len(names))
    per_image = {f"frankfurt_{index:06d}": float(rng.uniform(0.4, 0.9)) for index in range(12)}
    rows = []
    for index, row in enumerate(made.rows):
        low_high = CHANGE[index]
        change = None if low_high is None else Interval(MIOU[index] - MIOU[0], *low_high)
        score = replace(
            row.score, name="mIoU", value=MIOU[index], count=500, per_image=per_image, others={},
            per_class={"IoU": dict(zip(names, (by_class - 0.004 * index).tolist(), strict=True))},
        )  # fmt: skip
        timing = replace(row.timing, images_per_s=SPEED[index], spread=0.06, load=CpuLoad(0.03))
        pace = None
        if index % 3:
            value = SPEED[index] / SPEED[index // 3 * 3]
            answer = "yes" if value > 1.1 else "undecided"
            why = f"{value:.2f} times as fast" if value > 1.1 else "could not be decided: the spread of rounds"
            pace = Pace("fp32", Ratio(value, value * 0.97, value * 1.04), 15, answer, why, value, CpuLoad(0.03))
        backend = row.backend if index < 3 else "onnxruntime"
        confusion = tuple(
            tuple(line) for line in (np.eye(19, dtype=int) * 900 + rng.integers(0, 12, (19, 19))).tolist()
        )
        rows.append(
            replace(
                row, backend=backend, score=score, timing=timing, change=change, pace=pace, confusion=confusion
            )
        )  # fmt: skip
    titles = ("image", "ground truth", "openvino int8", "openvino fp32", "difference of both")
    images = tuple(
        DrawnImage(
            f"frankfurt_{seed:06d}", why,
            {title: picture(folder, f"{seed}_{title.replace(' ', '_')}", seed) for title in titles},
            {"openvino int8": 0.4131, "openvino fp32": 0.4212},
        )
        for seed, why in ((1, "worst"), (2, "best"))
    )  # fmt: skip
    spec = replace(made.spec, name="fcn_tiny", labels=tuple(names), palette=tuple(CITYSCAPES.values()))
    return replace(
        made, spec=spec, rows=tuple(rows), images=images, summary="FCN on procedural streets",
        data="cityscapes val, 500 of 500 images, ids 0a1b2c3d4e5f", published=(),
    )  # fmt: skip
