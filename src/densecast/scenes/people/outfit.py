"""Clothing, skin and hair: colours and patterns."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from densecast.scenes.mesh import Array
from densecast.scenes.noise import fractal
from densecast.scenes.people.depth_canvas import LimbPaint

Pattern = Literal["plain", "hoops", "stripes", "checks", "blotches"]
_TILE = 64
_TILE_PER_METRE = 110.0


@dataclass(frozen=True, slots=True)
class Cloth:
    """A surface. Colours are linear RGB, (3,)."""

    colour: Array
    other: Array
    pattern: Pattern
    pitch_m: float
    creases: Array
    """(64, 64) around 1: a tile of lighter and darker cloth"""
    front: Array | None = None
    """Colour of a strip down the front: a zip, a row of buttons, an open jacket"""
    front_rad: float = 0.0
    """Half the strip's width"""


@dataclass(frozen=True, slots=True)
class Outfit:
    """One person's looks."""

    skin: Cloth
    hair: Array
    """(3,) linear RGB"""
    hair_style: Literal["none", "short", "long", "bun", "cap"]
    cap: Array
    beard: bool
    glasses: bool
    top: Cloth
    sleeve: float
    """What it covers of the arm: 0 nothing, 0.5 to the elbow, 1 to the wrist"""
    bottom: Cloth
    leg: float
    """What it covers of the leg: 0.4 shorts, 1 trousers"""
    skirt: bool
    long_top: bool
    shoes: Cloth
    loose: float
    """Girth of the clothes, as a factor of the body's"""


def sample_outfit(rng: np.random.Generator) -> Outfit:
    """Random looks; tops, bottoms and shoes are chosen independently."""
    creases = (0.72 + 0.56 * fractal(rng, (_TILE, _TILE), (4, 4), 3, gain=0.7)).astype(np.float32)
    smooth = (0.94 + 0.12 * (creases - 0.72)).astype(np.float32)
    tone = rng.random()
    skin = np.array([0.66, 0.42, 0.31]) * (1 - tone) ** 1.3 + np.array([0.085, 0.042, 0.026]) * tone
    hair = _hair(rng)
    top = _cloth(rng, creases)
    bottom = _cloth(rng, creases, plain=0.8, dark=0.5)
    styles: tuple[Literal["none", "short", "long", "bun", "cap"], ...] = ("none", "short", "long", "bun", "cap")
    skirt = bool(rng.random() < 0.13)
    return Outfit(
        skin=Cloth(_vector(skin * rng.uniform(0.85, 1.15, 3)), _vector(skin), "plain", 1.0, smooth),
        hair=hair,
        hair_style=styles[int(rng.choice(5, p=(0.07, 0.48, 0.24, 0.08, 0.13)))],
        cap=_vector(rng.uniform(0.02, 0.7, 3)),
        beard=bool(rng.random() < 0.15),
        glasses=bool(rng.random() < 0.15),
        top=top,
        sleeve=float(rng.choice([0.0, 0.45, 0.9, 1.0], p=(0.1, 0.42, 0.08, 0.4))),
        bottom=bottom,
        leg=0.35 if skirt else float(rng.choice([0.35, 0.45, 1.0], p=(0.1, 0.2, 0.7))),
        skirt=skirt,
        long_top=bool(rng.random() < 0.12),
        shoes=_cloth(rng, smooth, plain=1.0, dark=0.6),
        loose=float(rng.uniform(1.02, 1.22)),
    )


def limb_paint(cloth: Cloth, below: Cloth | None = None, from_m: float = 0.0) -> LimbPaint:
    """Paints a limb with a cloth, and what is beyond `from_m` along it with the one `below`."""

    def paint(along_m: Array, around_rad: Array) -> Array:
        colour = _coloured(cloth, along_m, around_rad)
        if below is not None:
            bare = along_m > from_m
            colour[bare] = _coloured(below, along_m[bare], around_rad[bare])
        return colour

    return paint


def _coloured(cloth: Cloth, along_m: Array, around_rad: Array) -> Array:
    # A body's girth is some 0.12 m per radian: fine for patterns.
    across_m = around_rad * np.float32(0.12)
    row = (along_m * np.float32(_TILE_PER_METRE)).astype(np.int32) % _TILE
    column = (across_m * np.float32(_TILE_PER_METRE) + 8 * _TILE).astype(np.int32) % _TILE
    crease = cloth.creases[row, column]
    colour = np.broadcast_to(cloth.colour, (len(along_m), 3)).copy()
    if cloth.pattern != "plain":
        down, side = (np.floor(m * np.float32(2 / cloth.pitch_m)).astype(np.int32) % 2 for m in (along_m, across_m))
        second = {
            "hoops": down == 0,
            "stripes": side == 0,
            "checks": down == side,
            "blotches": cloth.creases[column, row] > 1.0,
        }[cloth.pattern]
        colour[second] = cloth.other
    if cloth.front is not None:
        colour[np.abs(around_rad) < cloth.front_rad] = cloth.front
    colour *= crease[:, None]
    return colour


def _cloth(rng: np.random.Generator, creases: Array, plain: float = 0.55, dark: float = 0.25) -> Cloth:
    def dye() -> Array:
        if rng.random() < dark:
            return _vector(rng.uniform(0.01, 0.09) * rng.uniform(0.6, 1.4, 3))
        if rng.random() < 0.3:
            return _vector(rng.uniform(0.2, 0.85) * rng.uniform(0.92, 1.08, 3))
        colour = rng.uniform(0.02, 0.75, 3)
        return _vector(colour * rng.uniform(0.4, 1.0))

    patterns: tuple[Pattern, ...] = ("hoops", "stripes", "checks", "blotches")
    pattern: Pattern = "plain" if rng.random() < plain else patterns[int(rng.integers(4))]
    front = dye() if rng.random() < 0.25 else None
    pitch, strip = float(rng.uniform(0.04, 0.16)), float(rng.uniform(0.05, 0.4))
    return Cloth(dye(), dye(), pattern, pitch, creases, front, strip)


def _hair(rng: np.random.Generator) -> Array:
    shades = ((0.012, 0.009, 0.008), (0.05, 0.025, 0.012), (0.14, 0.07, 0.03), (0.45, 0.3, 0.13), (0.4, 0.4, 0.4))
    shade = shades[int(rng.choice(5, p=(0.32, 0.28, 0.17, 0.14, 0.09)))]
    return _vector(np.array(shade) * rng.uniform(0.7, 1.3))


def _vector(values: npt.NDArray[np.float64]) -> Array:
    return np.clip(values, 0, 1).astype(np.float32)
