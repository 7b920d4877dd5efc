"""COCO average precision of many bootstrap resamples from a single matching of people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def average_precisions(evaluation: Any, images: Sequence[int], weights: npt.NDArray[np.int64]) -> Floats:
    """(B, N) times that each of `images` counts -> (B,) AP; NaN where a resampling has nobody to find.

    `evaluation` is COCO's own, evaluated: who is matched with whom depends on one image alone. What it then does
    (`COCOeval.accumulate`) is done here for all resamplings at once: by falling score, an image that counts k times
    adds k hits or false alarms where it added one, and precision is read at 101 recalls.
    """
    everyone, most = evaluation.params.areaRng[0], evaluation.params.maxDets[-1]
    column = {image: index for index, image in enumerate(images)}
    ordered = [column[image] for image in evaluation.params.imgIds]
    entries = [
        (place, entry)
        for place, entry in zip(ordered, evaluation.evalImgs, strict=False)
        if entry is not None and entry["aRng"] == everyone
    ]
    people = np.zeros(len(images), np.int64)
    for place, entry in entries:
        people[place] = np.count_nonzero(np.asarray(entry["gtIgnore"]) == 0)
    there = (weights @ people).astype(np.float64)
    if not any(entry["dtScores"][:most] for _, entry in entries):
        return np.where(there > 0, 0.0, np.nan)
    score = np.concatenate([entry["dtScores"][:most] for _, entry in entries])
    image = np.concatenate([np.full(len(entry["dtScores"][:most]), place, np.int64) for place, entry in entries])
    matched = np.concatenate([entry["dtMatches"][:, :most] for _, entry in entries], axis=1).astype(bool)
    ignored = np.concatenate([entry["dtIgnore"][:, :most] for _, entry in entries], axis=1).astype(bool)
    order = np.argsort(-score, kind="mergesort")
    counts = weights[:, image[order]].astype(np.float64)
    total = np.zeros(len(weights))
    for hit, left_out in zip(matched[:, order], ignored[:, order], strict=True):
        hits = np.cumsum(counts * (hit & ~left_out), axis=1)
        alarms = np.cumsum(counts * (~hit & ~left_out), axis=1)
        total += _mean_precision(hits, alarms, there, evaluation.params.recThrs)
    return total / len(matched)


def _mean_precision(hits: Floats, alarms: Floats, there: Floats, recalls: Floats) -> Floats:
    """(B, D) counts by falling score -> (B,) means of falling precision at `recalls`; 0 beyond the last."""
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.maximum.accumulate((hits / (hits + alarms + np.spacing(1)))[:, ::-1], axis=1)[:, ::-1]
        recall = hits / there[:, None]
    means = np.full(len(hits), np.nan)
    for row in np.flatnonzero(there > 0):
        index = np.searchsorted(recall[row], recalls, side="left")
        inside = index < hits.shape[1]
        means[row] = precision[row, index[inside]].sum() / len(recalls)
    return means
