"""Brings a network's maps back to the image: for tasks whose predictions are one or more planes of numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from densecast.errors import BadConfigError, UsageError
from densecast.spec.augment import View
from densecast.spec.geometry import Placement
from densecast.spec.model import Frame, ModelSpec
from densecast.spec.preprocess import PoseAffine
from densecast.tasks._base import F32

Interpolation = Literal["bilinear", "bicubic"]


def check_resize(spec: ModelSpec) -> None:
    """Check that maps of the network can be brought back to the image by resizing.

    Raises:
        BadConfigError: the image is turned into the input by an affine map.
    """
    if isinstance(spec.preprocess.resize, PoseAffine):
        raise BadConfigError(
            f"{spec.name}: the resize 'pose_affine' is for poses; maps of {spec.task} cannot be brought back from it.",
            field="resize",
        )


def mean_planes(
    outputs: Sequence[F32],
    views: Sequence[View],
    frame: Frame,
    *,
    align_corners: bool,
    to_image: Interpolation = "bilinear",
    meaning: Callable[[F32], F32] | None = None,
) -> F32:
    """(C, h, w) of each view -> (C, H, W), their mean at the size of the image, or of its part of the network's input.

    `meaning` turns the values of each view into what is averaged, after they are resized.

    Raises:
        UsageError: views that do not meet at one size, in the frame "network".
    """
    if frame == "network" and len({view.placement.content_hw for view in views}) > 1:
        raise UsageError(
            "predictions at the network's size are of one size, and these ratios lead to several.", field="ratios"
        )
    total: F32 | None = None
    for planes, view in zip(outputs, views, strict=True):
        brought = bring_back(planes, view, frame, align_corners=align_corners, to_image=to_image)
        values = brought if meaning is None else meaning(brought)
        total = values if total is None else np.add(total, values, out=total)
    assert total is not None, "there is at least one view"
    return total if len(views) == 1 else np.divide(total, np.float32(len(views)), out=total)


def bring_back(
    planes: F32, view: View, frame: Frame, *, align_corners: bool = False, to_image: Interpolation = "bilinear"
) -> F32:
    """(C, h, w) -> (C, H, W), always a new array: resized bilinearly to the input, cut to the image, resized to it.

    `to_image` is how, in the last step. A mirrored view is turned back. Pixel centres are at + 0.5, or in the corners
    with `align_corners`.
    """
    placement = view.placement
    brought = resize(planes, placement.model_hw, align_corners=align_corners)
    rows, columns = _content(placement)
    brought = brought[:, rows, columns]
    if view.mirrored:  # where it lies: the padding around it is not
        brought = brought[:, :, ::-1]
    if frame == "image":
        brought = resize(brought, placement.image_hw, align_corners=align_corners, interpolation=to_image)
    brought = np.ascontiguousarray(brought)
    return brought.copy() if np.may_share_memory(brought, planes) else brought


def resize(
    planes: F32, size_hw: tuple[int, int], *, align_corners: bool = False, interpolation: Interpolation = "bilinear"
) -> F32:
    """(C, h, w) -> (C, *size_hw) as `torch.nn.functional.interpolate`; itself where the size is right.

    Corners are aligned of bilinear ones only.
    """
    if planes.shape[1:] == size_hw:
        return planes
    import cv2

    height, width = size_hw
    out = np.empty((len(planes), height, width), np.float32)
    if not align_corners or interpolation == "bicubic":
        method = cv2.INTER_CUBIC if interpolation == "bicubic" else cv2.INTER_LINEAR
        for plane, target in zip(planes, out, strict=True):
            cv2.resize(np.ascontiguousarray(plane), (width, height), dst=target, interpolation=method)
        return out
    across, down = _corners(planes.shape[2], width), _corners(planes.shape[1], height)
    x, y = np.meshgrid(across, down)
    for plane, target in zip(planes, out, strict=True):
        cv2.remap(np.ascontiguousarray(plane), x, y, cv2.INTER_LINEAR, dst=target, borderMode=cv2.BORDER_REPLICATE)
    return out


def nearest(planes: npt.NDArray[np.generic], placement: Placement, frame: Frame) -> npt.NDArray[np.generic]:
    """Ground truth (C, H, W) in image pixels -> in the given frame, by nearest neighbour as Pillow does."""
    if frame == "image" or planes.shape[1:] == placement.content_hw:
        return planes
    height, width = placement.content_hw
    rows = _centres(planes.shape[1], height)
    columns = _centres(planes.shape[2], width)
    return planes[:, rows[:, None], columns[None, :]]


def _content(placement: Placement) -> tuple[slice, slice]:
    (height, width), (left, top) = placement.content_hw, (int(offset) for offset in placement.offset_xy)
    return slice(top, top + height), slice(left, left + width)


def _centres(size: int, wanted: int) -> npt.NDArray[np.int64]:
    """Of each target pixel's centre, the source pixel that it lies in."""
    return np.minimum(((np.arange(wanted) + 0.5) * size / wanted).astype(np.int64), size - 1)


def _corners(size: int, wanted: int) -> F32:
    return np.linspace(0, size - 1, wanted).astype(np.float32) if wanted > 1 else np.zeros(1, np.float32)
