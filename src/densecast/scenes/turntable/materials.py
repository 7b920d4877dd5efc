"""Assigns a material to each visible point of a car."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from densecast.scenes.mesh import Array
from densecast.scenes.raster import Surface
from densecast.scenes.turntable.shape import LUT_BINS, CarShape, Part


class Material(IntEnum):
    """Rows of the table that `table` returns."""

    PAINT = 0
    RUBBER = 1
    RIM = 2
    PLASTIC = 3
    CHROME = 4
    SECOND_PAINT = 5
    SEAM = 6
    LAMP = 7
    REAR_LAMP = 8
    PLATE = 9
    CLEAR_GLASS = 10
    DARK_GLASS = 11


@dataclass(frozen=True, slots=True)
class Finish:
    """The looks of one car, apart from its shape. Colours are linear RGB in 0..1."""

    paint: Array
    second_paint: Array
    """Roof and mirrors; mostly the same as `paint`"""
    metallic: float
    gloss: float
    """Exponent of the sun's highlight"""
    cladding: bool
    """Bare dark plastic along the lower edge"""
    glass_roof: bool
    tint: float
    """How much light the glass takes away, 0..1"""
    spokes: int
    rim: Array
    plate: bool


@dataclass(frozen=True, slots=True)
class MaterialTable:
    """One row per `Material`."""

    albedo: Array
    """(m, 3) linear RGB"""
    mirror: Array
    """(m,) strength of the reflections, 1 = clear lacquer"""
    through: Array
    """(m,) share of the light from behind that passes"""


def make_finish(rng: np.random.Generator) -> Finish:
    """Random looks: half of the cars in the greys that most real ones have."""
    if rng.random() < 0.5:
        paint = np.full(3, rng.choice([0.015, 0.04, 0.1, 0.22, 0.42, 0.66])) * rng.uniform(0.94, 1.06, 3)
    else:
        paint = _colour(rng.random(), rng.uniform(0.5, 0.97), rng.uniform(0.08, 0.6))
    second = paint if rng.random() < 0.8 else np.full(3, rng.choice([0.02, 0.6]))
    return Finish(
        paint=paint.astype(np.float32),
        second_paint=second.astype(np.float32),
        metallic=float(rng.uniform(0, 0.8)),
        gloss=float(rng.uniform(25, 160)),
        cladding=bool(rng.random() < 0.35),
        glass_roof=bool(rng.random() < 0.2),
        tint=float(rng.uniform(0.1, 0.85)),
        spokes=int(rng.integers(5, 12)),
        rim=(np.full(3, rng.choice([0.03, 0.3, 0.55])) * rng.uniform(0.9, 1.1, 3)).astype(np.float32),
        plate=bool(rng.random() < 0.8),
    )


def table(finish: Finish) -> MaterialTable:
    """The materials of one car."""
    rows: dict[Material, tuple[npt.ArrayLike, float, float]] = {
        Material.PAINT: (finish.paint, 1.0, 0),
        Material.RUBBER: (0.016, 0.05, 0),
        Material.RIM: (finish.rim, 1.5, 0),
        Material.PLASTIC: (0.025, 0.3, 0),
        Material.CHROME: (0.4, 4.0, 0),
        Material.SECOND_PAINT: (finish.second_paint, 1.0, 0),
        Material.SEAM: (0.008, 0.05, 0),
        Material.LAMP: (0.45, 3.0, 0),
        Material.REAR_LAMP: ([0.45, 0.01, 0.01], 1.5, 0),
        Material.PLATE: (0.6, 0.5, 0),
        Material.CLEAR_GLASS: (0.015, 2.4, 0.8 * (1 - finish.tint)),
        Material.DARK_GLASS: (0.015, 2.4, 0.15 * (1 - finish.tint)),
    }
    albedo = np.stack([np.broadcast_to(np.asarray(rows[m][0], dtype=np.float32), 3) for m in Material])
    mirror, through = (np.array([rows[m][column] for m in Material], dtype=np.float32) for column in (1, 2))
    return MaterialTable(albedo, mirror, through)


def at(seen: Surface, shape: CarShape, finish: Finish) -> npt.NDArray[np.uint8]:
    """(n,) the `Material` of every covered pixel."""
    by_part = np.zeros(len(Part), dtype=np.uint8)
    by_part[Part.TYRE], by_part[Part.RIM] = Material.RUBBER, Material.RIM
    by_part[Part.BLACK_TRIM], by_part[Part.CHROME] = Material.PLASTIC, Material.CHROME
    by_part[Part.PAINTED_TRIM] = Material.SECOND_PAINT
    material = by_part[seen.part]
    rims = np.flatnonzero(seen.part == Part.RIM)
    material[rims] = _rims(seen.place[0, rims], seen.place[2, rims], shape, finish)
    body = np.flatnonzero(seen.part == Part.BODY)
    material[body] = _body(seen.place[:, body], seen.normal[:, body], shape, finish)
    return material


def _colour(hue: float, saturation: float, value: float) -> npt.NDArray[np.float64]:
    """Hue, saturation, value in 0..1 -> RGB."""
    turn = np.abs(((hue + np.array([0, 2 / 3, 1 / 3])) % 1) * 6 - 3) - 1
    rgb: npt.NDArray[np.float64] = value * (1 - saturation * (1 - np.clip(turn, 0, 1)))
    return rgb


