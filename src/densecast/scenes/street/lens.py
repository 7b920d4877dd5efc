"""Turns a painted street into a photograph: surface texture, tint, motion blur, focus, exposure, sensor noise."""

import cv2
import numpy as np
import numpy.typing as npt

from densecast.scenes.mesh import Array
from densecast.scenes.noise import fractal, value_noise
from densecast.scenes.street.classes import Kind
from densecast.scenes.street.light import Light

_ROUGHNESS: dict[Kind, float] = {
    Kind.BUILDING: 0.16, Kind.WALL: 0.3, Kind.FENCE: 0.2, Kind.VEGETATION: 0.5, Kind.TERRAIN: 0.4, Kind.SKY: 0.02,
    Kind.PERSON: 0.2, Kind.RIDER: 0.2, Kind.CAR: 0.12, Kind.TRUCK: 0.14, Kind.BUS: 0.12, Kind.TRAIN: 0.12,
}  # fmt: skip
_NOISE_SHIFT_PX = 29


def photograph(
    rng: np.random.Generator, picture: Array, classes: npt.NDArray[np.uint8], light: Light
) -> npt.NDArray[np.uint8]:
    """(H, W, 3) display RGB in 0..1 and (H, W) classes -> (H, W, 3) uint8 sRGB."""
    height, width = classes.shape
    roughness = np.full(256, 0.08, dtype=np.float32)
    for kind, strength in _ROUGHNESS.items():
        roughness[int(kind)] = strength
    grain = fractal(rng, (height, width), (max(2, height // 12), max(2, width // 12)), 3, gain=0.9)
    stains = value_noise(rng, (height, width), (7, 12))
    texture = (np.float32(0.65) * grain + np.float32(0.35) * stains - np.float32(0.5)) * np.float32(2)
    shot = picture * (1 + texture * roughness[classes])[..., None]
    rows = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    columns = np.linspace(-1, 1, width, dtype=np.float32)[None]
    vignette = 1 - np.float32(rng.uniform(0, 0.16)) * (rows * rows + columns * columns)
    exposure = np.array(light.tint, dtype=np.float32) * np.float32(rng.uniform(0.9, 1.4))
    shot *= vignette[..., None] * exposure
    if rng.random() < 0.3:
        shot += (np.array(light.sky_low, dtype=np.float32) - shot) * np.float32(rng.uniform(0.02, 0.14))
    contrast = np.float32(rng.uniform(0.8, 1.15))
    shot = (shot - np.float32(0.4)) * contrast + np.float32(0.4)
    shot = _softened(rng, shot)
    noise = rng.standard_normal((height, width + 2 * _NOISE_SHIFT_PX), dtype=np.float32)
    noise *= np.float32(rng.uniform(0.005, 0.035))
    # One field, moved by some pixels from channel to channel: as good as three, at a third of the time.
    for channel in range(3):
        shot[..., channel] += noise[:, channel * _NOISE_SHIFT_PX : channel * _NOISE_SHIFT_PX + width]
    pixels: npt.NDArray[np.uint8] = (np.clip(shot, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)
    return pixels


def _softened(rng: np.random.Generator, shot: Array) -> Array:
    """Defocus in some pictures, motion along a short line in others."""
    height, pick = shot.shape[0], rng.random()
    if pick < 0.3:
        blurred: Array = cv2.GaussianBlur(shot, (0, 0), rng.uniform(0.4, 1.1) * height / 256)
        return blurred
    if pick < 0.5:
        length, turn = rng.uniform(1.5, 4.0) * height / 256, rng.uniform(-0.5, 0.5)
        side = 2 * int(np.ceil(length / 2)) + 1
        kernel = np.zeros((side, side), dtype=np.uint8)
        middle = (side - 1) / 2
        reach = np.array([np.cos(turn), np.sin(turn)]) * length / 2
        start, end = np.rint((middle - reach) * 16).astype(int), np.rint((middle + reach) * 16).astype(int)
        cv2.line(kernel, (int(start[0]), int(start[1])), (int(end[0]), int(end[1])), 255, 1, cv2.LINE_AA, 4)
        moved: Array = cv2.filter2D(
            shot, -1, kernel.astype(np.float32) / max(1, int(kernel.sum())), borderType=cv2.BORDER_REFLECT_101
        )
        return moved
    return shot
