"""Finds joints between pixels by the shape of their peaks, as networks with unbiased data processing need it.

A peak's logarithm is taken for a parabola, whose top is found by one Newton step (Zhang et al. 2020, arXiv:1910.06278;
Huang et al. 2020, arXiv:1911.07524). Steps and roundings are those of MMPose 0.29.0 (`post_dark_udp`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Maps = npt.NDArray[np.float32]

_LEAST, _MOST = 0.001, 50.0
_EPSILON = np.finfo(np.float32).eps


def move_to_tops(heat: Maps, people: Maps) -> Maps:
    """Move every joint of (P, K, 3) people, found or not, to its peak's top; returns the (K, H, W) maps that it used.

    Those are blurred and in logarithms. What is looked for afterwards is looked for in them, as in the original.
    """
    import cv2

    smooth = np.stack([cv2.GaussianBlur(plane, (3, 3), 0) for plane in heat])
    np.clip(smooth, _LEAST, _MOST, smooth)
    np.log(smooth, smooth)
    if not len(people):
        return smooth
    padded = np.pad(smooth, ((0, 0), (1, 1), (1, 1)), mode="edge")
    joint = np.arange(people.shape[1])
    x, y = people[..., 0].astype(np.int64) + 1, people[..., 1].astype(np.int64) + 1

    def at(right: int, down: int) -> Maps:
        value: Maps = padded[joint, y + down, x + right]
        return value

    here, right, below, left, above = at(0, 0), at(1, 0), at(0, 1), at(-1, 0), at(0, -1)
    slope = np.stack([0.5 * (right - left), 0.5 * (below - above)], axis=-1)
    curve_x, curve_y = right - 2 * here + left, below - 2 * here + above
    twist = 0.5 * (at(1, 1) - right - below + here + here - left - above + at(-1, -1))
    hessian = np.stack([curve_x, twist, twist, curve_y], axis=-1).reshape(*twist.shape, 2, 2)
    # In float64 from here on.
    steps = np.einsum("ijmn,ijn->ijm", _inverse(hessian + _EPSILON * np.eye(2)), slope)
    people[..., :2] = (people[..., :2] - steps).astype(np.float32)
    return smooth


def _inverse(matrices: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The inverse of each; of one that has none, the nearest thing to it."""
    try:
        return np.asarray(np.linalg.inv(matrices), np.float64)
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.pinv(matrices), np.float64)
