"""A canvas with a depth buffer, for tapered limbs and ellipsoids."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from densecast.scenes.camera import Camera
from densecast.scenes.mesh import Array

Index = npt.NDArray[np.intp]
LimbPaint = Callable[[Array, Array], Array]
"""(k,) metres along the limb and (k,) radians around it (0 in front, left positive) -> (k, 3) linear RGB"""
BallPaint = Callable[[Array], Array]
"""(3, k) places on the unit sphere, in the ball's own axes -> (k, 3) linear RGB"""

FINE = 2
"""Samples along each side of a pixel."""


@dataclass(frozen=True, slots=True)
class Lamp:
    """Light on every solid: a sun and a sky that is brighter above."""

    towards: Array
    """(3,) unit vector to the sun: image right, image up, away from the camera"""
    sun: Array
    """(3,) linear RGB"""
    sky: Array
    """(3,) linear RGB"""


@dataclass(frozen=True, slots=True)
class Limb:
    """A tapered tube with rounded ends, and an ellipse as its section."""

    ends_m: tuple[Array, Array]
    """(3,) each, in the camera's world"""
    radii_m: tuple[float, float]
    """At the two ends, along `left`"""
    left: Array
    """(3,) unit vector: the section's wide axis, which is also where a quarter turn around the limb points"""
    depth_share: float = 1.0
    """The section's other half axis as a share of the radius"""
    cap_share: float = 1.0
    """How far the rounded ends stick out, as a share of the radius"""


