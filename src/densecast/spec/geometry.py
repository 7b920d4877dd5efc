"""Image-to-network coordinates: the only place that knows where an image lies in the network input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Placement:
    """model = image * scale + offset. Pixel (0, 0) covers [0, 1): its centre is (0.5, 0.5).

    `scale_xy` is the scale of the size actually resized to (`new_w / w`, not the ideal ratio), so points and
    pixels line up. The image fills `content_hw` of the input's `model_hw`; what lies outside is padding.
    """

    image_hw: tuple[int, int]
    model_hw: tuple[int, int]
    scale_xy: tuple[float, float]
    offset_xy: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def resized(
        cls,
        image_hw: tuple[int, int],
        content_hw: tuple[int, int],
        *,
        model_hw: tuple[int, int] | None = None,
        offset_xy: tuple[int, int] = (0, 0),
    ) -> Placement:
        """The placement of an image resized to `content_hw` at `offset_xy` in an input of `model_hw`."""
        scale_xy = (content_hw[1] / image_hw[1], content_hw[0] / image_hw[0])
        return cls(image_hw, model_hw or content_hw, scale_xy, (float(offset_xy[0]), float(offset_xy[1])))

    @property
    def content_hw(self) -> tuple[int, int]:
        """Height and width, in network pixels, of the part that shows the image."""
        return round(self.image_hw[0] * self.scale_xy[1]), round(self.image_hw[1] * self.scale_xy[0])

    @property
    def is_padded(self) -> bool:
        """Whether part of the network's input lies outside the image."""
        return self.content_hw != self.model_hw

    def to_model(self, xy: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """(..., 2) image pixels -> (..., 2) network pixels."""
        return np.asarray(xy, dtype=np.float64) * self.scale_xy + self.offset_xy

    def to_image(self, xy: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """(..., 2) network pixels -> (..., 2) image pixels."""
        return (np.asarray(xy, dtype=np.float64) - self.offset_xy) / self.scale_xy
