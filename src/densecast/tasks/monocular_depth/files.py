"""Draws depth in colours, and writes it to files: metres as 16-bit PNG, relative inverse depth as float32."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt

from densecast.io import files
from densecast.tasks._base import F32, Image
from densecast.tasks.monocular_depth import UNITS_PER_M, DepthMap

_MOST = 65535
# Colours spread over what lies between: single pixels do not decide about all others.
_PERCENTILES = (2.0, 98.0)
_OPACITY = 0.6


def draw(image: Image, prediction: DepthMap, *, opacity: float | None = None, legend: bool = True) -> Image:
    """Draw depth over a copy of an (H, W, 3) RGB image, with the nearest and farthest colour's value in a legend."""
    coloured, known, limits = _coloured(prediction)
    share = _OPACITY if opacity is None else opacity
    drawn = image.copy()
    drawn[known] = image[known] * (1 - share) + coloured[known] * share
    if legend:
        _legend(drawn, prediction, limits)
    return drawn


def summary(prediction: DepthMap) -> dict[str, float | int | None]:
    """`min`, `median` and `max` of what is known, None if nothing is, and `unknown_px`, the number of other pixels."""
    known = prediction.values[_known(prediction)]
    numbers = (known.min(), np.median(known), known.max()) if known.size else (None,) * 3
    named = zip(("min", "median", "max"), numbers, strict=True)
    return {name: None if number is None else float(number) for name, number in named} | {
        "unknown_px": int(prediction.values.size - known.size)
    }


def save(path_without_suffix: Path, prediction: DepthMap) -> Path:
    """Write metres as `<path>.png`, 16 bits and 256 steps a metre, or relative inverse depth as `<path>.npy`, float32.

    Beyond 255.996 m the largest number is written, and 0 for what is not finite or not above 0.
    """
    if prediction.form == "inverse":
        stream = io.BytesIO()
        np.save(stream, prediction.values, allow_pickle=False)
        path = path_without_suffix.with_name(f"{path_without_suffix.name}.npy")
        files.write_bytes(path, stream.getvalue())
        return path
    return _write_png(path_without_suffix, "", to_16_bits(prediction.values))


def to_16_bits(depth_m: F32, units_per_m: float = UNITS_PER_M) -> npt.NDArray[np.uint16]:
    """(H, W) metres -> 16 bits: rounded to the nearest step, at least 1 for what is known, 0 for unknown."""
    known = np.isfinite(depth_m) & (depth_m > 0)
    steps = np.clip(np.rint(np.where(known, depth_m, 0).astype(np.float64) * units_per_m), 1, _MOST)
    return np.where(known, steps, 0).astype(np.uint16)


def save_colour(path_without_suffix: Path, prediction: DepthMap) -> Path:
    """Write `<path>_colour.png`: 8-bit RGB; unknown depth is black."""
    coloured, known, _ = _coloured(prediction)
    coloured[~known] = 0
    return _write_png(path_without_suffix, "_colour", coloured[:, :, ::-1])


def _coloured(prediction: DepthMap) -> tuple[Image, npt.NDArray[np.bool_], tuple[float, float]]:
    """(H, W, 3) RGB, what is known, and the values of the farthest and the nearest colour."""
    import cv2

    values = prediction.values
    known = _known(prediction)
    if not known.any():
        return np.zeros((*values.shape, 3), np.uint8), known, (0.0, 0.0)
    low, high = (float(each) for each in np.percentile(values[known], _PERCENTILES))
    far, near = (low, high) if prediction.form == "inverse" else (high, low)
    span = (near - far) or 1.0
    shades = np.clip((np.where(known, values, far) - far) / span * 255, 0, 255).astype(np.uint8)
    return np.asarray(cv2.applyColorMap(shades, cv2.COLORMAP_VIRIDIS)[:, :, ::-1], np.uint8), known, (far, near)


def _known(prediction: DepthMap) -> npt.NDArray[np.bool_]:
    values = prediction.values
    return np.asarray(np.isfinite(values) & ((values > 0) | (prediction.form == "inverse")))


def _legend(drawn: Image, prediction: DepthMap, limits: tuple[float, float]) -> None:
    """A bar from near to far along the lower edge, with its two values; nothing in images too small to read it."""
    import cv2

    height, width = drawn.shape[:2]
    if height < 60 or width < 160:
        return
    bar = np.linspace(255, 0, width - 20).astype(np.uint8)[None].repeat(8, axis=0)
    drawn[height - 14 : height - 6, 10 : width - 10] = cv2.applyColorMap(bar, cv2.COLORMAP_VIRIDIS)[:, :, ::-1]
    far, near = limits
    unit = " m" if prediction.form == "metres" else ""
    for text, right in ((f"{near:.3g}{unit}", False), (f"{far:.3g}{unit}", True)):
        (length, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)
        place = (width - 10 - length if right else 10, height - 18)
        for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(drawn, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, thickness, cv2.LINE_AA)


def _write_png(stem: Path, ending: str, pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> Path:
    import cv2

    path = stem.with_name(f"{stem.name}{ending}.png")
    done, data = cv2.imencode(".png", np.ascontiguousarray(pixels))
    assert done, "a plane of whole numbers always encodes"
    files.write_bytes(path, data.tobytes())
    return path
