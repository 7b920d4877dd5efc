"""Similarity is COCO's; suppression keeps whom its definition keeps."""

import numpy as np
import pytest

from densecast.errors import UsageError
from densecast.tasks.pose import Poses
from densecast.tasks.pose.similarity import (
    box_areas,
    difference,
    found_joint_similarity,
    greedy_pairs,
    oks,
    oks_nms,
    soft_oks_nms,
)


def people_of(seed, count):
    """Random people, many of them near copies of others."""
    random = np.random.default_rng(seed)
    xy = random.uniform(0, 300, (count, 17, 2))
    for person in range(1, count):
        if random.random() < 0.7:
            xy[person] = xy[random.integers(person)] + random.normal(0, random.choice([1, 5, 20]), (17, 2))
    score = random.random((count, 17)).astype(np.float32)
    return Poses(xy.astype(np.float32), score, score.mean(axis=1))


@pytest.mark.coco
def test_similarity_equals_pycocotools():
    pytest.importorskip("pycocotools")
    from pycocotools.cocoeval import COCOeval

    people = people_of(0, 12)
    evaluation = COCOeval(iouType="keypoints")
    joints = np.concatenate([people.xy_px, np.full((12, 17, 1), 2)], axis=2).reshape(12, -1)
    truth = [
        {"id": i, "keypoints": joints[i].tolist(), "bbox": [0, 0, 1, 1], "area": 900.0 + 100 * i, "ignore": 0}
        for i in range(12)
    ]
    evaluation._gts[1, 1] = truth
    evaluation._dts[1, 1] = [{"keypoints": row.tolist(), "score": 1 - i / 100} for i, row in enumerate(joints)]
    wanted = evaluation.computeOks(1, 1)
    found = oks(people.xy_px[None], people.xy_px[:, None], np.array([one["area"] for one in truth]))
    # Ours is a float32, of squares summed in float32.
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_a_person_is_most_like_itself():
    people = people_of(1, 5)
    np.testing.assert_array_equal(oks(people.xy_px, people.xy_px, box_areas(people.xy_px)), np.ones(5))


def test_similarity_at_one_sigma_of_every_joint():
    from densecast.tasks.pose.coco_person import SIGMAS

    area = 5000.0
    there = np.zeros((17, 2))
    there[:, 0] = 2 * np.array(SIGMAS) * np.sqrt(area)
    assert oks(np.zeros((17, 2)), there, area) == pytest.approx(np.exp(-0.5), abs=1e-6)


def kept_by_definition(people, threshold):
    area = box_areas(people.xy_px)
    kept = []
    for one in sorted(range(len(people)), key=lambda i: -people.person_score[i]):
        alike = [oks(people.xy_px[k], people.xy_px[one], (area[k] + area[one]) / 2) for k in kept]
        if not any(value > threshold for value in alike):
            kept.append(one)
    return kept


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_hard_suppression_is_the_definition(seed, threshold):
    people = people_of(seed, 30)
    assert oks_nms(people, threshold).tolist() == kept_by_definition(people, threshold)


@pytest.mark.parametrize("seed", range(5))
def test_soft_suppression_is_the_definition(seed):
    people = people_of(seed, 30)
    area = box_areas(people.xy_px)
    scores = {i: float(score) for i, score in enumerate(people.person_score)}
    kept = []
    while scores and len(kept) < 20:
        one = max(scores, key=scores.get)
        kept.append(one)
        del scores[one]
        for other in scores:
            alike = float(oks(people.xy_px[one], people.xy_px[other], (area[one] + area[other]) / 2))
            scores[other] *= np.exp(-(alike**2) / 0.9)
    assert soft_oks_nms(people, 0.9).tolist() == kept


