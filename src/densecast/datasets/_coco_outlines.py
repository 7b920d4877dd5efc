"""Tells in which frame outlines are drawn: that of the annotated size, or the one that is turned by the EXIF tag.

Tools that show photographs upright and store the stored width and height write polygons that reach beyond that size.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from densecast.datasets._coco_annotations import ImageEntry

# Outlines at the border are rounded outwards.
_MARGIN_PX = 1.5

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
