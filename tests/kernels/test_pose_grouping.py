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