def _rims(x: Array, z: Array, shape: CarShape, finish: Finish) -> npt.NDArray[np.uint8]:
    """Spokes and a ring before a dark drum."""
    z = z - np.float32(shape.wheel_radius_m)
    front, rear = shape.wheel_x_m
    x = x - np.where(x > 0, np.float32(front), np.float32(rear))
    reach = np.sqrt(x * x + z * z) / np.float32(shape.wheel_radius_m)
    spoke = np.cos(np.arctan2(z, x) * finish.spokes) > 0.75 * reach - 0.1
    metal = (spoke & (reach > 0.14)) | (reach > 0.63) | (reach < 0.1)
    return np.where(metal, Material.RIM, Material.PLASTIC).astype(np.uint8)


def _body(place: Array, normal: Array, shape: CarShape, finish: Finish) -> npt.NDArray[np.uint8]:
    """Paint, and everything let into it. The later of two that overlap is what shows."""
    x, y, z = place
    along = np.float32(0.5) - x * np.float32(1 / shape.length_m)
    bins = np.clip((along * np.float32(LUT_BINS)).astype(np.int32), 0, LUT_BINS - 1)
    fractions = (np.arange(LUT_BINS) + 0.5) / LUT_BINS
    to_pillar = np.abs(fractions[:, None] - np.array(shape.pillars)).min(axis=1)
    (screen_from, screen_to), (rear_from, rear_to) = shape.screens
    tall = shape.top_z - shape.shoulder_z > 0.14 * shape.height_m
    is_seam = (to_pillar < 0.0016) | (np.abs(fractions - screen_from - 0.06) < 0.0016)
    is_handle = np.abs(fractions[:, None] - np.array(shape.pillars) + 0.03).min(axis=1) < 0.018
    has_glass = tall & (fractions > screen_from + 0.02) & (fractions < rear_to - 0.02) & (to_pillar > 0.007)
    # Head rests: narrow humps above the line of the seats.
    seat_line = (0.36 + 0.25 * np.clip(np.sin(fractions * 60) * 2 - 0.9, 0, 1)).astype(np.float32)

    wide, height = np.abs(y), z * np.float32(1 / shape.height_m)
    shoulder = shape.shoulder_z[bins]
    lift = (z - shoulder) / np.maximum(shape.top_z - shape.shoulder_z, 0.05)[bins]
    forward, side = normal[0], np.abs(normal[1]) > 0.55
    nose, tail = forward > 0.35, forward < -0.35
    wheel_z = z - np.float32(shape.wheel_radius_m)
    front, rear = (x - np.float32(wheel) for wheel in shape.wheel_x_m)
    wheel_reach = np.minimum(front * front, rear * rear) + wheel_z * wheel_z
    arch = (wheel_reach < (1.14 * shape.wheel_radius_m) ** 2) & (wide > 0.3 * shape.width_m)
    doors = side & (z < shoulder)
    centre = wide < np.maximum(shape.roof_half_width, 0.3)[bins] - np.float32(0.05)
    above = lift > 0.9
    window = side & has_glass[bins] & (lift > 0.1) & (lift < 0.86)
    screen = (along > screen_from + 0.012) & (along < screen_to - 0.005) & centre & (forward > 0.2) & ~side
    rear_window = (along > rear_from + 0.005) & (along < rear_to - 0.006) & centre & (forward < -0.15) & ~side
    grille = nose & (along < 0.08) & (height > 0.24) & (height < 0.44) & (wide < 0.24 * shape.width_m)
    lamp = (nose | side) & (along < 0.09) & (height > 0.40) & (height < 0.49) & (wide > 0.27 * shape.width_m)
    rear_lamp = (along > 0.945) & (height > 0.48) & (height < 0.60) & (wide > 0.30 * shape.width_m)

    material = np.full(x.shape, Material.PAINT, dtype=np.uint8)
    material[above & (along > screen_to - 0.02) & (along < rear_from + 0.02)] = Material.SECOND_PAINT
    material[doors & is_seam[bins]] = Material.SEAM
    material[doors & is_handle[bins] & (np.abs(height - np.float32(0.55)) < 0.013)] = Material.CHROME
    material[doors & (np.abs(z - shoulder + np.float32(0.02)) < 0.008)] = Material.CHROME
    if finish.cladding:
        material[(z < 0.16 * shape.height_m + 0.12) | ((wheel_reach < (1.3 * shape.wheel_radius_m) ** 2) & side)] = (
            Material.PLASTIC
        )
    material[(nose | tail) & (height < 0.17)] = Material.PLASTIC
    material[lamp] = Material.LAMP
    material[rear_lamp] = Material.REAR_LAMP
    material[grille] = Material.PLASTIC
    material[grille & (np.sin(z * np.float32(150)) > 0.6)] = Material.CHROME
    material[arch] = Material.SEAM
    if finish.plate:
        level = np.where(x > 0, np.float32(0.30), np.float32(0.42))
        material[
            (nose | tail) & (wide < 0.26) & (np.abs(height - level) < 0.04) & ((along < 0.08) | (along > 0.94))
        ] = Material.PLATE
    material[window | screen | rear_window] = Material.DARK_GLASS
    material[window & (lift > seat_line[bins])] = Material.CLEAR_GLASS
    if finish.glass_roof:
        material[above & centre & (along > screen_to + 0.04) & (along < rear_from - 0.05)] = Material.DARK_GLASS
    return material
