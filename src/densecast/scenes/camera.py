"""Pinhole camera looking at a turntable: projects points to pixels, and pixels back onto the ground."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Camera:
    """World axes in metres: x to the right, y away from the camera, z up, from the turntable's centre.

    Pixel (0, 0) covers [0, 1) in x and y; image y points down.
    """

    distance_m: float
    height_m: float
    pitch_rad: float
    """How far the camera looks below the horizon."""
    focal_px: float
    centre_px: tuple[float, float]
    """Where the optical axis meets the image, (x, y)."""

    @property
    def position(self) -> Array:
        """(3,) the camera in world metres."""
        return np.array([0.0, -self.distance_m, self.height_m], dtype=np.float32)

    @property
    def horizon_px(self) -> float:
        """The image row of the horizon; rows below it see the ground."""
        return self.centre_px[1] - self.focal_px * float(np.tan(self.pitch_rad))

    def enlarged(self, factor: float) -> Self:
        """The same view on an image with `factor` times as many pixels a side."""
        x, y = self.centre_px
        return type(self)(
            self.distance_m, self.height_m, self.pitch_rad, self.focal_px * factor, (x * factor, y * factor)
        )

    def project(self, points: Array) -> tuple[Array, Array]:
        """(n, 3) world metres -> ((n, 2) image xy in pixels, (n,) depth in metres along the optical axis)."""
        sine, cosine = np.float32(np.sin(self.pitch_rad)), np.float32(np.cos(self.pitch_rad))
        ahead = points[:, 1] + np.float32(self.distance_m)
        above = points[:, 2] - np.float32(self.height_m)
        depth = ahead * cosine - above * sine
        # Points behind the camera would flip. None of the scene lies there; the floor keeps division finite.
        safe = np.maximum(depth, np.float32(0.1))
        x = points[:, 0] / safe * np.float32(self.focal_px) + np.float32(self.centre_px[0])
        y = -(ahead * sine + above * cosine) / safe * np.float32(self.focal_px) + np.float32(self.centre_px[1])
        return np.stack([x, y], axis=1).astype(np.float32), depth.astype(np.float32)

    def ground(self, size_hw: tuple[int, int], first_row: int) -> tuple[Array, Array]:
        """World x (h, W) and y (h, 1) of the ground that the image rows from `first_row` on see."""
        rows = np.arange(first_row, size_hw[0], dtype=np.float32)[:, None] + np.float32(0.5)
        columns = np.arange(size_hw[1], dtype=np.float32)[None, :] + np.float32(0.5)
        down = (rows - np.float32(self.centre_px[1])) / np.float32(self.focal_px)
        right = (columns - np.float32(self.centre_px[0])) / np.float32(self.focal_px)
        sine, cosine = np.float32(np.sin(self.pitch_rad)), np.float32(np.cos(self.pitch_rad))
        fall = np.maximum(sine + down * cosine, np.float32(1e-3))
        reach = np.float32(self.height_m) / fall
        return (right * reach).astype(np.float32), (
            (cosine - down * sine) * reach - np.float32(self.distance_m)
        ).astype(np.float32)
