"""Regions as GeoJSON (RFC 7946), in a raster's reference system or in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from densecast.imaging.outlines import Ring, polygons, signed_area
from densecast.spec.georeference import Georeference

if TYPE_CHECKING:
    from densecast.tasks._regions import Region

_PIXELS = Georeference((1, 0, 0, 0, 1, 0))


def collection(regions: Sequence[Region], georeference: Georeference | None) -> dict[str, Any]:
    """A FeatureCollection with one polygon for each group of pixels of one class.

    Exteriors turn counterclockwise and holes clockwise in their coordinates (RFC 7946, 3.1.6). `crs` is a member of
    GeoJSON's first edition (2008): without it, coordinates are longitude and latitude on WGS 84.
    """
    place = georeference or _PIXELS
    features = []
    for region in regions:
        for polygon in polygons(region.mask):
            rings = [_ring(polygon.exterior, place, outer=True)]
            rings += [_ring(hole, place, outer=False) for hole in polygon.holes]
            features.append(
                {
                    "type": "Feature",
                    "geometry": {"type": "Polygon", "coordinates": rings},
                    "properties": {"class_id": region.class_id, "class": region.name, "area_px": round(polygon.area)}
                    | ({} if georeference is None else {"area": polygon.area * georeference.pixel_area}),
                }
            )
    found: dict[str, Any] = {"type": "FeatureCollection"}
    if georeference is None:
        found["coordinates"] = "columns and rows of pixels, from the upper left corner"
    elif georeference.crs is None:
        found["coordinates"] = "a reference system that was not named"
    elif not georeference.is_lon_lat:
        found["crs"] = {"type": "name", "properties": {"name": georeference.crs_urn}}
    return found | {"features": features}


def _ring(ring: Ring, place: Georeference, *, outer: bool) -> list[list[float]]:
    a, b, c, d, e, f = place.transform
    x, y = ring[:, 0], ring[:, 1]
    points = np.stack([a * x + b * y + c, d * x + e * y + f], axis=1)
    # About the first point, so that large coordinates do not cancel the area.
    if (signed_area(points - points[0]) > 0) != outer:
        points = points[::-1]
    return [*points.tolist(), points[0].tolist()]