class DepthCanvas:
    """Colour, depth and owner of every fine sample; solids are added in any order."""

    def __init__(self, size_hw: tuple[int, int], camera: Camera, lamp: Lamp) -> None:
        self._camera = camera.enlarged(FINE)
        self._lamp = lamp
        self._hw = (size_hw[0] * FINE, size_hw[1] * FINE)
        sine, cosine = np.sin(camera.pitch_rad), np.cos(camera.pitch_rad)
        # Rows: image right, image up and the optical axis, in the camera's world.
        self._axes = np.array([[1, 0, 0], [0, sine, cosine], [0, cosine, -sine]], dtype=np.float32)
        self.colour = np.zeros((*self._hw, 3), dtype=np.float32)
        self.depth_m = np.full(self._hw, np.inf, dtype=np.float32)
        self.owner = np.zeros(self._hw, dtype=np.int16)
        """0 where nothing has been drawn"""

    def limb(self, limb: Limb, paint: LimbPaint, owner: int) -> None:
        """Draw a tube. Its middle line is straight in the image, and its depth changes evenly along it."""
        xy, depth = self._camera.project(np.stack(limb.ends_m))
        scale = np.float32(self._camera.focal_px) / depth
        step = xy[1] - xy[0]
        length = float(np.hypot(step[0], step[1]))
        along = step / length if length > 1e-3 else np.array([0, 1], dtype=np.float32)
        across = np.array([-along[1], along[0]], dtype=np.float32)
        side = across[0] * self._axes[0] - across[1] * self._axes[1]
        front, wide, bulge = self._section(limb, side)
        radii = np.array(limb.radii_m, dtype=np.float32) * np.float32(wide) * scale
        if (box := self._box(xy, float(radii.max()))) is None:
            return
        x, y = _centres(box)
        u = (x - xy[0, 0]) * along[0] + (y - xy[0, 1]) * along[1]
        v = (x - xy[0, 0]) * across[0] + (y - xy[0, 1]) * across[1]
        t = np.clip(u / np.float32(max(length, 1e-3)), 0, 1)
        beyond = (u - t * np.float32(length)) / np.float32(limb.cap_share)
        radius = radii[0] + (radii[1] - radii[0]) * t
        square = (v * v + beyond * beyond) / (radius * radius)
        inside = np.flatnonzero(square < 1)
        t, radius = t.reshape(-1)[inside], radius.reshape(-1)[inside]
        towards = np.sqrt(1 - square.reshape(-1)[inside])
        thick = np.float32(limb.radii_m[0]) + np.float32(limb.radii_m[1] - limb.radii_m[0]) * t
        near = depth[0] + (depth[1] - depth[0]) * t - thick * towards * np.float32(bulge)
        place, kept = self._win(box, inside, near)
        t, towards = t[kept], towards[kept]
        q = v.reshape(-1)[inside[kept]] / radius[kept]
        cap = beyond.reshape(-1)[inside[kept]] / radius[kept]
        eye = -self._axes[2]
        around = np.arctan2(
            q * (side @ limb.left) + towards * (eye @ limb.left), q * (side @ front) + towards * (eye @ front)
        )
        metres = t * np.float32(np.linalg.norm(limb.ends_m[1] - limb.ends_m[0]))
        normal = np.stack([q * across[0] + cap * along[0], -(q * across[1] + cap * along[1]), -towards])
        self._put(place, near[kept], paint(metres, around), normal, owner)

    def ball(self, centre_m: Array, axes: Array, radii_m: Array, paint: BallPaint, owner: int) -> None:
        """Draw an ellipsoid.

        Args:
            centre_m: (3,) in the camera's world.
            axes: (3, 3), rows are the ellipsoid's unit axes in the camera's world.
            radii_m: (3,) along them.
            paint: Colours its surface.
            owner: What the samples are marked with.

        """
        xy, depth = self._camera.project(centre_m[None])
        scale = np.float32(self._camera.focal_px) / depth[0]
        if (box := self._box(xy, float(radii_m.max() * scale))) is None:
            return
        columns, rows = _centres(box)
        x, y = np.broadcast_arrays((columns - xy[0, 0]) / scale, (xy[0, 1] - rows) / scale)
        # On the sphere that the ellipsoid is a stretched copy of, points of a line of sight are base + s * ray.
        stretch = (axes @ self._axes.T) / radii_m[:, None]
        ray = stretch[:, 2]
        base = stretch[:, 0, None, None] * x + stretch[:, 1, None, None] * y
        a = np.float32(ray @ ray)
        b = np.tensordot(ray, base, 1)
        root = b * b - a * ((base * base).sum(axis=0) - 1)
        inside = np.flatnonzero(root > 0)
        s = (-b.reshape(-1)[inside] - np.sqrt(root.reshape(-1)[inside])) / a
        place, kept = self._win(box, inside, depth[0] + s)
        sphere = base.reshape(3, -1)[:, inside[kept]] + ray[:, None] * s[kept]
        normal = stretch.T @ sphere
        normal /= np.linalg.norm(normal, axis=0) + np.float32(1e-9)
        self._put(place, (depth[0] + s)[kept], paint(sphere), normal, owner)

    def is_seen(self, points_m: Array, slack_m: Array) -> npt.NDArray[np.bool_]:
        """(n, 3) points -> (n,) whether nothing lies more than `slack_m` (n,) in front; False off the canvas."""
        xy, depth = self._camera.project(points_m)
        column, row = np.floor(xy).astype(np.int64).T
        there = (column >= 0) & (row >= 0) & (column < self._hw[1]) & (row < self._hw[0])
        nearest = self.depth_m[np.where(there, row, 0), np.where(there, column, 0)]
        seen: npt.NDArray[np.bool_] = there & (nearest > depth - slack_m)
        return seen

    def over(self, picture: Array) -> Array:
        """(H, W, 3) linear RGB with everything drawn on top of it, edges antialiased."""
        height, width = picture.shape[:2]
        blocks = (height, FINE, width, FINE)
        share = (self.owner > 0).reshape(blocks).mean(axis=(1, 3), dtype=np.float32)
        drawn = self.colour.reshape(*blocks, 3).mean(axis=(1, 3))
        result: Array = picture * (1 - share)[..., None] + drawn
        return result

    def _section(self, limb: Limb, side: Array) -> tuple[Array, float, float]:
        """The front of the limb, and its half extent across the image and in depth, in radii."""
        axis = limb.ends_m[1] - limb.ends_m[0]
        front = np.cross(axis, limb.left)
        front /= np.linalg.norm(front) + 1e-9
        if axis[2] > 0:
            front = -front
        deep = limb.depth_share
        wide = float(np.hypot(limb.left @ side, deep * (front @ side)))
        bulge = float(np.hypot(limb.left @ self._axes[2], deep * (front @ self._axes[2])))
        # A round section looks the same from everywhere, also where its axes are not at right angles to it.
        return front.astype(np.float32), max(wide, deep), max(bulge, deep)

    def _box(self, xy: Array, margin_px: float) -> tuple[int, int, int, int] | None:
        low, high = xy.min(axis=0) - margin_px - 1, xy.max(axis=0) + margin_px + 2
        left, top = max(int(low[0]), 0), max(int(low[1]), 0)
        right, bottom = min(int(high[0]), self._hw[1]), min(int(high[1]), self._hw[0])
        return (left, top, right, bottom) if left < right and top < bottom else None

    def _win(self, box: tuple[int, int, int, int], inside: Index, near: Array) -> tuple[Index, Index]:
        """Which samples of a box are nearer than all so far: their places on the canvas, and among `inside`."""
        left, top, right, _ = box
        row, column = np.divmod(inside, right - left)
        place = (row + top) * self._hw[1] + column + left
        kept = np.flatnonzero(near < self.depth_m.reshape(-1)[place])
        return place[kept], kept

    def _put(self, place: Index, near: Array, albedo: Array, normal: Array, owner: int) -> None:
        lit = np.maximum(self._lamp.towards @ normal, 0)[:, None] * self._lamp.sun
        lit += (np.float32(0.72) + np.float32(0.28) * normal[1])[:, None] * self._lamp.sky
        self.depth_m.reshape(-1)[place] = near
        self.owner.reshape(-1)[place] = owner
        self.colour.reshape(-1, 3)[place] = albedo * lit


def _centres(box: tuple[int, int, int, int]) -> tuple[Array, Array]:
    """(1, w) and (h, 1) middles of the box's samples."""
    left, top, right, bottom = box
    x = np.arange(left, right, dtype=np.float32)[None] + np.float32(0.5)
    return x, np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5)
