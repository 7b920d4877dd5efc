"""Groups joint peaks into people by their tags, as in associative embedding.

Joints are taken in a fixed order, trunk and head first. The peaks of each are matched with the people found so
far at the least total cost, and a peak too far from its person's mean tag starts a new one. Arithmetic
(which sums are float32, which float64), the order of people, and the assignment's choice among equal costs follow
MMPose 0.29.0 (`mmpose.core.post_processing.group`), so that the same people come out in the same order.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from densecast.kernels.assignment import solve_square

# The price of giving a peak no person, where there are more peaks than people.
_NOBODY = 1e10


@njit(cache=True, nogil=True)
def mean_tag(tags, out):  # type: ignore[no-untyped-def]
    """Fill `out` (L) with the mean of (n, L) float32 tags, summed in numpy's order, n < 128."""
    n, length = tags.shape
    if length == 1 and n >= 8:
        # A contiguous column: numpy adds eight interleaved partial sums, then their tree, then the rest.
        partial = tags[:8, 0].copy()
        whole = n - n % 8
        for i in range(8, whole):
            partial[i % 8] += tags[i, 0]
        total = ((partial[0] + partial[1]) + (partial[2] + partial[3])) + (
            (partial[4] + partial[5]) + (partial[6] + partial[7])
        )
        for i in range(whole, n):
            total += tags[i, 0]
        out[0] = total / np.float32(n)
        return
    for axis in range(length):
        total = tags[0, axis]
        for i in range(1, n):
            total += tags[i, axis]
        out[axis] = total / np.float32(n)


@njit(cache=True, nogil=True)
def _person_of_key(keys, count, key):  # type: ignore[no-untyped-def]
    """The index of the person that was started with this tag, or `count` if there is none."""
    for person in range(count):
        if keys[person] == key:
            return person
    return count


@njit(cache=True, nogil=True)
def _distances(tags, means, out):  # type: ignore[no-untyped-def]
    """Fill `out` (n, p) with the Euclidean distances between (n, L) and (p, L) tags, in float64."""
    for row in range(tags.shape[0]):
        for person in range(means.shape[0]):
            total = 0.0
            for axis in range(tags.shape[1]):
                difference = np.float64(tags[row, axis]) - np.float64(means[person, axis])
                total += difference * difference
            out[row, person] = np.sqrt(total)


@njit(cache=True, nogil=True)
def _assign(distance, values, use_detection_value):  # type: ignore[no-untyped-def]
    """(n, p) distances -> the column of each peak in the optimal assignment; p or more means no person."""
    peaks, people = distance.shape
    size = max(peaks, people)
    # Rows are filled up with zeros, columns with the price of nobody.
    cost = np.zeros((size, size))
    for row in range(peaks):
        for person in range(people):
            cost[row, person] = distance[row, person]
            if use_detection_value:
                cost[row, person] = np.rint(distance[row, person]) * 100 - np.float64(values[row])
        for person in range(people, size):  # assigned as a whole, it takes longer to compile
            cost[row, person] = _NOBODY
    return solve_square(cost)


@njit(cache=True, nogil=True)
def group(  # type: ignore[no-untyped-def]
    values,
    indices,
    tags,
    counts,
    width,
    joint_order,
    tag_threshold,
    max_people,
    use_detection_value,
    ignore_too_many,
):
    """Peaks -> (P, K, 3) float32 people: x, y and value of each joint, zeros where it is missing.

    `values`, `indices` (K, M) and `tags` (K, M, L) are peaks by falling value, the first `counts[k]` of joint k;
    `indices` are flat in maps `width` wide. With `ignore_too_many` peaks are matched with the first `max_people`
    people, and no more are returned; without it there may be more.
    """
    joints, _, length = tags.shape
    most = max(1, counts.sum())
    people = np.zeros((most, joints, 3), np.float32)
    # Each person's tags since it was started, or last restarted by a peak with the very same first tag.
    history = np.empty((most, joints, length), np.float32)
    history_length = np.zeros(most, np.int64)
    keys = np.empty(most, np.float32)
    people_count = np.int64(0)
    for joint in joint_order:
        peaks = counts[joint]
        if peaks == 0:
            continue
        known = people_count
        if ignore_too_many:
            known = min(people_count, max_people)
        distance = np.empty((peaks, known))
        person_of_peak = np.empty(peaks, np.int64)
        if known == 0:
            for row in range(peaks):
                person_of_peak[row] = 0
        else:
            means = np.empty((known, length), np.float32)
            for person in range(known):
                mean_tag(history[person, : history_length[person]], means[person])
            _distances(tags[joint, :peaks], means, distance)
            person_of_peak = _assign(distance, values[joint], use_detection_value)
        for row in range(peaks):
            person = person_of_peak[row]
            if not (person < known and distance[row, person] < tag_threshold):
                key = tags[joint, row, 0]
                person = _person_of_key(keys, people_count, key)
                if person == people_count:
                    keys[people_count] = key
                    people_count += 1
                history_length[person] = 0
            index = indices[joint, row]
            people[person, joint, 0] = index % width
            people[person, joint, 1] = index // width
            people[person, joint, 2] = values[joint, row]
            for axis in range(length):  # assigned as a whole, it would take seconds to compile
                history[person, history_length[person], axis] = tags[joint, row, axis]
            history_length[person] += 1
    if ignore_too_many:
        people_count = min(people_count, max_people)
    return people[:people_count].copy()


@njit(cache=True, nogil=True)
def person_scores(people):  # type: ignore[no-untyped-def]
    """(P, K, 3) -> (P,) float32: the mean joint score, missing joints counted as 0."""
    scores = np.empty(len(people), np.float32)
    column = np.empty((people.shape[1], 1), np.float32)
    for person in range(len(people)):
        for joint in range(people.shape[1]):
            column[joint, 0] = people[person, joint, 2]
        mean_tag(column, scores[person : person + 1])
    return scores
