"""Image-to-network coordinates of bottom-up pose networks, and back.

The image is zoomed by its short side and centred; sizes are rounded up to a multiple, so the long side is padded
or cut a little. Formulas and their rounding are those of MMPose 0.29.0 (`_get_multi_scale_size`,
`get_affine_transform`, `transform_preds`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from densecast.errors import BadShapeError
from densecast.spec.geometry import Placement

# MMPose keeps a person's or image's extent in units of 200 pixels. Dividing and multiplying by it rounds, so
# it stays.
_UNIT_PX = 200.0


@dataclass(frozen=True, slots=True)
class PosePlacement:
    """An input of `model_hw` pixels shows the part of the image around `center_xy`.

    `extent_xy` is the width and height of that part in units of 200 image pixels.
    """

    image_hw: tuple[int, int]
    model_hw: tuple[int, int]
    center_xy: tuple[int, int]
    extent_xy: tuple[float, float]

    @property
    def placement(self) -> Placement:
        """The same mapping as scale and offset."""
        width, height = self.extent_xy[0] * _UNIT_PX, self.extent_xy[1] * _UNIT_PX
        scale_xy = (self.model_hw[1] / width, self.model_hw[0] / height)
        left, top = self.center_xy[0] - 0.5 * width, self.center_xy[1] - 0.5 * height
        return Placement(self.image_hw, self.model_hw, scale_xy, (-left * scale_xy[0], -top * scale_xy[1]))

    def triangles(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Two (3, 2) float32 triangles, in image and network pixels, that define the warp."""
        height, width = self.model_hw
        image = _triangle(self.center_xy, self.extent_xy[0] * _UNIT_PX)
        return image, _triangle((width * 0.5, height * 0.5), width)

    def to_image(self, xy_px: npt.NDArray[np.float32], map_hw: tuple[int, int]) -> npt.NDArray[np.float32]:
        """(..., 2) float32 pixels of maps of `map_hw` -> (..., 2) float32 pixels of the image.

        In float32 throughout, as with MMPose under NumPy 1.
        """
        moved = np.empty_like(xy_px)
        for axis in (0, 1):
            extent_px = self.extent_xy[axis] * _UNIT_PX
            scale = np.float32(extent_px / map_hw[1 - axis])
            centre, half = np.float32(self.center_xy[axis]), np.float32(extent_px * 0.5)
            moved[..., axis] = xy_px[..., axis] * scale + centre - half
        return moved


def _triangle(center_xy: tuple[float, float], width: float) -> npt.NDArray[np.float32]:
    """The centre, the point half a width above it, and the latter rotated by 90° around the centre."""
    corners = np.zeros((3, 2), np.float32)
    corners[0] = center_xy
    corners[1] = np.asarray(center_xy) + np.array([0.0, width * -0.5])
    arm = corners[0] - corners[1]
    corners[2] = corners[1] + np.array([-arm[1], arm[0]], np.float32)
    return corners


def place(
    image_hw: tuple[int, int],
    short_side: int = 512,
    multiple: int = 64,
    *,
    scale: float = 1.0,
    min_scale: float = 1.0,
) -> PosePlacement:
    """Where an image lands when its short side is zoomed to about `short_side * scale` network pixels.

    Sizes are rounded up to `multiple` at `min_scale`, the smallest of the scales that are used together, and
    then multiplied, so that all scales show the same part of the image. The centre is half the size,
    rounded half to even.

    Raises:
        BadShapeError: an empty image, or sizes or scales that are not positive.
    """
    height, width = image_hw
    model_hw = input_hw(image_hw, short_side, multiple, scale=scale, min_scale=min_scale)
    if width < height:
        extent_xy = (width / _UNIT_PX, model_hw[0] / model_hw[1] * width / _UNIT_PX)
    else:
        extent_xy = (model_hw[1] / model_hw[0] * height / _UNIT_PX, height / _UNIT_PX)
    return PosePlacement(image_hw, model_hw, (round(width / 2.0), round(height / 2.0)), extent_xy)


def input_hw(
    image_hw: tuple[int, int], short_side: int, multiple: int, *, scale: float, min_scale: float
) -> tuple[int, int]:
    """The size of the network's input, see `place`.

    Raises:
        BadShapeError: an empty image, or sizes or scales that are not positive.
    """
    height, width = image_hw
    if min(height, width, short_side, multiple) < 1 or not 0 < min_scale <= scale:
        raise BadShapeError(
            "an image, a short side and a multiple of at least one pixel and 0 < min_scale <= scale are needed, "
            f"got image_hw {image_hw}, short_side {short_side}, multiple {multiple}, scales {min_scale} and {scale}."
        )
    short = _round_up(min_scale * short_side, multiple)
    zoomed_short = int(short * scale / min_scale)
    if width < height:
        return int(_round_up(short / width * height, multiple) * scale / min_scale), zoomed_short
    return zoomed_short, int(_round_up(short / height * width, multiple) * scale / min_scale)


def _round_up(value: float, multiple: int) -> int:
    return math.ceil(value / multiple) * multiple
