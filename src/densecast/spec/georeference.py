"""Where a raster lies on the ground: from pixels to the coordinates of a reference system."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from densecast.errors import BadConfigError

_EPSG = re.compile(r"EPSG:(\d+)", re.IGNORECASE)
# Longitude and latitude on WGS 84 in this order, which is what GeoJSON means unless it says otherwise.
_WGS84 = {"EPSG:4326", "OGC:CRS84"}


@dataclass(frozen=True, slots=True)
class Georeference:
    """Where a raster lies on the ground.

    `transform` is (a, b, c, d, e, f) in the order of rasterio and `affine`: x = a·column + b·row + c and
    y = d·column + e·row + f, where the first pixel spans columns and rows 0 to 1. `crs` names the reference system, as
    "EPSG:32632" or by its WKT; None if it is not known.
    """

    transform: tuple[float, float, float, float, float, float]
    crs: str | None = None

    def __post_init__(self) -> None:
        """Check that the transform is one.

        Raises:
            BadConfigError: not six finite numbers, or pixels without an area.
        """
        numbers = tuple(self.transform)
        if len(numbers) == 9:  # an `affine.Affine` is a tuple of three rows
            numbers = numbers[:6]
        if len(numbers) != 6 or not all(math.isfinite(number) for number in numbers):
            raise BadConfigError(
                f"a georeference's transform is six finite numbers (a, b, c, d, e, f), got {self.transform}.",
                field="transform",
            )
        a, b, _, d, e, _ = numbers
        if a * e == b * d:
            raise BadConfigError(f"a georeference's pixels need an area, got {self.transform}.", field="transform")
        object.__setattr__(self, "transform", tuple(float(number) for number in numbers))

    @classmethod
    def from_gdal(cls, numbers: tuple[float, ...], crs: str | None = None) -> Georeference:
        """From a GDAL geotransform (c, a, b, f, d, e)."""
        c, a, b, f, d, e = numbers
        return cls((a, b, c, d, e, f), crs)

    @property
    def pixel_area(self) -> float:
        """The area of a pixel in square units of the reference system."""
        a, b, _, d, e, _ = self.transform
        return abs(a * e - b * d)

    @property
    def is_lon_lat(self) -> bool:
        """Whether coordinates are longitude and latitude on WGS 84, as GeoJSON's are by its standard."""
        return self.crs is not None and self.crs.upper() in _WGS84

    @property
    def crs_urn(self) -> str | None:
        """The reference system's name as `urn:ogc:def:crs:EPSG::32632`, where it has an EPSG number; else as it is."""
        found = _EPSG.fullmatch(self.crs or "")
        return f"urn:ogc:def:crs:EPSG::{found[1]}" if found else self.crs

    def shifted(self, left: float, top: float) -> Georeference:
        """That of a part of the raster whose first pixel is at column `left` and row `top`."""
        a, b, c, d, e, f = self.transform
        return Georeference((a, b, a * left + b * top + c, d, e, d * left + e * top + f), self.crs)
