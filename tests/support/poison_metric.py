"""Dice that crashes the process of one image, takes its time over each, and notes them: what the environment says."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Sequence
from pathlib import Path

from densecast import ModelSpec, Score, SegmentationMap
from densecast.metrics.dice import Dice, ForegroundCount
from densecast.spec.sample import LabelMap


class Poison:
    """Dice, with `POISON_ID` for the image that aborts, `POISON_SLEEP_S` for each, and their ids in `POISON_LOG`."""

    name = Dice.name

    def check(self, spec: ModelSpec) -> None:
        opened = Path(os.environ.get("POISON_OPENED", os.devnull))
        # In a process that computes images, so many times; each time is noted.
        if os.environ.get("POISON_OPENED") and multiprocessing.parent_process() is not None:
            with opened.open("a") as log:
                log.write("x")
            if opened.stat().st_size <= int(os.environ["POISON_OPENINGS"]):
                os.abort()
        Dice().check(spec)

    def count(self, sample_id: str, prediction: SegmentationMap, target: LabelMap, spec: ModelSpec) -> ForegroundCount:
        if sample_id == os.environ.get("POISON_ID"):
            os.abort()
        time.sleep(float(os.environ.get("POISON_SLEEP_S", "0")))
        if os.environ.get("POISON_LOG"):
            with Path(os.environ["POISON_LOG"]).open("a") as log:
                log.write(f"{sample_id}\n")
        return Dice().count(sample_id, prediction, target, spec)

    def score(self, counts: Sequence[ForegroundCount], spec: ModelSpec) -> Score:
        return Dice().score(counts, spec)
