"""The road's course and cross-section, and poses on it: metres across and along to world metres."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from densecast.scenes.mesh import Array
from densecast.scenes.street.light import Light
from densecast.scenes.street.shape import Shape


@dataclass(frozen=True, slots=True)
class Road:
    """Widths are metres across the road from the camera's path, negative to the left."""

    slope: float
    """How the road turns away at the camera, metres across per metre along"""
    bend_per_m: float
    """Curvature"""
    kerbs_m: tuple[float, float]
    """Where the carriageway ends"""
    fronts_m: tuple[float, float]
    """Where the sidewalks end and plots begin"""
    lane_lines_m: tuple[float, ...]
    centre_line_m: float
    verge_m: float
    """Width of the strip of grass between kerb and sidewalk; 0 for none"""
    crossing_m: tuple[float, float] | None
    """Where a side street crosses, from and to, along the road"""
    rails_m: tuple[float, ...]
    """Middles of the tracks"""
    end_m: float
    """How far the street reaches"""

    def offset(self, along: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """World x of the camera's path at these distances along."""
        turn: npt.NDArray[np.float32] = along * (np.float32(self.slope) + np.float32(self.bend_per_m / 2) * along)
        return turn

    def world(self, points: npt.ArrayLike) -> Array:
        """(..., 3) across, along, up -> (..., 3) world x, y, z."""
        found = np.array(points, dtype=np.float32)
        found[..., 0] += self.offset(found[..., 1])
        return found


@dataclass(frozen=True, slots=True)
class Pose:
    """A place on the road and a heading. Local axes: to the thing's right, forwards, up."""

    road: Road
    light: Light
    across_m: float
    along_m: float
    heading_rad: float
    """Relative to the road; 0 drives away from the camera, positive turns to the left"""
    eye_height_m: float
    _axes: tuple[float, float] = field(init=False)
    _origin: tuple[float, float] = field(init=False)

    def __post_init__(self) -> None:
        road = self.road
        total = self.heading_rad - np.arctan(road.slope + road.bend_per_m * self.along_m)
        object.__setattr__(self, "_axes", (float(np.cos(total)), float(np.sin(total))))
        x = self.across_m + float(road.offset(np.array(self.along_m, dtype=np.float32)))
        object.__setattr__(self, "_origin", (x, self.along_m))

    @property
    def eye(self) -> tuple[float, float, float]:
        """The camera in local metres."""
        (cosine, sine), (x, y) = self._axes, self._origin
        return -x * cosine - y * sine, x * sine - y * cosine, self.eye_height_m

    def world(self, points: npt.ArrayLike) -> Array:
        """(..., 3) local metres -> (..., 3) world metres."""
        local = np.asarray(points, dtype=np.float32)
        (cosine, sine), (x, y) = self._axes, self._origin
        found = np.empty_like(local)
        found[..., 0] = local[..., 0] * cosine - local[..., 1] * sine + x
        found[..., 1] = local[..., 0] * sine + local[..., 1] * cosine + y
        found[..., 2] = local[..., 2]
        return found

    def placed(self, shapes: list[Shape]) -> list[Shape]:
        """Shapes of local metres -> of world metres."""
        ends = np.cumsum([shape.points.size // 3 for shape in shapes])
        world = np.split(self.world(np.concatenate([shape.points.reshape(-1, 3) for shape in shapes])), ends[:-1])
        return [
            Shape(points.reshape(s.points.shape), s.colour, s.kind, s.diameter_m)
            for s, points in zip(shapes, world, strict=True)
        ]

    def gain(self, normal: tuple[float, float, float]) -> float:
        """How bright a surface of this local normal is."""
        cosine, sine = self._axes
        right, ahead, up = normal
        return self.light.gain((right * cosine - ahead * sine, right * sine + ahead * cosine, up))
