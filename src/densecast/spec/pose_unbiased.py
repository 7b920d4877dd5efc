"""Image-to-network coordinates of pose networks that were trained with unbiased data processing, and back.

Lengths are measured between the centres of the first and the last pixels (Huang et al. 2020, arXiv:1911.07524), and the
image starts in the upper left corner. Formulas and their rounding are those of MMPose 0.29.0 with `use_udp`
(`_get_multi_scale_size`, `get_warp_matrix`, `get_group_preds`). Coordinates count from the first pixel's centre.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from densecast.errors import BadShapeError
from densecast.spec.geometry import Placement
from densecast.spec.pose_geometry import input_hw


@dataclass(frozen=True, slots=True)
class UnbiasedPlacement:
    """An input of `model_hw` pixels shows the image from its first pixel on.

    `extent_xy` is the part of the image that the input stands for where people are brought back, and `shown_xy` what it
    really shows, both between the centres of the first and the last pixels. They differ by rounding, where several
    scales are used together.
    """

    image_hw: tuple[int, int]
    model_hw: tuple[int, int]
    extent_xy: tuple[float, float]
    shown_xy: tuple[float, float]

    @property
    def placement(self) -> Placement:
        """The same mapping as scale and offset."""
        scale_xy = ((self.model_hw[1] - 1) / self.shown_xy[0], (self.model_hw[0] - 1) / self.shown_xy[1])
        return Placement(self.image_hw, self.model_hw, scale_xy, (0.0, 0.0))

    def matrix(self) -> npt.NDArray[np.float64]:
        """The (2, 3) matrix of the warp from image to network pixels, whose numbers are float32 ones."""
        size = np.array(self.model_hw[::-1], np.float32) - np.float32(1)
        scale = size / np.array(self.shown_xy, np.float32)
        return np.array([[scale[0], 0, 0], [0, scale[1], 0]], np.float64)

    def to_image(self, xy_px: npt.NDArray[np.float32], map_hw: tuple[int, int]) -> npt.NDArray[np.float32]:
        """(..., 2) float32 pixels of maps of `map_hw` -> (..., 2) float32 pixels of the image."""
        scale = [np.float32(self.extent_xy[axis] / np.float32(map_hw[1 - axis] - 1)) for axis in (0, 1)]
        return np.asarray(xy_px * np.array(scale, np.float32), np.float32)


def place(
    image_hw: tuple[int, int],
    short_side: int = 512,
    multiple: int = 64,
    *,
    scale: float = 1.0,
    min_scale: float = 1.0,
) -> UnbiasedPlacement:
    """Where an image lands; the input has the size that `pose_geometry.place` gives it.

    Raises:
        BadShapeError: an image or input of less than two pixels a side, or sizes or scales that are not positive.
    """
    model_hw = input_hw(image_hw, short_side, multiple, scale=scale, min_scale=min_scale)
    smallest_hw = input_hw(image_hw, short_side, multiple, scale=min_scale, min_scale=min_scale)
    if min(*image_hw, *model_hw, *smallest_hw) < 2:
        raise BadShapeError(f"unbiased places need at least 2x2 pixels, got an image of {image_hw}.")
    return UnbiasedPlacement(image_hw, model_hw, _extent(image_hw, model_hw), _extent(image_hw, smallest_hw))


def _extent(image_hw: tuple[int, int], model_hw: tuple[int, int]) -> tuple[float, float]:
    """Width and height of the part of the image that an input of this size stands for."""
    (height, width), (rows, columns) = image_hw, model_hw
    if width < height:
        return width - 1.0, (rows - 1.0) / (columns - 1.0) * (width - 1.0)
    return (columns - 1.0) / (rows - 1.0) * (height - 1.0), height - 1.0
