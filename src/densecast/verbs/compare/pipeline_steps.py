"""Detects differences in the steps around the network: decoding, resizing, colour order, normalisation."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from densecast.results.compare import PipelineStep
from densecast.spec.model import ModelSpec

F32 = npt.NDArray[np.float32]

# Inputs of one preprocessing agree to float32's last bits; one step of a pixel's 255 is a hundred times this.
_SAME = 1e-4
# A linear function explains one channel by another where it leaves less of its spread than this.
_EXPLAINED = 0.02
# A line this near to y = x (slope, and offset in spreads) is what another interpolation leaves, not another scale.
_RESCALED = 0.01
# Below, two images do not show the same thing in the same place.
_ALIKE = 0.9


@dataclass(frozen=True, slots=True)
class StepFault:
    """The step that differs, with the evidence."""

    step: PipelineStep
    symptom: str


def compare_inputs(reference: F32, candidate: F32) -> StepFault | None:
    """Two network inputs (3, h, w) of one image -> what differs, inferred from the values alone."""
    if reference.shape != candidate.shape:
        sizes = " and ".join("×".join(map(str, array.shape[1:])) for array in (reference, candidate))
        if reference.shape[1:] == candidate.shape[:0:-1] and reference.shape[1] != reference.shape[2]:
            return StepFault("decode", f"the images are {sizes}: one is not rotated by its orientation tag")
        return StepFault("resize", f"the images are {sizes} for the networks")
    scale = float(np.abs(reference).max()) or 1.0
    if float(np.abs(candidate - reference).max()) <= _SAME * scale:
        return None
    order, fits = min(
        ((order, [_line(reference[one], candidate[place]) for place, one in enumerate(order)])
         for order in itertools.permutations(range(3))),
        # Of orders that explain the values equally well, the plainest.
        key=lambda choice: (round(sum(fit[2] for fit in choice[1]), 3), choice[0]),
    )  # fmt: skip
    unexplained = max(fit[2] for fit in fits)
    if unexplained < _EXPLAINED and order != (0, 1, 2):
        return StepFault("colour order", f"the candidate's channels are the reference's {list(order)}")
    spread = float(reference.std()) or 1.0
    if unexplained < _EXPLAINED and max(abs(slope - 1) + abs(offset) / spread for slope, offset, _ in fits) > _RESCALED:
        lines = ", ".join(f"{slope:.4g}·x {offset:+.4g}" for slope, offset, _ in fits)
        return StepFault("normalise", f"the candidate's channels are {lines} of the reference's: mean or deviation")
    straight = [_line(reference[place], candidate[place])[2] for place in range(3)]
    if 1 - max(straight) ** 2 < _ALIKE**2:
        for name, flipped in (
            ("mirrored", candidate[:, :, ::-1]),
            ("upside down", candidate[:, ::-1]),
            ("rotated by 180°", candidate[:, ::-1, ::-1]),
        ):
            if max(_line(reference[place], flipped[place])[2] for place in range(3)) < min(straight) / 2:
                return StepFault("decode", f"the candidate's image is {name}: the orientation tag")
    return StepFault(
        "resize", f"the same image, but {max(straight):.0%} of its spread differ: interpolation, alignment or place"
    )


def spec_differences(reference: ModelSpec, candidate: ModelSpec, part: Literal["preprocess", "decode"]) -> str:
    """The declared options that differ, as `colour: RGB / BGR`."""
    left, right = getattr(reference, part), getattr(candidate, part)
    both = {field.name for field in dataclasses.fields(right)}
    names = [field.name for field in dataclasses.fields(left) if field.name in both]
    pairs = [(name, getattr(left, name), getattr(right, name)) for name in names]
    return "; ".join(f"{name}: {one} / {other}" for name, one, other in pairs if one != other)


def _line(x: F32, y: F32) -> tuple[float, float, float]:
    """Slope and offset of the line fitted to (x, y), and the share of y's spread that it leaves unexplained."""
    x_mean, y_mean = float(x.mean()), float(y.mean())
    left, right = x.astype(np.float64) - x_mean, y.astype(np.float64) - y_mean
    across, spread = float((left * left).sum()), float((right * right).sum())
    if across == 0 or spread == 0:
        return 1.0, y_mean - x_mean, 0.0 if across == spread else 1.0
    slope = float((left * right).sum()) / across
    rest = right - slope * left
    return slope, y_mean - slope * x_mean, float((rest * rest).sum() / spread) ** 0.5
