"""COCO's object keypoint similarity of people all of whose joints count, written down from its definition."""

import numpy as np

from densecast.tasks.pose.coco_person import SIGMAS


def oks(a_xy, b_xy, area):
    """(..., K, 2) and (..., K, 2) joints, (...) areas in square pixels -> (...) in 0..1; shapes broadcast."""
    squared = ((np.asarray(b_xy, np.float64) - np.asarray(a_xy, np.float64)) ** 2).sum(axis=-1)
    variances = (2 * np.array(SIGMAS)) ** 2
    return np.exp(-squared / (2 * variances * np.asarray(area, np.float64)[..., None])).mean(axis=-1)
