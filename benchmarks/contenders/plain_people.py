"""Grouping of people in OpenCV, numpy and scipy, at full resolution: associative embedding as it is published."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from densecast.tasks.pose import PoseDecode
from densecast.tasks.pose.coco_person import MIRRORED

Maps = npt.NDArray[np.float32]

_JOINTS = 17
_ORDER = (0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16)


def decode(output: Maps, model_hw: tuple[int, int], options: PoseDecode) -> Maps:
    """(2, 34, h, w) maps of an image and its mirror image -> (n, 17, 3): x, y in network pixels, and score."""
    mirror = output[1, :, :, ::-1]
    heat = (output[0, :_JOINTS] + mirror[list(MIRRORED)]) / 2
    heat = np.stack([cv2.resize(each, model_hw[::-1]) for each in heat])
    tags = [output[0, _JOINTS:], mirror[[_JOINTS + joint for joint in MIRRORED]]]
    tag = np.stack(
        [[cv2.resize(np.ascontiguousarray(each), model_hw[::-1]) for each in maps] for maps in tags], axis=-1
    )
    people = _grouped(*_peaks(heat, tag, options), options)
    for person in people:
        _shift(heat, person)
    for person in people:
        _fill(heat, tag, person)
    return people


def _peaks(
    heat: Maps, tag: Maps, options: PoseDecode
) -> tuple[Maps, npt.NDArray[np.int64], npt.NDArray[np.int64], Maps]:
    """The highest peaks of every joint: values (17, M), columns, rows, and tags (17, M, 2)."""
    window = np.ones((options.nms_kernel, options.nms_kernel), np.uint8)
    count, width = options.max_people, heat.shape[2]
    found = np.empty((_JOINTS, count), np.int64)
    for joint, plane in enumerate(heat):
        peaks = np.where(cv2.dilate(plane, window) == plane, plane, 0).ravel()
        best = np.argpartition(peaks, -count)[-count:]
        found[joint] = best[np.argsort(-peaks[best], kind="stable")]
    rows, cols = np.divmod(found, width)
    joints = np.arange(_JOINTS)[:, None]
    return heat[joints, rows, cols], cols, rows, tag[joints, rows, cols]


def _grouped(
    value: Maps, cols: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], tag: Maps, options: PoseDecode
) -> Maps:
    people: list[Maps] = []
    tags: list[list[Maps]] = []
    for joint in _ORDER:
        seen = value[joint] > options.detection_threshold
        points = np.stack([cols[joint][seen], rows[joint][seen], value[joint][seen]], axis=1).astype(np.float32)
        own = tag[joint][seen]
        if not len(points):
            continue
        owner = dict[int, int]()
        if people:
            means = np.stack([np.mean(each, axis=0) for each in tags])
            distance = np.linalg.norm(own[:, None] - means[None], axis=2)
            cost = np.round(distance) * 100 - points[:, 2:]
            # More points than people: the rest belong to nobody.
            spare = max(0, cost.shape[0] - cost.shape[1])
            padded = np.concatenate([cost, np.full((len(cost), spare), 1e10)], axis=1)
            for row, col in zip(*linear_sum_assignment(padded), strict=True):
                if col < len(people) and distance[row, col] < options.tag_threshold:
                    owner[int(row)] = int(col)
        for row, point in enumerate(points):
            if row in owner:
                people[owner[row]][joint] = point
                tags[owner[row]].append(own[row])
            else:
                people.append(np.zeros((_JOINTS, 3), np.float32))
                people[-1][joint] = point
                tags.append([own[row]])
    return np.stack(people) if people else np.zeros((0, _JOINTS, 3), np.float32)


def _shift(heat: Maps, person: Maps) -> None:
    """Found joints a quarter of a pixel towards the higher neighbour."""
    height, width = heat.shape[1:]
    for joint in np.flatnonzero(person[:, 2] > 0):
        x, y = int(person[joint, 0]), int(person[joint, 1])
        plane = heat[joint]
        person[joint, 1] += 0.25 if plane[min(y + 1, height - 1), x] > plane[max(y - 1, 0), x] else -0.25
        person[joint, 0] += 0.25 if plane[y, min(x + 1, width - 1)] > plane[y, max(x - 1, 0)] else -0.25
        person[joint, :2] += 0.5


def _fill(heat: Maps, tag: Maps, person: Maps) -> None:
    """Missing joints where the person's tag and the heatmap agree best."""
    found = np.flatnonzero(person[:, 2] > 0)
    at = person[found, :2].astype(int)
    mean = np.mean(tag[found, at[:, 1].clip(0, heat.shape[1] - 1), at[:, 0].clip(0, heat.shape[2] - 1)], axis=0)
    for joint in np.flatnonzero(person[:, 2] == 0):
        score = heat[joint] - np.round(np.linalg.norm(tag[joint] - mean, axis=2))
        y, x = np.unravel_index(int(score.argmax()), score.shape)
        if heat[joint, y, x] > 0:
            person[joint] = (x + 0.5, y + 0.5, heat[joint, y, x])
