"""Margins and people are compared as independent implementations of the same definitions do."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from densecast.metrics._oks import areas, oks
from densecast.spec.precision import PrecisionRan
from densecast.spec.prediction import Poses, SegmentationMap
from densecast.verbs.compare import people
from densecast.verbs.compare.difference import Tally, margins


def crowd(count: int, seed: int) -> Poses:
    rng = np.random.default_rng(seed)
    xy = rng.uniform(0, 60, (count, 17, 2)) + 200 * np.arange(count)[:, None, None]
    return Poses(xy.astype(np.float32), np.ones((count, 17), np.float32), np.ones(count, np.float32))


def test_margins_are_those_of_opencvs_upsampled_logits() -> None:
    logits = np.random.default_rng(0).normal(size=(5, 12, 17))
    size_hw = (48, 51)
    large = np.stack([cv2.resize(each, size_hw[::-1], interpolation=cv2.INTER_LINEAR) for each in logits])
    best = np.sort(large, axis=0)
    places = np.argwhere(np.ones(size_hw, bool))
    found = margins(logits, places, size_hw, align_corners=False).reshape(size_hw)
    # OpenCV interpolates in float64 as we do, in another order.
    np.testing.assert_allclose(found, best[-1] - best[-2], atol=1e-9)


def test_similarity_of_whole_people_is_cocos() -> None:
    one, other = crowd(3, 1), crowd(2, 2)
    expected = oks(one.xy_px[:, None], other.xy_px[None], np.repeat(areas(one.xy_px)[:, None], 2, axis=1))
    np.testing.assert_allclose(people.similarities(one, other), expected, atol=1e-6)  # float32 against float64


def test_a_joint_that_only_one_found_counts_nothing() -> None:
    one = crowd(1, 1)
    score = one.score.copy()
    score[0, :5] = 0
    without = Poses(one.xy_px, score, one.person_score)
    np.testing.assert_allclose(people.similarities(one, without), [[12 / 17]])
    np.testing.assert_allclose(people.similarities(without, without), [[1.0]])


def test_people_are_matched_whatever_their_order() -> None:
    everybody = crowd(4, 3)
    some = Poses(everybody.xy_px[[2, 0]], everybody.score[[2, 0]], everybody.person_score[[2, 0]])
    found = people.difference(everybody, some)
    assert (found.vanished, found.appeared) == (2, 0) and found.mean_oks == 0.5
    found = people.difference(some, everybody)
    assert (found.vanished, found.appeared) == (0, 2) and found.mean_oks == 0.5
    nobody = crowd(0, 0)
    assert people.difference(nobody, nobody).mean_oks == 1.0
    assert people.difference(nobody, some).appeared == 2


def test_a_candidate_that_is_not_finite_shows_it() -> None:
    tally = Tally()
    left, right = np.zeros((2, 3, 3)), np.full((2, 3, 3), np.nan)
    tally.add_output(left, right)
    labels: npt.NDArray[np.uint8] = np.zeros((3, 3), np.uint8)
    tally.add_predictions("a", SegmentationMap(labels), SegmentationMap(labels), left, align_corners=False)
    assert np.isnan(tally.comparison("r", "c", PrecisionRan("float16", {}, ""), 1, None).max_error)
