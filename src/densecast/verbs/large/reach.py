"""Measures how far a network looks: how far from a tile's edge its outputs still depend on what lies beyond.

Two tiles that show the same pictures, shifted against each other, are compared: where both are far enough from their
edges, their outputs are equal. This includes everything that the graph may hold, and the engine's own rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from densecast.imaging.strips import Pixels
from densecast.verbs.large.network import F32, TileNetwork

# Of the largest output: what rounding in another order leaves, far below the 1e-4 that is promised of float32. The
# first is tried, then the next.
_TOLERANCES = {"float32": (1e-6, 1e-5), "float64": (1e-6, 1e-5), "float16": (1e-4, 2e-3), "bfloat16": (1e-4, 2e-2)}
_TOLERANCES_OF_INTEGERS = (1e-4, 3e-2)
# How far apart neighbouring tiles may be where they meet, as a multiple of the last of these.
AT_SEAMS = 10
_SEEDS = (1, 2)
# Less than this share of what two tiles have in common is no proof that the rest is equal, too.
_LEAST_CLEAN = 0.1


@dataclass(frozen=True, slots=True)
class Reach:
    """`px` is how far the network looks, None if further than could be measured: then `why` says what was seen."""

    px: int | None
    why: str = ""


def tolerances(compute: str) -> tuple[float, ...]:
    """How far equal outputs may be apart, as a share of the largest, in an engine's number type: strict, and loose."""
    return _TOLERANCES.get(compute, _TOLERANCES_OF_INTEGERS)


def measure(network: TileNetwork) -> Reach:
    """How far the network looks, of the larger of both directions."""
    found = []
    for axis in (0, 1):
        reach = _along(network, axis)
        if reach is None:
            return Reach(
                None,
                f"its outputs depend on what lies further than {_most_px(network, axis)} pixels away: a layer sees the "
                "whole tile (global pooling or attention), or tiles are too small for it",
            )
        found.append(reach)
    return Reach(max(found))


def _most_px(network: TileNetwork, axis: int) -> int:
    """The longest reach that can be measured along an axis."""
    side = network.sides[axis]
    return (side.tile_px - min(_shifts(side.tile_px, side.align_px), default=side.tile_px)) // 2


def _shifts(tile_px: int, align_px: int) -> list[int]:
    """The shifts that are tried: half a tile, and a quarter, which leaves more in common."""
    return [shift for part in (2, 4) if (shift := tile_px // part // align_px * align_px)]


def _along(network: TileNetwork, axis: int) -> int | None:
    side, cell = network.sides[axis], network.cell_px
    profiles = {
        shift: np.max([_profile(network, axis, shift, seed) for seed in _SEEDS], axis=0)
        for shift in _shifts(side.tile_px, side.align_px)
    }
    for limit in tolerances(network.compute):
        for profile in profiles.values():
            begin, end = _longest_run(profile <= limit)
            if end - begin >= max(1, round(_LEAST_CLEAN * len(profile))):
                return max(begin, len(profile) - end) * cell
    return None


def _profile(network: TileNetwork, axis: int, shift: int, seed: int) -> npt.NDArray[np.float64]:
    """By cell of what two tiles have in common: their largest difference, as a share of the largest output."""
    height, width = network.tile_hw
    size_hw = (height + shift, width) if axis == 0 else (height, width + shift)
    picture = _ranged(_picture(size_hw, network.bands, seed), network)
    first = network.raw(picture[:height, :width], (height, width))
    second = network.raw(picture[shift:] if axis == 0 else picture[:, shift:], (height, width))
    cells = shift // network.cell_px
    one: F32 = first[:, cells:] if axis == 0 else first[:, :, cells:]
    other: F32 = second[:, : one.shape[1]] if axis == 0 else second[:, :, : one.shape[2]]
    apart = np.abs(one.astype(np.float64) - other).max(axis=(0, 2 - axis))
    largest = max(float(np.abs(first).max()), float(np.abs(second).max()), np.finfo(np.float32).tiny)
    return np.asarray(apart / largest)


def _longest_run(clean: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """Begin and end of the longest run of cells that are equal in both tiles."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], clean, [False]]).astype(np.int8)))
    runs = edges.reshape(-1, 2)
    if not len(runs):
        return 0, 0
    begin, end = runs[np.argmax(runs[:, 1] - runs[:, 0])]
    return int(begin), int(end)


def _picture(size_hw: tuple[int, int], bands: int, seed: int) -> Pixels:
    """Patches of all sizes with noise, darker to the left and above, so that means differ everywhere."""
    import cv2

    rng = np.random.default_rng(seed)
    height, width = size_hw
    picture = np.zeros((height, width, bands))
    for patch in (256, 64, 16):
        grid = rng.uniform(0, 1, (height // patch + 2, width // patch + 2, bands))
        picture += np.atleast_3d(cv2.resize(grid, (width, height))).reshape(height, width, bands) * 70
    y, x = np.mgrid[:height, :width]
    slope = (y / height + x / width)[:, :, None] * 60 - 30
    noisy = picture + slope + rng.normal(0, 15, picture.shape)
    return np.asarray(np.clip(noisy, 0, 255), np.uint8)


def _ranged(picture: Pixels, network: TileNetwork) -> Pixels:
    """The same in the values of the model's pictures."""
    if network.rule.value_range is None:
        return picture
    low, high = network.rule.value_range
    return np.asarray(picture * ((high - low) / 255) + low, np.float32)
