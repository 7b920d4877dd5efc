"""The ground and the sky of a street: asphalt with markings, sidewalks, grass, rails, clouds."""

import cv2
import numpy as np
import numpy.typing as npt

from densecast.scenes.mesh import Array
from densecast.scenes.noise import fractal, tiled, value_noise
from densecast.scenes.street.canvas import Canvas
from densecast.scenes.street.classes import Kind
from densecast.scenes.street.light import Light
from densecast.scenes.street.road import Road

_GRAIN_PER_M = 24
_GRAIN_FADES_M = np.float32(14)
_PAINT = np.uint8(254)
"""Stands for road markings where colours are looked up"""


def paint_sky(rng: np.random.Generator, canvas: Canvas, light: Light) -> None:
    """Fill the whole canvas with sky: a gradient to the horizon, clouds in front of it."""
    height, width = canvas.size_hw
    small_hw = (height // 4, width // 4)
    horizon = float(np.clip(canvas.camera.horizon_px / 4, 1, small_hw[0]))
    fall = np.clip(1 - (np.arange(small_hw[0], dtype=np.float32) + np.float32(0.5)) / np.float32(horizon), 0, 1)
    top, low = np.array(light.sky_top, dtype=np.float32), np.array(light.sky_low, dtype=np.float32)
    sky = low + (top - low) * fall[:, None, None]
    cover = fractal(rng, small_hw, (3, 4), 4) * np.float32(2.6) - np.float32(1.9 - 1.1 * light.clouds)
    cloud = np.clip(cover, 0, 1)[..., None] * np.float32(0.85)
    white = np.clip(low * np.float32(rng.uniform(0.85, 1.15)) + np.float32(0.04), 0, 1)
    sky = sky + (white - sky) * cloud
    bytes_ = np.clip(np.broadcast_to(sky, (*small_hw, 3)) * 255, 0, 255).astype(np.uint8)
    canvas.samples[..., :3] = cv2.resize(bytes_, (width, height), interpolation=cv2.INTER_LINEAR)
    canvas.samples[..., 3] = int(Kind.SKY)


def paint_ground(rng: np.random.Generator, canvas: Canvas, road: Road, light: Light, shade: Array) -> None:
    """Everything flat below the horizon.

    Args:
        rng: Wear, colours and markings.
        canvas: Painted in place.
        road: The cross-section.
        light: Of the scene.
        shade: (2H, 2W) 0..1, where shadows lie.

    """
    first = int(np.clip(np.ceil(canvas.camera.horizon_px) + 1, 0, canvas.size_hw[0]))
    if first >= canvas.size_hw[0]:
        return
    x, along = canvas.camera.ground(canvas.size_hw, first)
    across = x - road.offset(along)
    kinds = _kinds(road, across, along)
    gain = _grain(rng, x, along)
    gain *= 1 - np.float32(1 - light.shadow) * np.minimum(shade[first:] * np.float32(1.15), 1)
    painted = _wear_and_marks(rng, road, across, along, gain, kinds)
    clear = np.exp(-along / np.float32(light.haze_m))
    gain *= clear
    colour = _tones(rng, light)[np.where(painted, _PAINT, kinds)]
    colour *= gain[..., None]
    colour += np.array(light.sky_low, dtype=np.float32) * (1 - clear)[..., None]
    colour *= np.float32(255)
    canvas.samples[first:, :, :3] = np.clip(colour, 0, 255, out=colour).astype(np.uint8)
    canvas.samples[first:, :, 3] = kinds


def _kinds(road: Road, across: Array, along: Array) -> npt.NDArray[np.uint8]:
    """(h, w) class of the ground at each place."""
    left, right = road.kerbs_m
    kinds = np.full(across.shape, int(Kind.TERRAIN), dtype=np.uint8)
    kinds[(across > road.fronts_m[0]) & (across < road.fronts_m[1])] = int(Kind.SIDEWALK)
    if road.verge_m:
        verge = ((across > left - road.verge_m) & (across < left)) | (
            (across > right) & (across < right + road.verge_m)
        )
        kinds[verge] = int(Kind.TERRAIN)
    kinds[(across > left) & (across < right)] = int(Kind.ROAD)
    if road.crossing_m:
        near, far = road.crossing_m
        rows = ((along > near) & (along < far))[:, 0]
        kinds[rows] = int(Kind.ROAD)
    return kinds


def _tones(rng: np.random.Generator, light: Light) -> Array:
    """(256, 3) colour of each class of ground, and of markings, in full light."""
    tones = np.zeros((256, 3), dtype=np.float32)
    gain = light.ambient + light.sun * light.direction[2]
    asphalt = rng.uniform(0.26, 0.48) * np.array([1.0, 1.0, 1.02])
    slabs = rng.uniform(0.42, 0.66) * np.array([1.0, 0.97, 0.93]) * rng.uniform(0.94, 1.06, 3)
    grass = np.array([0.3, 0.38, 0.16]) * rng.uniform(0.7, 1.2)
    if rng.random() < 0.25:
        grass = np.array([0.48, 0.4, 0.28]) * rng.uniform(0.8, 1.2)
    tones[_PAINT] = np.array([0.85, 0.85, 0.82]) * gain * rng.uniform(0.75, 1.05)
    for kind, tone in ((Kind.ROAD, asphalt), (Kind.SIDEWALK, slabs), (Kind.TERRAIN, grass)):
        tones[int(kind)] = tone * gain
    return tones


def _grain(rng: np.random.Generator, x: Array, along: Array) -> Array:
    """(h, w) roughness near the camera, and broad worn and wet patches, around 1."""
    tile = fractal(rng, (256, 256), (16, 16), 4, gain=0.8)
    fine = tiled(tile, x * _GRAIN_PER_M, np.broadcast_to(along * _GRAIN_PER_M * np.float32(0.6), x.shape))
    strength = np.float32(rng.uniform(0.15, 0.5)) / (1 + along / _GRAIN_FADES_M)
    broad = value_noise(rng, x.shape, (4, 5))
    wear: Array = (1 + (fine - np.float32(0.5)) * strength) * (np.float32(0.88) + np.float32(0.24) * broad)
    return wear


def _wear_and_marks(
    rng: np.random.Generator, road: Road, across: Array, along: Array, gain: Array, kinds: npt.NDArray[np.uint8]
) -> npt.NDArray[np.bool_]:
    """Darken or lighten rails, kerb stones, joints of slabs and repaired patches; return where markings are."""
    on_road = kinds == int(Kind.ROAD)
    _patch(rng, road, across, along, gain, on_road)
    for middle in road.rails_m:
        bright = np.float32(rng.uniform(0.4, 1.8))
        for rail in (middle - 0.72, middle + 0.72):
            gain[_near(across, rail, 0.07) & on_road] *= bright
    _slab(rng, across, along, gain, kinds)
    for kerb in road.kerbs_m:
        stone = _near(across, kerb + float(np.sign(kerb)) * 0.1, 0.1) & ~on_road
        gain[stone] *= np.float32(rng.uniform(0.75, 1.35))
    marks: npt.NDArray[np.bool_] = _markings(rng, road, across, along) & on_road
    return marks


def _markings(rng: np.random.Generator, road: Road, across: Array, along: Array) -> npt.NDArray[np.bool_]:
    """Dashed lane lines, a centre line, edge lines, and a zebra before the side street."""
    pitch, dash = rng.uniform(7, 12), rng.uniform(2.5, 5)
    dashes = ((along + np.float32(rng.uniform(0, 9))) % np.float32(pitch)) < np.float32(dash)
    found = np.zeros(across.shape, dtype=np.bool_)
    for line in road.lane_lines_m:
        found |= _near(across, line, 0.08)
    found &= dashes
    centre = _near(across, road.centre_line_m, 0.08)
    found |= centre if rng.random() < 0.3 else centre & dashes
    for line in (road.kerbs_m[0] + 0.3, road.kerbs_m[1] - 0.3):
        if rng.random() < 0.25:
            found |= _near(across, line, 0.07)
    if road.crossing_m:
        near, far = road.crossing_m
        found[((along > near - 4.5) & (along < far + 2))[:, 0]] = False
        rows = ((along > near - 4.2) & (along < near - 1.2))[:, 0]
        if rng.random() < 0.7:
            found[rows] = (np.floor(across[rows] / np.float32(0.55)).astype(np.int32) & 1) == 0
    return found


def _slab(rng: np.random.Generator, across: Array, along: Array, gain: Array, kinds: npt.NDArray[np.uint8]) -> None:
    """Joints between paving slabs, where they are near enough to be seen."""
    rows = (along < 22)[:, 0]
    pitch, dark = np.float32(rng.uniform(0.5, 1.4)), np.float32(rng.uniform(0.65, 0.95))
    thin = np.float32(0.03) + along[rows] * np.float32(0.002)
    turns = across[rows] / pitch
    joints = ((turns - np.floor(turns)) * pitch < thin) | ((along[rows] % pitch) < thin)
    gain[rows] *= np.where(joints & (kinds[rows] == int(Kind.SIDEWALK)), dark, np.float32(1))


def _patch(
    rng: np.random.Generator, road: Road, across: Array, along: Array, gain: Array, on_road: npt.NDArray[np.bool_]
) -> None:
    """Rectangles of newer or older asphalt."""
    for _ in range(int(rng.integers(0, 6))):
        at, near = rng.uniform(*road.kerbs_m), rng.uniform(4, 40)
        half, long = rng.uniform(0.3, 1.2), rng.uniform(0.6, 8)
        rows = ((along > near) & (along < near + long))[:, 0]
        here = _near(across[rows], at, half) & on_road[rows]
        gain[rows] *= np.where(here, np.float32(rng.uniform(0.6, 1.2)), np.float32(1))


def _near(across: Array, middle: float, half: float) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = np.abs(across - np.float32(middle)) < np.float32(half)
    return found
