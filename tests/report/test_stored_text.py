"""What is printed of a store has each of its numbers in its own place: all of them differ here."""

from __future__ import annotations

import re

from densecast.report.stored import text_of
from densecast.results.stored import StageCost, StoreReport
from densecast.spec.score import Score

SCORE = Score(
    "mIoU", 0.5125, "fraction", "higher", 31,
    per_class={"IoU": {"road": 0.25, "sky": None}, "Acc": {"road": 0.375, "sky": 0.625}},
    others={"mAcc": 0.7375, "aAcc": 0.8875},
)  # fmt: skip
REPORT = StoreReport(
    "store", "net", 40, 33, {f"f{index:02}": f"bad {index}" for index in range(23)}, SCORE,
    {"worst": 0.0625, "next": 0.1875}, {"decode": StageCost(1.5, 2.25, 3.75), "infer": StageCost(11.5, 12.25, 13.75)},
    {"here": 12, "there": 21},
)  # fmt: skip


def cells(line: str) -> list[str]:
    return [each.strip(" |") for each in re.split(r"\s{2,}|\|", line.strip()) if each.strip(" |")]


def test_every_number_stands_in_its_own_place() -> None:
    lines = text_of(REPORT).splitlines()
    assert lines[:4] == [
        "net: 33 of 40 images done, 23 failed",
        "mIoU: 0.5125 over 31 images",
        "mAcc: 0.7375",
        "aAcc: 0.8875",
    ]
    rows = [cells(line) for line in lines[4:]]
    for expected in (
        ["class", "IoU", "Acc"],
        ["road", "0.2500", "0.3750"],
        ["sky", "0.6250"],
        ["worst", "0.0625"],
        ["next", "0.1875"],
        ["f00", "bad 0"],
        ["f19", "bad 19"],
        ["decode", "1.50", "2.25", "3.75"],
        ["infer", "11.50", "12.25", "13.75"],
        ["here", "12"],
        ["there", "21"],
    ):
        assert expected in rows, (expected, rows)
    assert ["f20", "bad 20"] not in rows and "and 3 more; all are in failed/*.parquet" in lines
