"""Finds the multiple of sizes at which a network's patches cover the whole image, where they leave a rest at others.

A transformer with patches of 14 pixels takes an image of 512 and answers for 504 of them: stretched to the image, its
map would lie beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from densecast.spec.model import ModelSpec
from densecast.spec.tensor import Dim, Feeds
from densecast.verbs.export import heads, output_form, outputs

_PATCHES = (14, 28, 56, 7, 12, 24, 48, 10, 20, 40)
# None of the sides is a multiple of a patch above, and both halve evenly.
EVEN_HW = (160, 256)
# About this long are the sides at which multiples are tried.
_SIDE = 72


@dataclass(frozen=True, slots=True)
class Patch:
    """The multiple that height and width must be of, what to say of it, and a height and width that work."""

    multiple: int
    why: str
    size_hw: tuple[int, int]


def find(spec: ModelSpec, run: Callable[[Feeds], Feeds]) -> Patch | None:
    """The multiple of patches; None where the network covers images of any size, or nothing is found.

    `spec` has open sizes that are multiples of nothing.
    """
    batch, channels, height, width = spec.input.shape
    if not (isinstance(height, Dim) and isinstance(width, Dim) and isinstance(channels, int)):
        return None
    images = batch if isinstance(batch, int) else batch.min

    def finest_at(size_hw: tuple[int, int]) -> tuple[int, int] | None:
        """Height and width of the map with most pixels; None where it fails, or gives none."""
        if not (height.admits(size_hw[0]) and width.admits(size_hw[1])):
            return None
        results = outputs.answered(run, outputs.trial_feeds(spec, (images, channels, *size_hw), 0)) or {}
        sizes = [(each.shape[-2], each.shape[-1]) for each in results.values() if each.ndim in (3, 4)]
        maps = [each for each in sizes if output_form.has_aspect(each, size_hw)]
        return max(maps, key=lambda each: each[0] * each[1], default=None)

    found = finest_at(EVEN_HW)
    if found is None or not any(heads.lacks_border(*pair) for pair in zip(EVEN_HW, found, strict=True)):
        return None
    for patch in _PATCHES:
        # Odd times: sides that twice the patch divides as well would not tell the two apart.
        times = -(-max(_SIDE, height.min, width.min) // patch) | 1
        sides = (times * patch, (times + 2) * patch)
        own = finest_at(sides)
        if own == found and any(side < each for side, each in zip(sides, own, strict=True)):
            return None  # the network brings its image to a size of its own, and covers all of it
        # A convolution without padding may give a divisor of some sizes by chance.
        others = ((times + 1) * patch, (times + 3) * patch)
        if _is_covered(sides, own) and _is_covered(others, finest_at(others)):
            return Patch(patch, f"of an image of {EVEN_HW[0]}×{EVEN_HW[1]} it covers {found[0]}×{found[1]}", sides)
    return None


def _is_covered(size_hw: tuple[int, int], map_hw: tuple[int, int] | None) -> bool:
    """Whether a map's cells make up an image of that size."""
    return map_hw is not None and all(side % each == 0 for side, each in zip(size_hw, map_hw, strict=True))
