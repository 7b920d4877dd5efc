"""Rasterises a mesh: the face that each pixel shows, and its surface position and normal.

Faces are drawn from far to near (the painter's algorithm; quads are small, so their middles sort them well).
The colour of a pixel is left to others: they get its place on the object and its normal, both running on
smoothly across the faces.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from densecast.scenes.camera import Array, Camera
from densecast.scenes.mesh import Mesh

_SUBPIXEL_BITS = 4
_BLOCK = 1 << 14


@dataclass(frozen=True, slots=True)
class Surface:
    """What a camera sees of a mesh: four points of every pixel tell its coverage, two of them its colour.

    n = number of colour samples, at most two for each pixel.
    """

    coverage: Array
    """(H, W): 0, 1/4, 2/4, 3/4 or 1"""
    pixel: npt.NDArray[np.intp]
    """(n,) where each sample lies in the flattened image"""
    part: npt.NDArray[np.int32]
    """(n,) part of the face"""
    place: Array
    """(3, n) the point that is seen, in the mesh's own metres"""
    normal: Array
    """(3, n) unit normals in the mesh's own axes"""
    weight: Array
    """(n,) what each sample adds to its pixel; a pixel's weights sum to its coverage"""
    rounds: tuple[slice, slice]
    """The samples in two groups, each with no pixel twice"""

    def some(self, block: slice) -> "Surface":
        """Some of the samples; `coverage` and `rounds` are those of all."""
        return replace(
            self,
            pixel=self.pixel[block],
            part=self.part[block],
            place=self.place[:, block],
            normal=self.normal[:, block],
            weight=self.weight[block],
        )


def turned(points: Array, azimuth_rad: float) -> Array:
    """(..., 3) points turned about the z axis, counter-clockwise seen from above."""
    sine, cosine = np.float32(np.sin(azimuth_rad)), np.float32(np.cos(azimuth_rad))
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    return np.stack([x * cosine - y * sine, x * sine + y * cosine, z], axis=-1).astype(np.float32)


def surface(mesh: Mesh, azimuth_rad: float, camera: Camera, size_hw: tuple[int, int]) -> Surface:
    """What the camera sees of the mesh, turned on the turntable, in an image of `size_hw` pixels."""
    height, width = size_hw
    xy, order = _visible(mesh, azimuth_rad, camera.enlarged(2))
    ids = np.zeros((height * 2, width * 2), dtype=np.int32)
    _fill(ids, xy, order)
    seen_rows = np.flatnonzero(ids.any(axis=1)) // 2
    top, bottom = (int(seen_rows[0]), int(seen_rows[-1]) + 1) if len(seen_rows) else (0, 0)
    ids = ids[2 * top : 2 * bottom]
    covered = (ids > 0).view(np.uint8)
    quarters = covered[::2, ::2] + covered[::2, 1::2] + covered[1::2, ::2] + covered[1::2, 1::2]
    coverage = np.zeros(size_hw, dtype=np.float32)
    coverage[top:bottom] = quarters * np.float32(0.25)
    # Two points on a diagonal give each pixel its colour; at the outline, where those miss the car, the other
    # two step in.
    rows, columns = np.nonzero(quarters)
    faces, fine_xs, kept = [], [], []
    for lower in (0, 1):
        on_diagonal, beside = (ids[lower::2, k::2][rows, columns] for k in (lower, 1 - lower))
        face = np.where(on_diagonal > 0, on_diagonal, beside)
        keep = np.flatnonzero(face)
        faces.append(face[keep] - 1)
        fine_xs.append(columns[keep] * 2 + np.where(on_diagonal[keep] > 0, lower, 1 - lower))
        kept.append(keep)
    face, keep, upper = np.concatenate(faces), np.concatenate(kept), len(kept[0])
    count = np.bincount(keep, minlength=len(rows))
    weight = (quarters[rows, columns] / (4 * count)).astype(np.float32)[keep]
    pixel = ((rows + top) * width + columns)[keep]
    fine_x = np.concatenate(fine_xs)
    fine_y = (rows[keep] + top) * 2
    fine_y[upper:] += 1

    values = np.concatenate([mesh.corners, mesh.normals], axis=2)[order]
    centre_xy, centre, slope_x, slope_y = _planes(xy[order], values)
    # Faces are numbered by their place in `order`, which keeps these tables short.
    fields = np.empty((6, len(pixel)), dtype=np.float32)
    # In blocks whose arrays stay in the CPU's cache.
    for start in range(0, len(pixel), _BLOCK):
        block = slice(start, start + _BLOCK)
        near = face[block]
        dx = (fine_x[block] + np.float32(0.5)).astype(np.float32) - centre_xy[:, 0][near]
        dy = (fine_y[block] + np.float32(0.5)).astype(np.float32) - centre_xy[:, 1][near]
        some = fields[:, block]
        for axis in range(6):
            some[axis] = centre[axis][near] + slope_x[axis][near] * dx + slope_y[axis][near] * dy
        normal = some[3:]
        normal /= np.sqrt(normal[0] * normal[0] + normal[1] * normal[1] + normal[2] * normal[2]) + np.float32(1e-6)
    rounds = (slice(0, upper), slice(upper, len(pixel)))
    return Surface(coverage, pixel, mesh.part[order][face], fields[:3], fields[3:], weight, rounds)


