"""Similarity is COCO's; suppression keeps whom its definition keeps."""

import numpy as np
import pytest

from densecast.errors import UsageError
from densecast.metrics._oks import areas, oks, oks_nms, soft_oks_nms
from densecast.spec.prediction import Poses


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
    np.testing.assert_array_equal(oks(people.xy_px, people.xy_px, areas(people.xy_px)), np.ones(5))


def test_similarity_at_one_sigma_of_every_joint():
    from densecast.tasks.pose.coco_person import SIGMAS

    area = 5000.0
    there = np.zeros((17, 2))
    there[:, 0] = 2 * np.array(SIGMAS) * np.sqrt(area)
    assert oks(np.zeros((17, 2)), there, area) == pytest.approx(np.exp(-0.5), abs=1e-6)


def kept_by_definition(people, threshold):
    area = areas(people.xy_px)
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
    area = areas(people.xy_px)
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
