"""The similarity of found people is COCO's, over the joints that were found; pairs are made of the most alike."""

import numpy as np
import pytest

from densecast.tasks.pose import Poses
from densecast.tasks.pose.similarity import difference, found_joint_similarity, greedy_pairs


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
def test_similarity_of_whole_people_equals_pycocotools():
    pytest.importorskip("pycocotools")
    from pycocotools.cocoeval import COCOeval

    people = people_of(0, 12)
    evaluation = COCOeval(iouType="keypoints")
    joints = np.concatenate([people.xy_px, np.full((12, 17, 1), 2)], axis=2).reshape(12, -1)
    areas = [float(width * height) for width, height in np.ptp(people.xy_px, axis=1)]
    evaluation._gts[1, 1] = [
        {"id": i, "keypoints": joints[i].tolist(), "bbox": [0, 0, 1, 1], "area": areas[i], "ignore": 0}
        for i in range(12)
    ]
    evaluation._dts[1, 1] = [{"keypoints": row.tolist(), "score": 1 - i / 100} for i, row in enumerate(joints)]
    wanted = evaluation.computeOks(1, 1)
    # Rows are people of the candidate there, and of the reference here.
    np.testing.assert_allclose(found_joint_similarity(people, people).T, wanted, atol=1e-6)


def test_pairs_are_made_of_those_most_alike_first():
    similarity = np.array([[0.9, 0.8, 0.1], [0.95, 0.2, 0.3]])
    assert list(greedy_pairs(similarity)) == [(1, 0, 0.95), (0, 1, 0.8)]
    assert list(greedy_pairs(similarity, 0.9)) == [(1, 0, 0.95)]
    assert list(greedy_pairs(similarity[:0])) == list(greedy_pairs(similarity[:, :0])) == []
    assert similarity[1, 0] == 0.95


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
