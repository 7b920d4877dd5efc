"""Tells in which frame outlines are drawn: that of the annotated size, or the one that is turned by the EXIF tag.

Tools that show photographs upright and store the stored width and height write polygons that reach beyond that size.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from densecast.datasets._coco_annotations import ImageEntry
from densecast.errors import BadDatasetError

# Outlines at the border are rounded outwards.
_MARGIN_PX = 1.5

# Tools let outlines reach a little beyond a picture; what reaches further was drawn on one of another size.
_BEYOND_SHARE, _BEYOND_PX = 0.1, 3.0

# Width and height that outlines reach.
Reach = tuple[float, float]


def reach_of(annotations: Iterable[dict[str, Any]]) -> Reach:
    """The largest x and y of all polygons; run lengths have a size of their own and say nothing."""
    polygons = [
        polygon
        for entry in annotations
        if isinstance(entry.get("segmentation"), list)
        for polygon in entry["segmentation"]
    ]
    right = max((max(polygon[::2]) for polygon in polygons), default=0.0)
    bottom = max((max(polygon[1::2]) for polygon in polygons), default=0.0)
    return float(right), float(bottom)


def is_turned(image: ImageEntry, annotations: Iterable[dict[str, Any]]) -> bool | None:
    """Whether outlines fit the annotated size turned by a quarter and not itself; None where both or neither fit."""
    sizes = {
        (tuple(entry["segmentation"]["size"])) for entry in annotations if isinstance(entry.get("segmentation"), dict)
    }
    height, width = image.size_hw
    if height == width:
        return None
    if len(sizes) == 1 and (size := sizes.pop()) in ((height, width), (width, height)):
        return bool(size == (width, height))
    right, bottom = reach_of(annotations)
    fits = right <= width + _MARGIN_PX and bottom <= height + _MARGIN_PX
    fits_turned = right <= height + _MARGIN_PX and bottom <= width + _MARGIN_PX
    return None if fits == fits_turned else fits_turned


def require_inside(entry: dict[str, Any], size_hw: tuple[int, int]) -> None:
    """Require that an annotation's polygons lie in the picture, give or take what tools round.

    Raises:
        BadDatasetError: they reach far beyond it; says how far.
    """
    right, bottom = reach_of([entry])
    height, width = size_hw
    for reach, side, name in ((right, width, "x"), (bottom, height, "y")):
        if reach > side * (1 + _BEYOND_SHARE) + _BEYOND_PX:
            raise BadDatasetError(
                f"its outline reaches {name} = {reach:g} in a picture of {width}×{height}: it was drawn on one of "
                "another size"
            )
