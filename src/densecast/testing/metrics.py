"""Checks of a metric: a score must not depend on how its counts were collected."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import operator
import pickle
import random
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from densecast.metrics._base import HasResults, HasTables, Metric, Resamples, ScoresBlocks, TellsTruth
from densecast.metrics._blocks import blocks_of
from densecast.spec.model import ModelSpec
from densecast.spec.score import Score
from densecast.tasks._base import TASKS
from densecast.testing._require import contents, require

P = TypeVar("P")
T = TypeVar("T")

# Weighted sums have their terms in another order than sums over images.
_RESAMPLED_TOLERANCE = 1e-9
_SHUFFLES = 5


def check_metric(
    metric: Metric[P, T, Any],
    spec: ModelSpec,
    cases: Sequence[tuple[str, P, T]],
    perfect: Sequence[tuple[str, P, T]] | None = None,
) -> None:
    """Check a metric on images of the spec's task.

    `cases` are sample ids with a prediction and its ground truth, at least three images not all of which are perfect.
    `perfect` are images with perfect predictions; without them, the ground truth itself is the prediction.

    Checked are: a score has the metric's name; counts are pure and can be pickled; a score is the same to the last
    digit for counts in any order and from any parts; weighted scores are those of images that count several times; no
    image gives NaN with count 0; and a perfect prediction gives the best value.

    Raises:
        AssertionError: says in a sentence what is not as it has to be.
    """
    require(isinstance(metric, Metric), f"{metric!r} lacks members of densecast.metrics._base.Metric.")
    require(len(cases) >= 3, f"{metric.name}: at least three images are needed to check a metric, got {len(cases)}.")
    metric.check(spec)
    counts = _counts(metric, spec, cases)
    score = metric.score(counts, spec)
    require(
        score.count == len(cases), f"{metric.name}: {len(cases)} images were counted, the score says {score.count}."
    )
    require(score.name == metric.name, f"{metric.name}: the score calls itself {score.name!r}.")
    require(math.isfinite(score.value), f"{metric.name}: the score of {len(cases)} images is {score.value}.")
    check_collections(metric, spec, counts)
    _check_none(metric, spec)
    _check_best(metric, spec, score, _perfect(spec, cases) if perfect is None else perfect)
    _check_weights(metric, spec, counts)
    _check_blocks(metric, spec, counts, score)
    _check_abilities(metric, counts, score)


def check_collections(metric: Metric[Any, Any, Any], spec: ModelSpec, counts: Sequence[Any], seed: int = 0) -> None:
    """Check that a score does not depend on how its counts were ordered, split, pickled and merged.

    Raises:
        AssertionError: it is not.
    """
    score, before = metric.score(counts, spec), contents(list(counts))
    shuffled = random.Random(seed)
    for _ in range(_SHUFFLES):
        order = shuffled.sample(range(len(counts)), len(counts))
        cut = shuffled.randint(0, len(counts))
        parts = [[counts[index] for index in sorted(part)] for part in (order[:cut], order[cut:])]
        travelled: list[list[Any]] = [pickle.loads(pickle.dumps(part)) for part in parts]
        for whole in (travelled[0] + travelled[1], travelled[1] + travelled[0], [counts[index] for index in order]):
            again = metric.score(whole, spec)
            require(
                _numbers(again) == _numbers(score),
                f"{metric.name}: the same counts in another order have another score: {again}, not {score}.",
            )
        subset = metric.score([counts[index] for index in order[:cut]], spec)
        require(subset.count == cut, f"{metric.name}: {cut} images were scored, the score says {subset.count}.")
        require(
            _numbers(metric.score(parts[0], spec)) == _numbers(subset),
            f"{metric.name}: a part of the counts has another score in another order.",
        )
    require(contents(list(counts)) == before, f"{metric.name}: scoring changes the counts.")


def _numbers(score: Score) -> str:
    """A score's contents for exact comparison: NaN equals NaN, and the order in dicts does not matter."""
    named = [sorted(each.items()) for each in (score.per_class or {}, score.others, score.per_image)]
    return repr((score.name, score.value, score.unit, score.better, score.count, *named))


def _counts(metric: Metric[P, T, Any], spec: ModelSpec, cases: Sequence[tuple[str, P, T]]) -> list[Any]:
    counts = []
    for sample_id, prediction, target in cases:
        before = contents((prediction, target))
        count = metric.count(sample_id, prediction, target, spec)
        require(count.sample_id == sample_id, f"{metric.name}: the count of {sample_id!r} is of {count.sample_id!r}.")
        require(contents((prediction, target)) == before, f"{metric.name}: counting changes prediction or target.")
        require(
            contents(metric.count(sample_id, prediction, target, spec)) == contents(count),
            f"{metric.name}: counting one image twice gives two counts.",
        )
        counts.append(count)
    return counts


