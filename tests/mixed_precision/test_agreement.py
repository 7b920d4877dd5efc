"""Predictions that are alike agree wholly; what is missing, moved or of another class counts."""

from __future__ import annotations

import numpy as np
import pytest

from densecast.spec.prediction import Poses, SegmentationMap
from densecast.verbs.mixed_precision.agreement import Agreement, people_alike

STANDING = np.random.default_rng(0).uniform(0, 200, (17, 2)).astype(np.float32)


def people(*shifts_px: float) -> Poses:
    xy = np.stack([STANDING + shift for shift in shifts_px]) if shifts_px else np.zeros((0, 17, 2))
    return Poses(xy.astype(np.float32), np.ones((len(xy), 17), np.float32), np.ones(len(xy), np.float32))


def test_the_same_people_in_any_order_are_wholly_alike() -> None:
    assert people_alike(people(0, 500), people(500, 0)) == pytest.approx(1)
    assert people_alike(people(), people()) == 1


def test_whoever_is_missing_or_invented_counts_nothing() -> None:
    assert people_alike(people(0, 900), people(0)) == pytest.approx(0.5)
    assert people_alike(people(0), people(0, 900)) == pytest.approx(0.5)
    assert people_alike(people(0), people()) == people_alike(people(), people(0)) == 0


def test_a_moved_person_is_less_alike_the_further() -> None:
    alike = [people_alike(people(0), people(shift)) for shift in (0, 2, 10, 900)]
    assert alike == sorted(alike, reverse=True) and alike[0] - alike[1] > 1e-3 and alike[3] < 1e-3


def test_the_share_of_pixels_is_a_mean_over_images() -> None:
    counter = Agreement()
    zero, half = np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8)
    half[:2] = 1
    counter.compare(SegmentationMap(zero), SegmentationMap(half))
    counter.compare(SegmentationMap(zero), SegmentationMap(zero))
    np.testing.assert_array_equal(counter.resampled(np.array([[1, 1], [2, 0], [1, 3]])), [0.75, 0.5, 0.875])
