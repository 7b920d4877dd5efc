"""Margins and people are compared as independent implementations of the same definitions do; outputs, all of them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import tiny_artifacts
from coco_oks import oks

from densecast.spec.model import ModelSpec
from densecast.spec.precision import PrecisionRan
from densecast.spec.tensor import Feeds
from densecast.tasks._base import TASKS
from densecast.tasks.pose import Poses, similarity
from densecast.tasks.segmentation import SegmentationMap
from densecast.tasks.segmentation.margins import margins
from densecast.verbs.compare.forward import ForwardResult
from densecast.verbs.compare.tally import Tally


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
    areas = np.ptp(one.xy_px, axis=1).prod(axis=-1)
    expected = oks(one.xy_px[:, None], other.xy_px[None], areas[:, None])
    np.testing.assert_allclose(
        similarity.found_joint_similarity(one, other), expected, atol=1e-6
    )  # float32 against float64


def test_a_joint_that_only_one_found_counts_nothing() -> None:
    one = crowd(1, 1)
    score = one.score.copy()
    score[0, :5] = 0
    without = Poses(one.xy_px, score, one.person_score)
    np.testing.assert_allclose(similarity.found_joint_similarity(one, without), [[12 / 17]])
    np.testing.assert_allclose(similarity.found_joint_similarity(without, without), [[1.0]])


def test_people_are_matched_whatever_their_order() -> None:
    everybody = crowd(4, 3)
    some = Poses(everybody.xy_px[[2, 0]], everybody.score[[2, 0]], everybody.person_score[[2, 0]])
    apart = similarity.difference(everybody, some)
    assert apart.counts == {"vanished": 2, "appeared": 0} and apart.reported == 0.5
    apart = similarity.difference(some, everybody)
    assert apart.counts == {"vanished": 0, "appeared": 2} and apart.reported == 0.5
    nobody = crowd(0, 0)
    assert similarity.difference(nobody, nobody).reported == 1.0
    assert similarity.difference(nobody, some).counts["appeared"] == 2


RAN = PrecisionRan("float16", {}, "")


def forward(outputs: Feeds) -> ForwardResult:
    """The outputs of one view, of which nobody asks what was put in."""
    return ForwardResult(None, (outputs,))  # type: ignore[arg-type]


def tally_of(spec: ModelSpec) -> Tally:
    return Tally(TASKS.load(spec.task), spec)


def test_a_candidate_that_is_not_finite_shows_it() -> None:
    spec = tiny_artifacts.spec()
    tally, name = tally_of(spec), spec.output.name
    left, right = np.zeros((2, 3, 3), np.float32), np.full((2, 3, 3), np.nan, np.float32)
    tally.add_output(name, left, right)
    labels: npt.NDArray[np.uint8] = np.zeros((3, 3), np.uint8)
    tally.add_predictions("a", SegmentationMap(labels), SegmentationMap(labels), forward({name: left}))
    comparison = tally.comparison("r", "c", RAN, 1, None)
    assert np.isnan(comparison.max_error)
    assert (comparison.difference, comparison.labels_changed, comparison.measure) == (0.0, 0.0, "labels_changed")


def test_images_count_by_their_size_and_the_worst_come_first() -> None:
    spec = tiny_artifacts.spec()
    tally, logits = tally_of(spec), np.zeros((2, 4, 4), np.float32)
    for image, side, changed in (("large", 8, 4), ("small", 2, 2), ("same", 4, 0)):
        left = np.zeros((side, side), np.uint8)
        right = left.copy()
        right.reshape(-1)[:changed] = 1
        tally.add_output(spec.output.name, logits, logits)
        tally.add_predictions(image, SegmentationMap(left), SegmentationMap(right), forward({spec.output.name: logits}))
    comparison = tally.comparison("r", "c", RAN, 3, None)
    assert comparison.difference == comparison.labels_changed == 6 / (64 + 4 + 16)
    assert comparison.worst == ("small", "large", "same")


def test_people_differ_by_what_they_are_not_alike() -> None:
    spec = tiny_artifacts.pose_spec()
    tally, everybody = tally_of(spec), crowd(4, 3)
    some = Poses(everybody.xy_px[:2], everybody.score[:2], everybody.person_score[:2])
    tally.add_output(spec.output.name, np.zeros((34, 2, 2)), np.zeros((34, 2, 2)))
    tally.add_predictions("a", everybody, some, forward({}))
    comparison = tally.comparison("r", "c", RAN, 1, None)
    assert (comparison.mean_oks, comparison.difference, comparison.measure) == (0.5, 0.5, "mean_oks")
    assert (comparison.vanished, comparison.appeared, comparison.labels_changed) == (2, 0, None)


def test_every_output_is_compared_and_the_main_one_keeps_its_numbers() -> None:
    spec = tiny_artifacts.spec()
    two = replace(spec, outputs=(spec.output, replace(spec.output, name="depth")))
    main, depth = np.ones((2, 3, 3)), np.full((1, 3, 3), 4.0)
    tallies = [tally_of(each) for each in (spec, two)]
    for tally in tallies:
        tally.add_output(spec.output.name, main, main * 1.5)
    tallies[1].add_output("depth", depth, depth + 1)
    alone, both = (tally.comparison("r", "c", RAN, 1, None) for tally in tallies)
    assert replace(both, other_outputs={}) == alone
    assert both.other_outputs["depth"].relative_error == 0.25 and both.other_outputs["depth"].max_error == 1.0
    assert both.relative_errors == (0.5, 0.25)