def _check_none(metric: Metric[Any, Any, Any], spec: ModelSpec) -> None:
    none = metric.score([], spec)
    require(none.count == 0, f"{metric.name}: the score of no image says {none.count} images.")
    of_classes = [value for values in (none.per_class or {}).values() for value in values.values()]
    numbers = [none.value, *none.others.values(), *(value for value in of_classes if value is not None)]
    require(all(math.isnan(number) for number in numbers), f"{metric.name}: the score of no image is not NaN: {none}.")
    require(not none.per_image, f"{metric.name}: the score of no image has images of its own.")


def _check_best(
    metric: Metric[Any, Any, Any], spec: ModelSpec, score: Score, perfect: Sequence[tuple[str, Any, Any]]
) -> None:
    best = metric.score(_counts(metric, spec, perfect), spec)
    best_value = {"fraction": 1.0, "percent": 100.0}[best.unit] if best.better == "higher" else 0.0
    require(
        math.isclose(best.value, best_value, rel_tol=1e-6, abs_tol=1e-6),
        f"{metric.name}: perfect predictions score {best.value}, not {best_value}.",
    )
    is_worse = score.value < best.value if best.better == "higher" else score.value > best.value
    require(is_worse, f"{metric.name}: the cases score {score.value}, no worse than perfect ones ({best.value}).")


def _check_weights(metric: Metric[Any, Any, Any], spec: ModelSpec, counts: Sequence[Any]) -> None:
    """Check that `resampled` agrees with scoring images counted several times."""
    weights = np.ones((3, len(counts)), np.int64)
    weights[1, 0] = 2
    weights[2, 0], weights[2, 1:] = 3, np.arange(len(counts) - 1) % 3
    resamples = [[count for count, times in zip(counts, row, strict=True) for _ in range(times)] for row in weights]
    scores = [metric.score(resample, spec) for resample in resamples]
    for resample, score in zip(resamples, scores, strict=True):
        require(
            score.count == len(resample),
            f"{metric.name}: images that count several times make {len(resample)}, the score says {score.count}.",
        )
    if not isinstance(metric, Resamples):
        return
    expected = np.array([score.value for score in scores])
    values = metric.resampled(counts, weights, spec)
    require(values.shape == (3,), f"{metric.name}: three rows of weights give {values.shape} values.")
    require(
        np.allclose(values, expected, rtol=_RESAMPLED_TOLERANCE, atol=0, equal_nan=True),
        f"{metric.name}: weights 1, 2 and mixed give {values.tolist()}, images that often {expected.tolist()}.",
    )
    nothing = metric.resampled([], np.ones((2, 0), np.int64), spec)
    require(nothing.shape == (2,) and bool(np.isnan(nothing).all()), f"{metric.name}: weights of no image are not NaN.")


def _check_blocks(metric: Metric[Any, Any, Any], spec: ModelSpec, counts: Sequence[Any], score: Score) -> None:
    """Check that counts field by field have the score and the ground truth of counts one by one."""
    if not isinstance(metric, ScoresBlocks):
        return
    names = [field.name for field in dataclasses.fields(counts[0]) if field.name != "sample_id"]
    for images in (1, 2, len(counts)):
        blocks = list(blocks_of(counts, names, images))
        again = metric.score_blocks(iter(blocks), spec)
        require(
            _numbers(again) == _numbers(score),
            f"{metric.name}: the counts in blocks of {images} have another score: {again}, not {score}.",
        )
        if isinstance(metric, TellsTruth):
            told = [metric.truth_of_block(block, spec) for block in blocks]
            whole = functools.reduce(operator.add, [each for each in told if each is not None])
            require(
                whole == metric.truth(counts, spec),
                f"{metric.name}: blocks of {images} tell another ground truth: {whole}.",
            )
    require(
        _numbers(metric.score_blocks(iter(()), spec)) == _numbers(metric.score([], spec)),
        f"{metric.name}: no block has another score than no image.",
    )


def _check_abilities(metric: Metric[Any, Any, Any], counts: Sequence[Any], score: Score) -> None:
    if isinstance(metric, HasTables):
        require(bool(metric.table_styles), f"{metric.name}: names no style of table.")
        for style in metric.table_styles:
            require(isinstance(metric.table(score, style), str), f"{metric.name}: the table {style!r} is no text.")
    if isinstance(metric, HasResults):
        results = metric.results(counts)
        require(json.loads(json.dumps(results)) == results, f"{metric.name}: its results do not survive JSON.")


def _perfect(spec: ModelSpec, cases: Sequence[tuple[str, Any, Any]]) -> list[tuple[str, Any, Any]]:
    task = TASKS.load(spec.task)
    return [(sample_id, task.as_prediction(target), target) for sample_id, _, target in cases]