def test_of_equal_scores_the_later_one_comes_first():
    xy = np.zeros((3, 17, 2), np.float32)
    xy[1] += 1000
    xy[2] += 2000
    xy += np.random.default_rng(0).uniform(0, 100, (17, 2)).astype(np.float32)
    people = Poses(xy, np.ones((3, 17), np.float32), np.array([0.5, 0.9, 0.5], np.float32))
    assert oks_nms(people).tolist() == [1, 2, 0]
    assert soft_oks_nms(people).tolist() == [1, 0, 2]  # sorted again after each, it turns once more


def test_a_person_as_similar_as_the_threshold_is_kept():
    xy = np.random.default_rng(0).uniform(0, 100, (1, 17, 2)).astype(np.float32).repeat(2, axis=0)
    people = Poses(xy, np.ones((2, 17), np.float32), np.array([0.9, 0.5], np.float32))
    assert oks_nms(people, 1.0).tolist() == [0, 1]  # two that are the same have similarity 1
    assert oks_nms(people, 0.999).tolist() == [0]


def test_nobody_and_one():
    nobody = Poses(np.zeros((0, 17, 2), np.float32), np.zeros((0, 17), np.float32), np.zeros(0, np.float32))
    assert oks_nms(nobody).shape == soft_oks_nms(nobody).shape == (0,)
    assert oks_nms(people_of(0, 1)).tolist() == soft_oks_nms(people_of(0, 1)).tolist() == [0]


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_thresholds_that_are_no_similarity_are_refused(threshold):
    for suppress in (oks_nms, soft_oks_nms):
        with pytest.raises(UsageError):
            suppress(people_of(0, 2), threshold)
    with pytest.raises(UsageError):
        soft_oks_nms(people_of(0, 2), 0.0)


def test_pairs_are_made_of_those_most_alike_first():
    similarity = np.array([[0.9, 0.8, 0.1], [0.95, 0.2, 0.3]])
    assert list(greedy_pairs(similarity)) == [(1, 0, 0.95), (0, 1, 0.8)]
    assert list(greedy_pairs(similarity, 0.9)) == [(1, 0, 0.95)]
    assert list(greedy_pairs(similarity[:0])) == list(greedy_pairs(similarity[:, :0])) == []
    assert similarity[1, 0] == 0.95


def test_where_all_joints_are_found_both_similarities_are_one():
    people = people_of(3, 6)
    areas = box_areas(people.xy_px)
    expected = [[oks(one, other, areas[index]) for other in people.xy_px] for index, one in enumerate(people.xy_px)]
    # `oks` is a float32, of squares summed in float32.
    np.testing.assert_allclose(found_joint_similarity(people, people), expected, atol=1e-6)


def test_a_joint_that_one_model_lacks_counts_0_and_one_that_both_lack_not_at_all():
    people, fewer = people_of(4, 1), people_of(4, 1)
    fewer.score[0, :5] = 0
    assert found_joint_similarity(people, fewer) == pytest.approx(12 / 17)
    people.score[0, :5] = 0
    assert found_joint_similarity(people, fewer) == 1


@pytest.mark.parametrize("joints", [1, 5, 21])
def test_people_of_any_number_of_joints_are_compared(joints):
    rng = np.random.default_rng(joints)
    xy = rng.uniform(0, 300, (4, joints, 2)).astype(np.float32)
    people = Poses(xy, np.ones((4, joints), np.float32), np.ones(4, np.float32))
    assert difference(people, people).value == 0
    np.testing.assert_array_equal(np.diagonal(found_joint_similarity(people, people)), np.ones(4))


def test_difference_sums_similarities_and_counts_who_vanished_and_appeared():
    reference, candidate = people_of(5, 3), people_of(5, 3)
    candidate.xy_px[2] += 10_000
    found = difference(reference, candidate)
    assert (found.amount, found.weight, found.counts) == (2.0, 4, {"vanished": 1, "appeared": 1})
    assert (found.reported, found.value) == (0.5, 0.5)
    nobody = people_of(5, 0)
    assert difference(nobody, nobody).reported == 1 and difference(nobody, nobody).value == 0
    assert difference(reference, nobody).value == difference(nobody, reference).value == 1
