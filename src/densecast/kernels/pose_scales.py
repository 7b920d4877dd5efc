"""Sums heatmaps of several scales at one resolution.

Only for more than one scale: the peaks of a sum of maps of different resolutions can lie anywhere, so the sum is
made in full. A single scale never is.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from densecast.kernels.pose_field import mean_value, planes


@njit(cache=True, nogil=True)
def add_upsampled(field, total):  # type: ignore[no-untyped-def]
    """Add the upsampled means of every joint to `total` (K, H, W)."""
    joints, height, width = total.shape
    for joint in range(joints):
        plain, mirrored, rows, cols, mirror_cols = planes(field, joint)
        for y in range(height):
            for x in range(width):
                total[joint, y, x] += mean_value(plain, mirrored, rows, cols, mirror_cols, y, x)


@njit(cache=True, nogil=True)
def divide(total, count):  # type: ignore[no-untyped-def]
    """Divide `total` (K, H, W) by a float32 `count`, in place."""
    flat = total.reshape(-1)
    for i in range(len(flat)):
        flat[i] /= np.float32(count)
