"""Shades a car: the colour of each visible point under one sun and a simple sky, in lacquer and glass."""

from dataclasses import dataclass

import numpy as np

from densecast.scenes.mesh import Array
from densecast.scenes.raster import Surface, turned
from densecast.scenes.turntable import materials
from densecast.scenes.turntable.materials import Finish, Material
from densecast.scenes.turntable.shape import CarShape

_BLOCK = 1 << 14


@dataclass(frozen=True, slots=True)
class Light:
    """One sun or large lamp, and what the car mirrors. Colours are linear RGB."""

    sun_direction: Array
    """(3,) unit vector of the world, towards the sun"""
    sun: Array
    sky: Array
    horizon: Array
    floor: Array
    waves: tuple[float, float, float]
    """Phases of the skyline that glossy paint mirrors"""
    lamp_rows: bool
    """Strips of ceiling lamps, as in a studio"""


@dataclass(frozen=True, slots=True)
class _Mirrored:
    """What the mirrored ray of each pixel meets: shares (n,) of floor, horizon, sky; and lamps, 0 or 1."""

    floor: Array
    horizon: Array
    sky: Array
    lamps: Array


def shade(
    seen: Surface,
    shape: CarShape,
    finish: Finish,
    light: Light,
    camera_position: Array,
    azimuth_rad: float,
    behind: Array,
) -> Array:
    """The linear colour of every sample: diffuse sun and sky, Schlick's Fresnel mirror, a Phong highlight.

    Args:
        seen: The samples; n of them.
        shape: The car's geometry.
        finish: The car's looks.
        light: Sun and surroundings.
        camera_position: (3,) in world metres.
        azimuth_rad: The car's turn on the turntable.
        behind: (3, n) what would be seen there without the car: glass lets some of it through.

    Returns:
        (3, n) float32, linear RGB.
    """
    colour = np.empty((3, len(seen.part)), dtype=np.float32)
    # In blocks whose arrays stay in the CPU's cache; no sample depends on another.
    for start in range(0, len(seen.part), _BLOCK):
        block = slice(start, start + _BLOCK)
        colour[:, block] = _shaded(
            seen.some(block), shape, finish, light, camera_position, azimuth_rad, behind[:, block]
        )
    return colour


def _shaded(
    seen: Surface,
    shape: CarShape,
    finish: Finish,
    light: Light,
    camera_position: Array,
    azimuth_rad: float,
    behind: Array,
) -> Array:
    """A block of `shade`."""
    material = materials.at(seen, shape, finish)
    table = materials.table(finish)
    normal = seen.normal
    eye = turned(camera_position, -azimuth_rad)[:, None] - seen.place
    eye /= np.sqrt(_dot(eye, eye))
    facing = np.maximum(_dot(eye, normal), 0)
    mirrored = 2 * facing * normal - eye
    sun = turned(light.sun_direction, -azimuth_rad)
    sunlit = np.maximum(_dot(sun, normal), 0)
    glint = np.power(np.maximum(_dot(sun, mirrored), 0), np.float32(finish.gloss))
    around, away = _surroundings(mirrored, azimuth_rad, light), 1 - facing
    fresnel = away * away
    fresnel *= fresnel * away
    mirror = table.mirror[material]
    lacquer = np.minimum(mirror * (np.float32(0.05) + np.float32(0.95) * fresnel), 1)
    # Metal flakes mirror the surroundings in the paint's own colour.
    flakes = np.where(material == Material.PAINT, np.float32(finish.metallic), np.float32(0))
    glint *= mirror
    passing = table.through[material] * (1 - fresnel)
    upward = _upward(seen)
    downward = np.float32(0.35) - np.float32(0.35) * upward
    colour = np.empty((3, len(material)), dtype=np.float32)
    for channel in range(3):
        mirror_image = around.floor * light.floor[channel]
        mirror_image += around.horizon * light.horizon[channel]
        mirror_image += around.sky * light.sky[channel]
        mirror_image += around.lamps
        lit = upward * light.sky[channel]
        lit += sunlit * light.sun[channel]
        lit += downward * light.floor[channel]
        lit += flakes * mirror_image
        lit *= table.albedo[:, channel][material]
        lit += lacquer * mirror_image
        lit += glint * light.sun[channel]
        lit += passing * behind[channel]
        colour[channel] = lit
    return colour


def _upward(seen: Surface) -> Array:
    """How much of the sky each sample sees."""
    upward: Array = np.float32(0.5) + np.float32(0.5) * seen.normal[2]
    # Sills and the lower edge get little of the sky.
    upward *= np.clip(np.float32(0.3) + seen.place[2] * np.float32(1.2), 0.3, 1)
    return upward


def _surroundings(direction: Array, azimuth_rad: float, light: Light) -> _Mirrored:
    """(3, n) directions in the car's axes -> floor, a wavy skyline, sky, and rows of lamps seen there."""
    sine, cosine = np.float32(np.sin(azimuth_rad)), np.float32(np.cos(azimuth_rad))
    x, y = direction[0] * cosine - direction[1] * sine, direction[0] * sine + direction[1] * cosine
    z = direction[2]
    a, b, c = (np.float32(phase) for phase in light.waves)
    skyline = np.float32(0.07) * np.sin(3 * x + a) + np.float32(0.05) * np.sin(7 * y + 2 * x + b)
    above = np.clip((z - skyline) * 9, 0, 1)
    high = np.clip(z * np.float32(1.4), 0, 1)
    lamps = np.zeros_like(z)
    if light.lamp_rows:
        lamps[(z > 0.35) & (np.sin(9 * x / (np.abs(z) + np.float32(0.2)) + c) > 0.55)] = 1.0
    return _Mirrored(1 - above, above * (1 - high), np.float32(1.25) * above * high, lamps)


def _dot(first: Array, second: Array) -> Array:
    """Over the first axis, of length three."""
    product: Array = first[0] * second[0] + first[1] * second[1] + first[2] * second[2]
    return product
