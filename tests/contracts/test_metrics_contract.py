"""What holds for every metric: perfect is best, order does not matter, and nothing counted is NaN."""

from __future__ import annotations

import math
from types import ModuleType

import numpy as np
import pytest
import seeded_people
import tiny_artifacts
from contract_cases import case_of

from densecast import plugins
from densecast.datasets import _coco_annotations
from densecast.spec.prediction import Poses, Prediction, SegmentationMap
from densecast.spec.sample import AnnotatedPoses, Target
from densecast.spec.score import Score

Pair = tuple[str, Prediction, Target]


def _binary_masks() -> list[Pair]:
    """Five masks of differing sizes and their noisy predictions."""
    rng = np.random.default_rng(0)
    pairs: list[Pair] = []
    for index in range(5):
        target = (rng.random((12 + index, 17)) < 0.1 + 0.15 * index).astype(np.uint8)
        flips = rng.random(target.shape) < 0.2
        pairs.append((f"{index}", SegmentationMap(target ^ flips.astype(np.uint8)), target))
    return pairs


def _label_maps() -> list[Pair]:
    """Five maps of the tiny model's two classes, some pixels of which are not to be counted."""
    rng = np.random.default_rng(1)
    ignored = [
        (name, prediction, np.where(rng.random(t.shape) < 0.1, 255, t)) for name, prediction, t in _binary_masks()
    ]
    return [(name, prediction, target.astype(np.uint8)) for name, prediction, target in ignored]


def _people() -> list[Pair]:
    """Images of people, medium and large, found well and badly."""
    document, found = seeded_people.images()
    annotated = _coco_annotations.parse(document).people
    return [(f"{each.image_id:012d}", each.people, annotated[each.image_id]) for each in found]


def _perfect_people(pairs: list[Pair]) -> list[Pair]:
    """Everybody with a joint is found where they are, but for an image of more people than COCO looks at."""
    perfect: list[Pair] = []
    for name, _, target in pairs:
        assert isinstance(target, AnnotatedPoses)
        score = (target.visibility > 0).astype(np.float32)
        people = Poses(target.xy_px.astype(np.float32), score, score.mean(axis=1))
        if len(people) <= 20:
            perfect.append((name, people, target))
    return perfect


def _perfect_masks(pairs: list[Pair]) -> list[Pair]:
    return [(name, SegmentationMap(target), target) for name, _, target in pairs]


CASES = {
    "coco_keypoints": (_people, _perfect_people),
    "dice": (_binary_masks, _perfect_masks),
    "iou": (_label_maps, _perfect_masks),
}
EXTRAS = {"coco_keypoints": "pycocotools"}
SPEC = tiny_artifacts.spec()


@pytest.fixture(params=plugins.names("metrics"))
def metric(request: pytest.FixtureRequest) -> tuple[ModuleType, list[Pair], list[Pair]]:
    make, perfect = case_of(CASES, "metrics", request.param)
    if request.param in EXTRAS:
        pytest.importorskip(EXTRAS[request.param])
    return plugins.load("metrics", request.param), make(), perfect(make())


def score(module: ModuleType, pairs: list[Pair]) -> Score:
    counter = module.accumulator(SPEC)
    for pair in pairs:
        counter.add(*pair)
    found: Score = counter.score()
    return found


def numbers(found: Score) -> list[float]:
    of_classes = [value for values in (found.per_class or {}).values() for value in values.values()]
    return [found.value, *found.others.values(), *(math.nan if value is None else value for value in of_classes)]


def test_perfect_is_best(metric: tuple[ModuleType, list[Pair], list[Pair]]) -> None:
    module, pairs, perfect = metric
    best, usual = score(module, perfect), score(module, pairs)
    assert best.value == pytest.approx({"fraction": 1.0, "percent": 100.0}[best.unit] if best.better == "higher" else 0)
    assert (usual.value < best.value) == (best.better == "higher")


def test_order_does_not_matter(metric: tuple[ModuleType, list[Pair], list[Pair]]) -> None:
    module, pairs, _ = metric
    forwards, backwards = score(module, pairs), score(module, pairs[::-1])
    # Means are sums in another order.
    np.testing.assert_allclose(numbers(backwards), numbers(forwards), rtol=1e-12)
    assert backwards.count == forwards.count == len(pairs)


def test_looking_at_the_score_does_not_change_it(metric: tuple[ModuleType, list[Pair], list[Pair]]) -> None:
    module, pairs, _ = metric
    counter = module.accumulator(SPEC)
    for pair in pairs:
        counter.add(*pair)
        counter.score()
    assert counter.score() == score(module, pairs)


def test_nothing_counted_is_nan_with_count_0(metric: tuple[ModuleType, list[Pair], list[Pair]]) -> None:
    module, _, _ = metric
    empty = score(module, [])
    assert empty.count == 0
    assert all(math.isnan(number) for number in numbers(empty))
