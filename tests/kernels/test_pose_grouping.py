"""Sums are those of numpy, bit for bit, and the rules of who joins whom hold."""

import numpy as np
import pytest

from densecast.kernels.pose_grouping import group, mean_tag, person_scores

ORDER = np.arange(3)


@pytest.mark.parametrize("length", [1, 2])
@pytest.mark.parametrize("count", range(1, 18))
def test_means_have_the_bits_of_numpys(count, length):
    random = np.random.default_rng(count)
    for _ in range(20):
        tags = random.normal(0, 10, (count, length)).astype(np.float32)
        out = np.empty(length, np.float32)
        mean_tag(tags, out)
        np.testing.assert_array_equal(out, np.mean(list(tags), axis=0))


def test_scores_have_the_bits_of_numpys_mean():
    people = np.random.default_rng(0).random((50, 17, 3)).astype(np.float32)
    wanted = [person[:, 2].mean() for person in people]
    np.testing.assert_array_equal(person_scores(people), np.array(wanted, np.float32))


def grouped(peaks, threshold=1.0, max_people=30, ignore_too_many=False):
    """`peaks[joint]` is a list of (value, x, tag); maps are 100 wide, one row."""
    counts = np.array([len(rows) for rows in peaks])
    values, indices = np.zeros((3, 5), np.float32), np.zeros((3, 5), np.int64)
    tags = np.zeros((3, 5, 1), np.float32)
    for joint, rows in enumerate(peaks):
        for place, (value, x, tag) in enumerate(rows):
            values[joint, place], indices[joint, place], tags[joint, place, 0] = value, x, tag
    return group(values, indices, tags, counts, 100, ORDER, threshold, max_people, True, ignore_too_many)


def test_a_peak_joins_the_person_with_the_nearest_tag():
    people = grouped([[(0.9, 1, 0.0), (0.8, 2, 5.0)], [(0.7, 3, 5.2), (0.6, 4, 0.1)], []])
    np.testing.assert_array_equal(people[:, :2, 0], [[1, 4], [2, 3]])
    assert (people[:, 2] == 0).all()


def test_a_peak_at_the_threshold_starts_a_person_of_its_own():
    assert len(grouped([[(0.9, 1, 0.0)], [(0.8, 2, 1.0)], []])) == 2
    assert len(grouped([[(0.9, 1, 0.0)], [(0.8, 2, 0.99)], []])) == 1


def test_peaks_of_the_first_joint_with_equal_tags_are_one_person_and_the_last_of_them_counts():
    people = grouped([[(0.9, 1, 2.0), (0.8, 2, 2.0)], [], []])
    np.testing.assert_array_equal(people[:, 0], [[2, 0, np.float32(0.8)]])


def test_people_may_be_more_than_the_peaks_taken_unless_they_are_to_be_ignored():
    peaks = [[(0.9, 1, 0.0), (0.8, 2, 10.0)], [(0.9, 3, 20.0), (0.8, 4, 30.0)], [(0.9, 5, 30.0)]]
    assert len(grouped(peaks, max_people=2)) == 4
    kept = grouped(peaks, max_people=2, ignore_too_many=True)
    assert kept[:, 0, 0].tolist() == [1, 2]


def test_nobody_is_an_empty_array():
    assert grouped([[], [], []]).shape == (0, 3, 3)


@pytest.mark.torch
@pytest.mark.parametrize("ignore_too_many", [False, True])
@pytest.mark.parametrize("use_detection_value", [False, True])
@pytest.mark.parametrize("length", [1, 2])
def test_people_are_those_of_the_plain_definition_ties_included(length, use_detection_value, ignore_too_many):
    pytest.importorskip("torch")
    import plain_pose

    from densecast.tasks.pose import PoseDecode

    random = np.random.default_rng(length)
    for trial in range(40):
        most, levels = int(random.integers(2, 8)), int(random.integers(1, 4))
        values = -np.sort(-np.round(random.random((17, most)) * 8).astype(np.float32) / 8)
        # Few different tags, so that distances and costs are often equal, and people often started anew.
        tags = (random.integers(0, 5, (17, most, length)) / levels).astype(np.float32)
        indices = random.integers(0, 60 * 40, (17, most))
        options = PoseDecode(
            use_detection_value=use_detection_value, ignore_too_many=ignore_too_many, max_people=2 + trial % 4
        )
        counts = (values > np.float32(options.detection_threshold)).sum(axis=1)
        wanted = plain_pose.match(values, indices % 60, indices // 60, tags, options)
        order = np.array(plain_pose.ORDER)
        found = group(
            values, indices, tags, counts, 60, order, options.tag_threshold, options.max_people, use_detection_value,
            ignore_too_many,
        )  # fmt: skip
        np.testing.assert_array_equal(found, wanted)
