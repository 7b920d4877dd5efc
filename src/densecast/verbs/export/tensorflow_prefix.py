"""Measures what a graph's preprocessing prefix does to an image before the first layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.errors import BadConfigError, BadGraphError
from densecast.imaging.prepare import prepare
from densecast.runtime import engine_words
from densecast.spec.preprocess import ColourOrder, FitInto, Native, Preprocess, TripleFloat

F32 = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Prefix = Callable[[npt.NDArray[Any]], F32]

# Small, because graphs that pad take anything up to their own size, and of no size that arithmetic prefers.
_PROBE_HW = ((13, 21), (26, 9))
# float32 arithmetic in another order moves the last of 24 bits; channels mixed or values clipped move far more.
_TOLERANCE = 1e-5
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Measured:
    """Measured preprocessing: `(x - mean) / std` on 0..255, colour order, and the padding of images below `size_hw`.

    `size_hw` is None where the network sees the image at its own size.
    """

    mean: TripleFloat
    std: TripleFloat
    colour: ColourOrder
    size_hw: tuple[int, int] | None
    fill: TripleFloat

    @property
    def preprocess(self) -> Preprocess:
        """The measured preprocessing as a declaration, without resizing of images that fit."""
        resize = Native() if self.size_hw is None else FitInto(self.size_hw, self.fill)
        return Preprocess(resize, colour=self.colour, mean=self.mean, std=self.std)


def measure(prefix: Prefix, dtype: str, fixed_hw: tuple[int, int] | None) -> Measured:
    """Measure scale, offset and padding with uniform images, then verify them on others.

    `prefix` takes (1, H, W, 3) of `dtype` and gives (1, 3, h, w); `fixed_hw` is the only size it takes, where it
    takes one only.

    Raises:
        BadGraphError: what the prefix does is no normalisation with padding right and below; says what differs.
    """
    height, width = fixed_hw or _PROBE_HW[0]
    black = _run(prefix, np.zeros((height, width, 3), dtype))
    size_hw = None if black.shape[1:] == (height, width) else (black.shape[1], black.shape[2])
    if size_hw is not None and (size_hw[0] < height or size_hw[1] < width):
        raise BadGraphError(f"before its first layer the graph makes {black.shape[1:]} pixels of {height}×{width}.")
    answers = np.empty((3, 3))
    for channel in range(3):
        image = np.zeros((height, width, 3), dtype)
        image[..., channel] = 255
        answers[:, channel] = (_run(prefix, image)[:, 0, 0] - black[:, 0, 0].astype(np.float64)) / 255
    straight, reversed_order = (float(np.abs(np.diag(each)).sum()) for each in (answers, answers[:, ::-1]))
    colour: ColourOrder = "RGB" if straight >= reversed_order else "BGR"
    scale = np.diag(answers if colour == "RGB" else answers[:, ::-1])
    if (scale == 0).any():
        raise BadGraphError("before its first layer the graph does not scale the image's channels one by one.")
    std = 1 / scale
    offset = black[:, 0, 0].astype(np.float64)
    mean = -offset * std
    fill = black[:, -1, -1].astype(np.float64) * std + mean if size_hw else np.zeros(3)
    # A declared fill is a colour, red first; mean and std are in the network's order.
    measured = Measured(_triple(mean), _triple(std), colour, size_hw, _triple(fill if colour == "RGB" else fill[::-1]))
    try:
        declared = measured.preprocess
    except BadConfigError as error:
        raise BadGraphError(
            f"before its first layer the graph does more than (x - mean) / std and padding: {error}"
        ) from None
    _prove(prefix, measured, declared, dtype, fixed_hw)
    return measured


def agrees(measured: Measured, declared: Preprocess) -> str | None:
    """How a declaration differs from the measurement; None if it does not."""
    pairs = {
        "mean": (measured.mean, tuple(value * declared.divisor for value in declared.mean)),
        "std": (measured.std, tuple(value * declared.divisor for value in declared.std)),
    }
    if isinstance(declared.resize, FitInto):
        if declared.resize.size_hw != measured.size_hw:
            return f"declared is a size of {declared.resize.size_hw}, the graph pads to {measured.size_hw}"
        pairs["fill"] = (measured.fill, declared.resize.fill)
    for name, (actual, declared_values) in pairs.items():
        if not np.allclose(actual, declared_values, rtol=1e-4, atol=1e-2):
            return f"declared is a {name} of {declared_values}, the graph has {actual}"
    return (
        None
        if declared.colour == measured.colour
        else f"declared is {declared.colour}, the graph has {measured.colour}"
    )


def _prove(
    prefix: Prefix, measured: Measured, declared: Preprocess, dtype: str, fixed_hw: tuple[int, int] | None
) -> None:
    for seed, (height, width) in enumerate((fixed_hw,) if fixed_hw else _PROBE_HW):
        if measured.size_hw is not None:
            height, width = min(height, measured.size_hw[0]), min(width, measured.size_hw[1])
        image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        expected = _as_declared(image, declared)
        actual = _run(prefix, image.astype(dtype))
        if actual.shape != expected.shape:
            raise BadGraphError(f"before its first layer the graph makes {actual.shape} of {height}×{width} pixels.")
        worst = float(np.abs(actual - expected).max()) / float(np.abs(expected).max())
        if worst > _TOLERANCE:
            raise BadGraphError(
                f"before its first layer the graph does more than (x - mean) / std and padding right and below: it "
                f"differs from that by {worst:.1e} of the largest value."
            )


def _as_declared(image: Bytes, preprocess: Preprocess) -> F32:
    """Prepare an (H, W, 3) image as declared, without resizing."""
    resize = preprocess.resize
    if isinstance(resize, FitInto):
        whole = np.empty((*resize.size_hw, 3), np.float32)
        whole[:] = resize.fill
        whole[: image.shape[0], : image.shape[1]] = image
        if preprocess.colour == "BGR":
            whole = whole[:, :, ::-1]
        mean, std = (np.asarray(values, dtype=np.float32) for values in (preprocess.mean, preprocess.std))
        planes = (whole - mean) / std
        return np.asarray(planes.transpose(2, 0, 1), dtype=np.float32)
    array, _ = prepare(image, replace(preprocess, resize=Native()))
    return np.asarray(array, dtype=np.float32)


def _run(prefix: Prefix, image: npt.NDArray[Any]) -> F32:
    """(H, W, 3) -> (3, h, w).

    Raises:
        BadGraphError: the prefix cannot take it.
    """
    try:
        answer = np.asarray(prefix(image[None]), dtype=np.float32)
    except Exception as error:  # engines raise their own kinds
        raise BadGraphError(
            f"the graph cannot take an image of {image.shape[0]}×{image.shape[1]} ({engine_words.reason(error)})."
        ) from None
    if answer.ndim != 4 or answer.shape[:2] != (1, 3):
        raise BadGraphError(f"before its first layer the graph has {answer.shape}, where (1, 3, h, w) is needed.")
    planes: F32 = answer[0]
    return planes


def _triple(values: npt.NDArray[np.float64]) -> TripleFloat:
    """Round to what float32 arithmetic can determine: 127.49999 is 127.5. Tiny offsets are 0."""
    first, second, third = (float(f"{0.0 if abs(value) < 1e-4 else value:.{_DIGITS}g}") for value in values)
    return first, second, third
