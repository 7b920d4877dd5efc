"""The body of a car: a side profile of one of seven kinds, lofted to a mesh, on its wheels."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from densecast.scenes import mesh
from densecast.scenes.mesh import Array, Mesh
from densecast.scenes.turntable import kinds


class Part(IntEnum):
    """What a face of the mesh belongs to; the painter chooses materials by it."""

    BODY = 0
    TYRE = 1
    RIM = 2
    BLACK_TRIM = 3
    CHROME = 4
    PAINTED_TRIM = 5


LUT_BINS = 2048
"""Steps from nose to tail of the lines in a `CarShape`"""
_STATIONS = ((0, 1, 52), (0, 0.06, 12), (0.93, 1, 10))
"""Where the sections lie: (from, to, how many), as fractions of the length; closer at the bumpers"""


@dataclass(frozen=True, slots=True)
class CarShape:
    """The geometry of one car in metres: x forwards from its middle, y to its left, z up from the ground."""

    kind: str
    length_m: float
    width_m: float
    height_m: float
    mesh: Mesh
    wheel_x_m: tuple[float, float]
    wheel_radius_m: float
    top_z: Array
    """(LUT_BINS,) height of the roof line at equal steps from nose to tail"""
    shoulder_z: Array
    """(LUT_BINS,) height of the line where the doors end and the glass begins"""
    roof_half_width: Array
    """(LUT_BINS,) half the width of the roof, bonnet or boot lid"""
    screens: tuple[tuple[float, float], tuple[float, float]]
    """Where the windscreen and the rear window lie along the length, as fractions from the nose"""
    pillars: tuple[float, ...]
    """Fractions along the length that divide the side glass"""


def make_left_half(rng: np.random.Generator) -> CarShape:
    """A car of a random kind, its measures varied by some per cent; the mesh is its left half alone."""
    name = str(rng.choice(list(kinds.KINDS), p=[kind.share for kind in kinds.KINDS.values()]))
    kind = kinds.KINDS[name]
    length = kind.length_m * rng.uniform(0.93, 1.07)
    height = kind.height_m * rng.uniform(0.96, 1.05)
    width = kind.width_m * rng.uniform(0.96, 1.03)
    place = np.array([p for p, _ in kind.roof])
    place[1:-1] += rng.uniform(-0.012, 0.012, len(place) - 2)
    rise = np.array([h for _, h in kind.roof]) + rng.uniform(-0.015, 0.015, len(kind.roof))
    place = np.maximum.accumulate(place)
    along = (np.arange(LUT_BINS) + 0.5) / LUT_BINS
    top = _rounded(np.interp(along, place, rise)) * height
    belt = np.interp(along, [0, 0.3, 1], [0.60, 0.62, 0.62 + rng.uniform(0.02, 0.07)]) * height
    shoulder = np.minimum(belt, top - 0.045)
    # Seen from above a car narrows at both ends.
    nose, tail = np.clip(along / 0.2, 0, 1), np.clip((1 - along) / 0.16, 0, 1)
    nose_taper, tail_taper = rng.uniform(0.12, 0.2), rng.uniform(0.07, 0.13)
    half_width = width / 2 * (1 - nose_taper * (1 - nose) ** 2.5 - tail_taper * (1 - tail) ** 2.5)
    inset = rng.uniform(0.26, 0.4) * (top - shoulder)
    roof_half = 0.9 * half_width - inset - 0.03
    bumpers = 0.07 * np.clip(1 - along / 0.06, 0, 1) + 0.1 * np.clip((along - 0.93) / 0.07, 0, 1)
    bottom = kind.clearance_m + bumpers

    stations = np.unique(np.concatenate([np.linspace(*run) for run in _STATIONS]))
    section = [np.interp(stations, along, line) for line in (top, shoulder, half_width, roof_half, bottom)]
    skin = _skin(stations, length, *section)
    radius = float(np.clip(0.225 * height, 0.3, 0.4) * rng.uniform(0.96, 1.06))
    front, rear = rng.uniform(0.17, 0.2), rng.uniform(0.79, 0.83)
    wheel_x = (length * (0.5 - front), length * (0.5 - rear))
    parts = [skin]
    for x in wheel_x:
        centre = np.array([x, width / 2 - 0.005, radius], dtype=np.float32)
        parts.append(mesh.wheel(centre, radius, 0.22, Part.TYRE, Part.RIM))
    foot, head = (float(place[corner]) for corner in kinds.WINDSCREEN)
    rear_head, rear_foot = (float(place[corner]) for corner in kinds.REAR_WINDOW)
    return CarShape(
        kind=name,
        length_m=length,
        width_m=width,
        height_m=height,
        mesh=mesh.join(parts),
        wheel_x_m=wheel_x,
        wheel_radius_m=radius,
        top_z=top.astype(np.float32),
        shoulder_z=shoulder.astype(np.float32),
        roof_half_width=roof_half.astype(np.float32),
        screens=((foot, head), (rear_head, rear_foot)),
        pillars=kind.pillars,
    )


def _rounded(line: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The polygon line with its corners taken off over 4 % of the length."""
    reach = LUT_BINS // 50
    kernel = np.hanning(2 * reach + 3)[1:-1]
    return np.convolve(np.pad(line, reach, mode="edge"), kernel / kernel.sum(), mode="valid")


