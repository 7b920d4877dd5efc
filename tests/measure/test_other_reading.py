"""Ground truth whose values mean something else is read without an error; what a model predicts gives it away."""

from __future__ import annotations

import re
from pathlib import Path

import colour_network
import numpy as np
import pytest
import tiny_specs
from made_mask_folders import labels_of, painted

import densecast
from densecast.measure.other_reading import OtherReading
from densecast.spec.sample import Sample
from densecast.tasks.monocular_depth import DepthMap, MonocularDepthDecode
from densecast.tasks.multilabel import MultilabelMap, MultilabelTarget
from densecast.tasks.segmentation import SegmentationMap

COUNT = 4
# Labels as a perfect network finds them, with an eighth of the columns taken for another class.
FOUND = [labels_of(index, 3, (16, 48)) for index in range(COUNT)]


def noisy(labels: np.ndarray) -> np.ndarray:
    there = labels.copy()
    there[:, ::8] = (there[:, ::8] + 1) % 3
    return there


def told_of(there: list[np.ndarray], found: list[np.ndarray] = FOUND, labels: str = "abc") -> tuple[str, ...]:
    reading = OtherReading(tiny_specs.segmentation(tuple(labels)))
    for index, (truth, prediction) in enumerate(zip(there, found, strict=True)):
        sample = Sample(str(index), Path("a.png"), Path("b.png"))
        reading(sample, SegmentationMap(prediction), truth)
    return reading.remarks()


@pytest.mark.parametrize(
    "value_of",
    [(1, 2, 0), (0, 2, 1), (1, 2, 255)],
    ids=["turned round", "two for each other", "counted from 1, and the last is nowhere"],
)
def test_values_that_mean_other_classes_are_remarked_with_what_would_agree(value_of: tuple[int, ...]) -> None:
    there = [np.asarray(value_of, np.uint8)[noisy(labels)] for labels in FOUND]
    pairs = [(a, b) for a, b in zip(there, FOUND, strict=True)]
    known = sum(int((a != 255).sum()) for a, _ in pairs)
    meant = np.full(256, 255, np.uint8)
    meant[[*value_of]] = np.arange(3)
    agreed = [sum(int((read[a] == b)[a != 255].sum()) for a, b in pairs) for read in (meant, np.arange(256))]
    (remark,) = told_of(there)
    best, now = map(int, re.findall(r"read, (\d+)% .* of (\d+)%", remark)[0])
    assert best == round(100 * agreed[0] / known)
    assert now == round(100 * agreed[1] / known)


@pytest.mark.parametrize(
    ("there", "found"),
    [
        ([noisy(labels) for labels in FOUND], FOUND),
        ([labels * 0 + 255 for labels in FOUND], FOUND),
        (FOUND, [labels * 0 for labels in FOUND]),
        (FOUND, [labels * 0 + 2 for labels in FOUND]),
        ([np.minimum(labels, 1) for labels in FOUND], [labels * 0 + 2 for labels in FOUND]),
        ([np.random.default_rng(index).integers(0, 3, (16, 48)).astype(np.uint8) for index in range(COUNT)], FOUND),
    ],
    ids=["right", "nothing known", "one class", "another class", "two classes taken for a third", "noise"],
)
def test_a_bad_model_is_no_other_reading(there: list[np.ndarray], found: list[np.ndarray]) -> None:
    assert told_of(there, found) == ()


@pytest.mark.parametrize(("columns", "told"), [(2, 0), (4, 1)])
def test_rare_classes_taken_for_each_other_are_a_fault_of_the_model(columns: int, told: int) -> None:
    """Of 48 columns 4 are too little to say that values mean other classes, and 8 are not."""
    there = np.zeros((16, 48), np.uint8)
    there[:, :columns], there[:, columns : 2 * columns] = 1, 2
    found = np.asarray((0, 2, 1), np.uint8)[there]
    assert len(told_of([there], [found])) == told


def test_inverted_masks_of_two_classes_are_remarked_by_evaluate(tmp_path: Path) -> None:
    model = colour_network.built(tmp_path, 2)
    labels = [labels_of(index, 2) for index in range(3)]
    for truth, count in ((lambda each: each, 0), (lambda each: 1 - each, 1)):
        items = [(str(index), painted(each), truth(each)) for index, each in enumerate(labels)]
        remarks = densecast.evaluate(model, items).score.remarks
        assert len([each for each in remarks if "'ground' are predicted as 'red'" in each]) == count


@pytest.mark.parametrize(("factor", "told"), [(1.0, 0), (1.6, 0), (256 / 1000, 1), (5.0, 1)])
def test_depth_in_another_unit_is_remarked(factor: float, told: int) -> None:
    rng = np.random.default_rng(0)
    for align in ("none", "median"):
        reading = OtherReading(tiny_specs.depth(MonocularDepthDecode(align=align)))
        for index in range(5):
            truth = rng.uniform(1, 9, (20, 30)).astype(np.float32)
            found = (truth / factor * rng.uniform(0.8, 1.25, truth.shape)).astype(np.float32)
            truth[::3] = 0
            reading(Sample(str(index), Path("a.png"), Path("b.png")), DepthMap(found), truth)
        remarks = reading.remarks()
        assert len(remarks) == (told if align == "none" else 0)
        if remarks:
            assert float(re.findall(r"about ([\d.]+) times", remarks[0])[0]) == pytest.approx(factor, rel=0.1)


@pytest.mark.parametrize(("order", "told"), [((0, 1, 2), 0), ((2, 1, 0), 1), ((1, 2, 0), 1), ((0, 0, 2), 0)])
def test_bits_in_another_order_are_remarked(order: tuple[int, ...], told: int) -> None:
    rng = np.random.default_rng(0)
    reading = OtherReading(tiny_specs.multilabel())
    for index in range(5):
        found = rng.random((3, 20, 30)) < np.array([0.2, 0.4, 0.6])[:, None, None]
        there = found ^ (rng.random(found.shape) < 0.1)
        sample = Sample(str(index), Path("a.png"), Path("b.png"))
        reading(sample, MultilabelMap(found), MultilabelTarget(there[[*order]]))
    remarks = reading.remarks()
    assert len(remarks) == told
    if told:
        assert "'wet' is where 'far' is predicted" in remarks[0] or "'wet' is where 'lit' is predicted" in remarks[0]
