"""Simulates a camera: exposure, white balance, vignetting, lens blur, sensor noise, 8-bit quantisation."""

import numpy as np
import numpy.typing as npt

from densecast.scenes.mesh import Array

_NOISE_SHIFT_PX = 37
_ROWS = 32


def photograph(picture: Array, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Linear RGB -> sRGB bytes, through exposure, white balance, vignette, a soft lens and sensor noise."""
    import cv2

    height, width = picture.shape[:2]
    gain = (rng.uniform(0.6, 1.35) * rng.uniform(0.94, 1.06, 3)).astype(np.float32)
    rows = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    columns = np.linspace(-1, 1, width, dtype=np.float32)[None]
    vignette = 1 - np.float32(rng.uniform(0, 0.2)) * (rows * rows + columns * columns)
    linear = picture * (vignette[..., None] * gain)
    soft = rng.uniform(0, 1.1) * height / 640
    if soft > 0.35:
        linear = cv2.GaussianBlur(linear, (0, 0), soft)
    # One field, moved by some pixels from channel to channel: as good as three, at a third of the time.
    noise = rng.standard_normal((height, width + 2 * _NOISE_SHIFT_PX), dtype=np.float32)
    noise *= np.float32(rng.uniform(0.004, 0.03))
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    # In blocks of rows that stay in the CPU's cache.
    for first in range(0, height, _ROWS):
        rows_here = slice(first, first + _ROWS)
        # The square root stands in for the sRGB curve; it is also what makes photon noise even over all tones.
        tone = np.sqrt(np.clip(linear[rows_here], 0, 1))
        for channel in range(3):
            start = channel * _NOISE_SHIFT_PX
            tone[..., channel] += noise[rows_here, start : start + width]
        tone *= np.float32(255)
        tone += np.float32(0.5)
        pixels[rows_here] = np.clip(tone, 0, 255)
    return pixels
