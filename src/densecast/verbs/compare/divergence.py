"""Classifies how two tensors diverge, as a first guess at the cause."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]

# A simple explanation holds where it leaves less than this share of the difference.
_LEFT_OVER = 0.1
# A map's outermost share on each side is its border.
_BORDER = 0.15
_MOST_PIXELS = 4096
_MOST_CHANNELS = 512


def describe(reference: F32, candidate: F32) -> str:
    """One clause on how `candidate` differs from `reference`, both (N, C, h, w) or of any one shape."""
    if not np.isfinite(candidate).all():
        share = 1 - np.isfinite(candidate).mean()
        return f"{share:.1%} of the values are not finite: too large for the number format"
    if reference.ndim != 4:
        return "the values differ"
    apart = candidate - reference
    total = float(np.vdot(apart, apart))
    for clause in (
        _rectified(reference, candidate, total),
        _dead(reference, candidate, total),
        _capped(reference, candidate, total),
        _permuted(reference, candidate),
        _offset(apart, total),
        _moved(reference, candidate, total),
        _scaled(reference, candidate, total),
        _at_border(apart, total),
    ):
        if clause:
            return clause
    return "the values differ all over the map"


def _rectified(reference: F32, candidate: F32, total: float) -> str:
    """Whether one of them lacks only the negative values."""
    for one, other, which in ((reference, candidate, "candidate"), (candidate, reference, "reference")):
        if float(one.min()) >= 0 > float(other.min()) and _energy(np.maximum(other, 0) - one) < _LEFT_OVER * total:
            return f"the {which} keeps values below 0, the other does not: an activation (ReLU)"
    return ""


def _dead(reference: F32, candidate: F32, total: float) -> str:
    """Whether channels that vary in the reference are constant, and the others are correct."""
    lost = (np.ptp(candidate, axis=(0, 2, 3)) < 1e-3 * np.ptp(reference, axis=(0, 2, 3))) & (
        np.ptp(reference, axis=(0, 2, 3)) > 0
    )
    if lost.any() and _energy((candidate - reference)[:, ~lost]) < _LEFT_OVER * total:
        return f"{int(lost.sum())} of {len(lost)} channels (first: {int(lost.argmax())}) are constant: weights are gone"
    return ""


def _capped(reference: F32, candidate: F32, total: float) -> str:
    """Whether the candidate is the reference, clipped at the candidate's extremes."""
    low, high = float(candidate.min()), float(candidate.max())
    cut = np.clip(reference, low, high) - candidate
    narrower = high < 0.9 * float(reference.max()) or low > 0.9 * float(reference.min())
    if narrower and float(np.vdot(cut, cut)) < 0.5 * total:
        return (
            f"the values are cut off at {low:.3g} to {high:.3g}, where the reference has "
            f"{float(reference.min()):.3g} to {float(reference.max()):.3g}: the range saturates"
        )
    return ""


def _permuted(reference: F32, candidate: F32) -> str:
    """Whether the channels are the same in another order."""
    channels = reference.shape[1]
    if not 1 < channels <= _MOST_CHANNELS:
        return ""
    left, right = _sampled(reference), _sampled(candidate)
    squares = (left**2).sum(axis=1)
    distances = squares[:, None] + (right**2).sum(axis=1)[None] - 2 * left @ right.T
    alive = squares > 1e-6 * squares.max(initial=0.0)  # dead channels are all alike
    nearest = distances.argmin(axis=0)
    close = distances.min(axis=0) <= 1e-2 * np.maximum(squares[nearest], 1e-30)
    own = np.arange(channels)
    moved = (nearest != own) & alive[nearest] & close & (distances[own, own] > 2 * distances.min(axis=0))
    explained = close | ~alive[own]
    if moved.sum() >= 2 and explained.mean() > 1 - _LEFT_OVER:
        return f"{int(moved.sum())} of {channels} channels are other ones: the order differs"
    return ""


def _offset(apart: F32, total: float) -> str:
    """Whether each channel is off by a constant."""
    means = apart.mean(axis=(0, 2, 3), keepdims=True)
    rest = apart - means
    if float(np.vdot(rest, rest)) < _LEFT_OVER * total:
        count = int((np.abs(means) > 1e-2 * np.abs(means).max()).sum())
        return f"{count} of {apart.shape[1]} channels are off by a constant: the bias differs"
    return ""


def _scaled(reference: F32, candidate: F32, total: float) -> str:
    """Whether each channel is a linear function of the reference's."""
    x = reference - reference.mean(axis=(0, 2, 3), keepdims=True)
    y = candidate - candidate.mean(axis=(0, 2, 3), keepdims=True)
    slope = (x * y).sum(axis=(0, 2, 3), keepdims=True) / np.maximum((x * x).sum(axis=(0, 2, 3), keepdims=True), 1e-30)
    rest = y - slope * x
    if float(np.vdot(rest, rest)) < _LEFT_OVER * total:
        low, high = float(slope.min()), float(slope.max())
        return f"the channels are scaled by {low:.4g} to {high:.4g}: the scale or the normalisation differs"
    return ""


def _moved(reference: F32, candidate: F32, total: float) -> str:
    """Whether the map is the reference's, shifted by up to one pixel in steps of a half."""
    height, width = reference.shape[2:]
    if min(height, width) < 8:
        return ""
    inner = candidate[:, :, 2:-2, 2:-2]
    best, at = 0.3 * _energy(inner - reference[:, :, 2:-2, 2:-2]), (0.0, 0.0)
    for dy in (-1, -0.5, 0, 0.5, 1):
        for dx in (-1, -0.5, 0, 0.5, 1):
            if (dy, dx) != (0, 0):
                left = _energy(inner - _shifted(reference, dy, dx)[:, :, 2:-2, 2:-2])
                if left < best:
                    best, at = left, (dy, dx)
    return f"the map is moved by ({at[0]:g}, {at[1]:g}) pixels down and right" if at != (0.0, 0.0) else ""


def _at_border(apart: F32, total: float) -> str:
    """Whether the maps differ only at the border."""
    height, width = apart.shape[2:]
    top, left = max(1, round(height * _BORDER)), max(1, round(width * _BORDER))
    inside = apart[:, :, top:-top, left:-left]
    if inside.size and _energy(inside) < _LEFT_OVER * total:
        return "only the border differs: the padding"
    return ""


def _shifted(array: F32, dy: float, dx: float) -> F32:
    """The map shifted down and right; half a pixel is the mean of two neighbours. Its border is undefined."""
    for axis, step in ((2, dy), (3, dx)):
        low, high = int(np.floor(step)), int(np.ceil(step))
        array = np.asarray((np.roll(array, low, axis) + np.roll(array, high, axis)) / 2, dtype=np.float32)
    return array


def _sampled(array: F32) -> F32:
    """A (C, n) sample of the pixels."""
    flat = np.moveaxis(array, 1, 0).reshape(array.shape[1], -1)
    return flat[:, :: max(1, flat.shape[1] // _MOST_PIXELS)]


def _energy(array: F32) -> float:
    return float((array.astype(np.float64) ** 2).sum())
