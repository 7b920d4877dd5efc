"""Seven car body types: dimensions, side profiles, and positions of the windows."""

from dataclasses import dataclass

WINDSCREEN = (2, 3)
"""Corners of every profile between which the windscreen lies: its foot and its top."""

REAR_WINDOW = (5, 6)
"""Corners of every profile between which the rear window lies: its top and its foot."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Typical measures of a body type."""

    length_m: float
    height_m: float
    width_m: float
    clearance_m: float
    roof: tuple[tuple[float, float], ...]
    """The side profile: (place along the length from the nose, height), both as fractions"""
    pillars: tuple[float, ...]
    """Places along the length that divide the side glass, as fractions"""
    share: float
    """How often it is drawn; all shares sum to one"""


KINDS: dict[str, Kind] = {
    "saloon": Kind(
        4.7, 1.45, 1.83, 0.17,
        (
            (0, 0.50), (0.04, 0.57), (0.26, 0.67), (0.42, 0.96), (0.54, 1),
            (0.67, 0.96), (0.84, 0.74), (0.97, 0.71), (1, 0.62),
        ),
        (0.50, 0.68), 0.2,
    ),
    "hatchback": Kind(
        4.1, 1.48, 1.76, 0.16,
        (
            (0, 0.50), (0.05, 0.58), (0.24, 0.68), (0.41, 0.96), (0.56, 1),
            (0.84, 0.95), (0.965, 0.68), (0.985, 0.62), (1, 0.5),
        ),
        (0.53, 0.75), 0.16,
    ),
    "estate": Kind(
        4.75, 1.48, 1.83, 0.17,
        (
            (0, 0.50), (0.04, 0.57), (0.25, 0.67), (0.40, 0.96), (0.52, 1),
            (0.89, 0.94), (0.975, 0.69), (0.99, 0.62), (1, 0.5),
        ),
        (0.48, 0.66, 0.82), 0.14,
    ),
    "suv": Kind(
        4.65, 1.72, 1.90, 0.24,
        (
            (0, 0.50), (0.03, 0.60), (0.25, 0.68), (0.38, 0.96), (0.5, 1),
            (0.87, 0.95), (0.97, 0.70), (0.985, 0.62), (1, 0.5),
        ),
        (0.49, 0.70, 0.84), 0.2,
    ),
    "pickup": Kind(
        5.3, 1.80, 1.92, 0.27,
        (
            (0, 0.48), (0.025, 0.60), (0.27, 0.66), (0.37, 0.97), (0.45, 1),
            (0.575, 0.97), (0.61, 0.66), (0.985, 0.64), (1, 0.55),
        ),
        (0.46,), 0.1,
    ),
    "van": Kind(
        4.9, 1.93, 1.92, 0.19,
        (
            (0, 0.40), (0.04, 0.50), (0.16, 0.60), (0.32, 0.96), (0.42, 1),
            (0.94, 0.98), (0.985, 0.66), (0.99, 0.6), (1, 0.45),
        ),
        (0.36, 0.56, 0.78), 0.08,
    ),
    "coupe": Kind(
        4.45, 1.30, 1.84, 0.13,
        (
            (0, 0.46), (0.05, 0.56), (0.31, 0.68), (0.47, 0.96), (0.56, 1),
            (0.67, 0.95), (0.90, 0.73), (0.97, 0.72), (1, 0.6),
        ),
        (0.60,), 0.12,
    ),
}  # fmt: skip