def _skin(
    stations: npt.NDArray[np.float64],
    length: float,
    top: npt.NDArray[np.float64],
    shoulder: npt.NDArray[np.float64],
    half: npt.NDArray[np.float64],
    roof_half: npt.NDArray[np.float64],
    bottom: npt.NDArray[np.float64],
) -> Mesh:
    """The left half of the body: sections from the sill to the middle of the roof, and both end faces."""
    cabin = top - shoulder
    side = np.linspace(0, 1, 8)[None]
    # Doors: tucked in at the sill, widest a third of the way up.
    door_y = half[:, None] * (1 - 0.13 * (1 - side) ** 4 - 0.055 * side**2)
    door_z = bottom[:, None] + (shoulder - bottom)[:, None] * side
    lean = np.array([0.06, 0.3, 0.6, 0.85, 0.95])[None]
    glass_y = 0.94 * half[:, None] + (roof_half - 0.94 * half)[:, None] * lean**1.15
    glass_z = shoulder[:, None] + cabin[:, None] * lean
    across = np.array([0.93, 0.75, 0.5, 0.25, 0.0])[None]
    lid_y = roof_half[:, None] * across
    lid_z = top[:, None] + 0.02 * (1 - across**2)
    y = np.concatenate([door_y, glass_y, lid_y], axis=1)
    z = np.concatenate([door_z, glass_z, lid_z], axis=1)
    x = np.broadcast_to((length * (0.5 - stations))[:, None], y.shape)
    points = np.stack([x, y, z], axis=-1).astype(np.float32)
    inside = np.zeros((len(stations), 1, 3), dtype=np.float32)
    inside[:, 0, 0], inside[:, 0, 2] = x[:, 0] * 0.9, (bottom + top) / 2
    across_end = np.linspace(1, 0, 5, dtype=np.float32)[None, :, None] * mesh.point(0, 1, 0) + mesh.point(1, 0, 1)
    halves = [mesh.grid(_bowed(points, length), Part.BODY, inside)]
    for index in (0, -1):
        end = _bowed(points[index][:, None] * across_end, length)
        halves.append(mesh.grid(end, Part.BODY, mesh.point(0, 0, 0.5)))
    return mesh.join(halves)


def _bowed(points: Array, length: float) -> Array:
    """Both ends of the body drawn back towards the sides and below, as bumpers are."""
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    end = np.clip((np.abs(x) / length - 0.3) / 0.2, 0, 1) ** 2
    back = end * (0.24 * np.abs(y / 0.85) ** 2.2 + 0.5 * np.clip(z - 0.5, 0, None) ** 2 * (x > 0))
    bowed: Array = np.stack([x - np.sign(x) * back, y, z], axis=-1).astype(np.float32)
    return bowed
