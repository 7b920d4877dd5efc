"""Reads where a GeoTIFF's pixels lie on the ground, and what its tags have to be in a file of the same place.

After OGC's GeoTIFF standard 1.1 (19-008r4), chapters 7.1 (raster space) and B (tags and keys).
"""

from __future__ import annotations

from pathlib import Path

from densecast.errors import BadConfigError, BadImageError
from densecast.imaging import tiff_tags
from densecast.imaging.tiff_tags import Tags, Values
from densecast.spec.georeference import Georeference

_SCALE, _TIE_POINTS, _TRANSFORMATION, _KEYS, _DOUBLES, _TEXTS = 33550, 33922, 34264, 34735, 34736, 34737
# What a file needs to lie in the same place; GDAL keeps further words of its own in tag 42112.
TAGS = (_SCALE, _TIE_POINTS, _TRANSFORMATION, _KEYS, _DOUBLES, _TEXTS)
_RASTER_TYPE, _GEODETIC, _PROJECTED = 1025, 2048, 3072
_IS_POINT, _USER_DEFINED = 2, 32767
Transform = tuple[float, float, float, float, float, float]


def georeference(path: Path | str) -> Georeference | None:
    """Where a file's pixels lie; None for files that do not say it: no TIFF, or one without the tags.

    Raises:
        BadImageError: missing, or its directory is damaged.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            if not tiff_tags.is_tiff(file.read(4)):
                return None
            return of_tags(tiff_tags.read_tags(file, str(path)))
    except OSError as error:
        raise BadImageError(f"{path}: cannot be read ({error.strerror or error}).") from None


def of_tags(tags: Tags) -> Georeference | None:
    """The georeference of a directory; None without one, or with tie points alone, which no affine map can follow."""
    affine = _affine(tags)
    if affine is None:
        return None
    keys = _keys(tags)
    if keys.get(_RASTER_TYPE) == _IS_POINT:
        a, b, c, d, e, f = affine
        # The tags speak of pixels' centres then.
        affine = (a, b, c - (a + b) / 2, d, e, f - (d + e) / 2)
    code = next((keys[key] for key in (_PROJECTED, _GEODETIC) if key in keys), None)
    crs = f"EPSG:{code}" if code is not None and code not in (0, _USER_DEFINED) else None
    try:
        return Georeference(affine, crs)
    except BadConfigError:
        return None


def kept(tags: Tags) -> dict[int, Values]:
    """The tags that a file of the same size has to have to lie in the same place."""
    return {tag: tags.values[tag] for tag in TAGS if tag in tags.values}


def _affine(tags: Tags) -> Transform | None:
    matrix = tags.numbers(_TRANSFORMATION)
    if len(matrix) == 16:
        a, b, _, c, d, e, _, f = (float(value) for value in matrix[:8])
        return a, b, c, d, e, f
    scale, tie = tags.numbers(_SCALE), tags.numbers(_TIE_POINTS)
    if len(scale) < 2 or len(tie) != 6:
        return None
    column, row, _, x, y, _ = (float(value) for value in tie)
    width, height = float(scale[0]), float(scale[1])
    return width, 0.0, x - column * width, 0.0, -height, y + row * height


def _keys(tags: Tags) -> dict[int, int]:
    """The keys whose values are numbers in the directory itself: four numbers each - key, 0, 1, value."""
    numbers = [int(value) for value in tags.numbers(_KEYS)]
    count = numbers[3] if len(numbers) > 3 else 0
    entries = (numbers[at : at + 4] for at in range(4, min(len(numbers) - 3, 4 + 4 * count), 4))
    return {key: value for key, place, _, value in entries if place == 0}