def silhouette(mesh: Mesh, azimuth_rad: float, camera: Camera, colour: Array, size_hw: tuple[int, int]) -> Array:
    """(H, W, 4) float32: the faces in flat colours; the last channel is 1 where there is one, else 0.

    Args:
        mesh: The faces; all are drawn, whichever way they look.
        azimuth_rad: Turn on the turntable.
        camera: The view.
        colour: (faces, 3) one colour each.
        size_hw: Pixels of the result.

    """
    xy, order = _visible(mesh, azimuth_rad, camera, all_faces=True)
    ids = np.zeros(size_hw, dtype=np.int32)
    _fill(ids, xy, order)
    table = np.concatenate([np.zeros((1, 4)), np.column_stack([colour[order], np.ones(len(order))])])
    picture: Array = table.astype(np.float32)[ids]
    return picture


def _visible(
    mesh: Mesh, azimuth_rad: float, camera: Camera, all_faces: bool = False
) -> tuple[Array, npt.NDArray[np.intp]]:
    """((faces, 4, 2) corners in pixels, the faces turned to the camera from far to near)."""
    world = turned(mesh.corners, azimuth_rad)
    xy, _ = camera.project(world.reshape(-1, 3))
    middle = world.mean(axis=1)
    to_camera = camera.position - middle
    distance = (to_camera * to_camera).sum(axis=1)
    facing = (turned(mesh.normals.mean(axis=1), azimuth_rad) * to_camera).sum(axis=1) > 0
    order = np.argsort(-distance, kind="stable")
    return xy.reshape(-1, 4, 2), order if all_faces else order[facing[order]]


def _fill(ids: npt.NDArray[np.int32], xy: Array, order: npt.NDArray[np.intp]) -> None:
    """Draw the faces in order into `ids`, each with its place in the order plus one."""
    import cv2

    # -0.5: OpenCV puts the centre of pixel (0, 0) at (0, 0).
    fixed = np.rint((xy[order] - np.float32(0.5)) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    for number, corners in enumerate(fixed, start=1):
        cv2.fillConvexPoly(ids, corners, number, lineType=cv2.LINE_8, shift=_SUBPIXEL_BITS)


def _planes(xy: Array, values: Array) -> tuple[Array, Array, Array, Array]:
    """Per face and value, the plane through the middle of the quad with the slopes of its diagonals.

    Args:
        xy: (faces, 4, 2) corners in pixels.
        values: (faces, 4, v) values at the corners.

    Returns:
        Middle (faces, 2) in pixels, value there (v, faces), slope per pixel to the right (v, faces) and
        downwards (v, faces).

    """
    first, second = xy[:, 2] - xy[:, 0], xy[:, 3] - xy[:, 1]
    rise_first, rise_second = values[:, 2] - values[:, 0], values[:, 3] - values[:, 1]
    area = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    # Seen edge-on a face has no slope that could be told, and needs none: it is thinner than a pixel.
    inverse = np.where(np.abs(area) > 1.0, 1.0 / np.where(area == 0, 1, area), 0.0).astype(np.float32)[:, None]
    slope_x = (rise_first * second[:, 1:] - rise_second * first[:, 1:]) * inverse
    slope_y = (rise_second * first[:, :1] - rise_first * second[:, :1]) * inverse
    return xy.mean(axis=1), *(np.ascontiguousarray(a.T) for a in (values.mean(axis=1), slope_x, slope_y))
