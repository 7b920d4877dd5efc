"""A canvas that holds an image and its class map; what is drawn later lies in front."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from densecast.scenes.camera import Camera
from densecast.scenes.mesh import Array
from densecast.scenes.street.classes import Kind
from densecast.scenes.street.light import Light
from densecast.scenes.street.shape import Shape

_SUBPIXEL_BITS = 4
_NEAREST_M = 0.8
"""What reaches nearer to the camera's plane than this would be torn by the projection; it is left out."""


class Canvas:
    """Samples half a pixel apart: every other one, from the first on, lies exactly at a pixel's centre.

    The class of a pixel is that of the sample at its centre; its colour is the tent-weighted mean of the nine
    samples around it. Nothing is antialiased while painting, so that class and colour have the same edges; as
    OpenCV draws outlines along with areas, things are up to half a pixel larger all round than their geometry.
    """

    def __init__(self, camera: Camera, size_hw: tuple[int, int], light: Light) -> None:
        x, y = camera.centre_px
        # A pixel's centre at x + 0.5 is the centre of sample 2x, that is 2x + 0.5.
        self.camera = Camera(
            camera.distance_m, camera.height_m, camera.pitch_rad, 2 * camera.focal_px, (2 * x - 0.5, 2 * y - 0.5)
        )
        self.size_hw = (2 * size_hw[0], 2 * size_hw[1])
        self.samples: npt.NDArray[np.uint8] = np.zeros((*self.size_hw, 4), dtype=np.uint8)
        """(2H, 2W, 4): display RGB and class"""
        self._air = np.array(light.sky_low) * 255
        self._haze_m = light.haze_m

    def paint(self, shapes: Sequence[Shape]) -> None:
        """Draw the shapes in their order; the air in front of them takes its share of their colour."""
        xy, depth = self.camera.project(np.concatenate([shape.points.reshape(-1, 3) for shape in shapes]))
        fixed = _fixed(xy)
        counts = np.array([shape.points.size // 3 for shape in shapes])
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        nearest = np.minimum.reduceat(depth, starts)
        focal_per_m = (self.camera.focal_px * counts / np.add.reduceat(depth, starts)).tolist()
        clear = np.exp(-nearest / self._haze_m)[:, None]
        colours = (self._air + clear * (255 * np.array([shape.colour for shape in shapes]) - self._air)).tolist()
        for index in np.flatnonzero(nearest >= _NEAREST_M).tolist():
            shape, start = shapes[index], int(starts[index])
            corners = fixed[start : start + int(counts[index])].reshape(-1, shape.points.shape[-2], 2)
            value = (*colours[index], int(shape.kind))
            if shape.diameter_m:
                thickness = min(max(1, round(shape.diameter_m * focal_per_m[index])), 400)
                cv2.polylines(self.samples, list(corners), False, value, thickness, cv2.LINE_8, _SUBPIXEL_BITS)
            else:
                cv2.fillPoly(self.samples, list(corners), value, cv2.LINE_8, _SUBPIXEL_BITS)

    def paint_flat(self, xy_px: npt.ArrayLike, colour: npt.ArrayLike, kind: Kind) -> None:
        """Fill a polygon (n, 2) of picture pixels, in front of all that is there."""
        red, green, blue = (255 * np.asarray(colour, dtype=np.float64)).tolist()
        corners = _fixed(2 * np.asarray(xy_px, dtype=np.float32) - np.float32(0.5))
        cv2.fillPoly(self.samples, [corners], (red, green, blue, int(kind)), cv2.LINE_8, _SUBPIXEL_BITS)

    def shadows(self, outlines: Sequence[Array]) -> Array:
        """(2H, 2W) how many per one of each sample the convex hulls of world points (n, 3) cover, softened."""
        cover = np.zeros((self.size_hw[0] // 2, self.size_hw[1] // 2), dtype=np.uint8)
        if outlines:
            xy, depth = self.camera.project(np.concatenate(outlines))
            corners, ends = _fixed(xy * np.float32(0.5)), np.cumsum([len(points) for points in outlines])
            pairs = zip(np.split(corners, ends[:-1]), np.split(depth, ends[:-1]), strict=True)
            for outline, away in pairs:
                if float(away.min()) >= _NEAREST_M:
                    cv2.fillConvexPoly(cover, cv2.convexHull(outline), 255, cv2.LINE_8, _SUBPIXEL_BITS)
        soft = cv2.GaussianBlur(cover, (0, 0), max(0.6, self.size_hw[0] / 500))
        whole = cv2.resize(soft, (self.size_hw[1], self.size_hw[0]), interpolation=cv2.INTER_LINEAR)
        share: Array = whole.astype(np.float32) * np.float32(1 / 255)
        return share

    def developed(self) -> tuple[Array, npt.NDArray[np.uint8]]:
        """(H, W, 3) float32 display RGB in 0..1, and (H, W) classes."""
        kernel = np.array([0.25, 0.5, 0.25])
        mixed = cv2.sepFilter2D(self.samples, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REFLECT_101)
        picture: Array = np.ascontiguousarray(mixed[::2, ::2, :3]) * np.float32(1 / 255)
        return picture, np.ascontiguousarray(self.samples[::2, ::2, 3])


def _fixed(xy: Array) -> npt.NDArray[np.int32]:
    # Far corners would overflow OpenCV's fixed point; -0.5: OpenCV has the centre of pixel (0, 0) at (0, 0).
    near = np.clip(xy, -12000, 12000)
    fixed: npt.NDArray[np.int32] = np.rint((near - np.float32(0.5)) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    return fixed
