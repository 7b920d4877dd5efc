"""Heatmaps of several outputs, or with aligned corners, as one dense stack: the mean of all at one size.

A network may give heatmaps at several resolutions (HigherHRNet: Cheng et al. 2020, arXiv:1908.10357). Values and their
order of rounding are those of MMPose 0.29.0 (`aggregate_stage_flip`, `aggregate_scale`): outputs first, then the
mirrored image, then scales.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from densecast.kernels import pose_scales
from densecast.kernels.pose_field import field

Maps = npt.NDArray[np.float32]


def mean_heatmaps(
    by_scale: Sequence[Sequence[Maps]],
    mirrored: Sequence[int],
    size_hw: tuple[int, int] | None,
    *,
    flip: bool,
    align_corners: bool,
) -> Maps:
    """Outputs (2, C, h, w) of each scale, the largest first -> (K, H, W) of `size_hw`, K the number of `mirrored`.

    Without a size it is that of the largest scale's last output. Without `flip` the mirrored image is not read.
    """
    of_scales = []
    for outputs in by_scale:
        own_hw = size_hw or _size_hw(outputs[-1])
        heat = _mean([each[0] for each in outputs], len(mirrored), own_hw, align_corners)
        if flip:
            turned = [_plain(each[1][list(mirrored)][:, :, ::-1]) for each in outputs]
            heat = (heat + _mean(turned, len(mirrored), own_hw, align_corners)) / np.float32(2)
        of_scales.append(heat)
    if len(of_scales) == 1:
        return of_scales[0]
    return _mean(of_scales, len(mirrored), _size_hw(of_scales[0]), align_corners)


def _mean(maps: Sequence[Maps], joints: int, size_hw: tuple[int, int], align_corners: bool) -> Maps:
    """The mean of the first `joints` planes of each (C, h, w), brought to one size."""
    places = np.arange(joints)
    total = np.zeros((joints, *size_hw), np.float32)
    for each in maps:
        pose_scales.add_upsampled(field(_plain(each), None, places, places, size_hw, align_corners), total)
    pose_scales.divide(total, len(maps))
    return total


def _plain(maps: Maps) -> Maps:
    """A read-only or strided array would be a type of its own to the compiler, and compiled for again."""
    return np.require(maps, requirements=("C", "A", "W"))


def _size_hw(maps: Maps) -> tuple[int, int]:
    return int(maps.shape[-2]), int(maps.shape[-1])
