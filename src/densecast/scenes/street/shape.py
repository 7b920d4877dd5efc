"""Primitives of a street: flat shapes and strokes in world metres, and the objects that own them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from densecast.scenes.mesh import Array
from densecast.scenes.street.classes import Kind

Colour = tuple[float, float, float]
"""Display RGB, 0..1"""


@dataclass(frozen=True, slots=True)
class Shape:
    """Polygons or, with a diameter, polylines of one colour and one class."""

    points: Array
    """(n, 3) world metres, or (m, n, 3) for m that do not overlap each other"""
    colour: Colour
    kind: Kind
    diameter_m: float = 0.0
    """0 fills polygons; anything else draws round bars through the points"""


@dataclass(frozen=True, slots=True)
class Footprint:
    """The rectangle of road coordinates that a thing covers: `across` from the camera's path, `along` it, metres."""

    across: tuple[float, float]
    along: tuple[float, float]

    def grown(self, margin_m: float) -> "Footprint":
        """The same with a margin on all sides."""
        (left, right), (near, far) = self.across, self.along
        return Footprint((left - margin_m, right + margin_m), (near - margin_m, far + margin_m))

    def meets(self, other: "Footprint") -> bool:
        """Whether the two share ground."""
        return (
            self.across[0] < other.across[1]
            and other.across[0] < self.across[1]
            and self.along[0] < other.along[1]
            and other.along[0] < self.along[1]
        )


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that stands on the street; its shapes come in painting order."""

    footprint: Footprint
    height_m: float
    """How tall the part is that casts a shadow"""
    shapes: Sequence[Shape]


def filled(points: npt.ArrayLike, colour: npt.ArrayLike, kind: Kind) -> Shape:
    """A polygon (n, 3), or several (m, n, 3)."""
    return Shape(np.asarray(points, dtype=np.float32), _colour(colour), kind)


def bar(points: npt.ArrayLike, diameter_m: float, colour: npt.ArrayLike, kind: Kind) -> Shape:
    """A round bar through the points (n, 3), or several (m, n, 3)."""
    return Shape(np.asarray(points, dtype=np.float32), _colour(colour), kind, diameter_m)


def dot(point: npt.ArrayLike, diameter_m: float, colour: npt.ArrayLike, kind: Kind) -> Shape:
    """A ball at a point (3,)."""
    centre = np.asarray(point, dtype=np.float32)
    return Shape(np.stack([centre, centre]), _colour(colour), kind, diameter_m)


def shaded(colour: npt.ArrayLike, gain: float) -> Colour:
    """The colour under more or less light, kept within 0..1."""
    red, green, blue = _colour(colour)
    return min(red * gain, 1.0), min(green * gain, 1.0), min(blue * gain, 1.0)


def _colour(value: npt.ArrayLike) -> Colour:
    red, green, blue = np.asarray(value, dtype=np.float64).tolist()
    return red, green, blue
