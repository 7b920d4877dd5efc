"""Reads what each pixel of a mask file says: an index, a grey value, or the class that has its colour.

Mask files of every mode that tools write are read: one bit, grey of 8, 16 and 32 bits, palettes, RGB with or without
transparency, in any image format, and numpy's arrays. A palette whose colours say something else than its indices is
read by colour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from densecast.datasets import _mask_arrays, _unusual_masks
from densecast.errors import BadImageError
from densecast.imaging import read
from densecast.spec.model import Rgb

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

# (H, W) of whole numbers, of any width.
Values = npt.NDArray[Any]

_UNKNOWN = -1
# Of so many pixels in a model's own colours, the others are edges.
_MOSTLY = 0.5
_HOW_COLOURS = (
    "say which colour is which class: --colours labelmap.txt (lines `name:r,g,b`), or `colours` in a data file"
)


@dataclass(frozen=True, slots=True)
class MaskColours:
    """What colours mean. `declared` is a table that the user gave: value by colour.

    `known` are the palettes that files may hold in another order, the likeliest first: colours by value. `classes` is
    the number of classes, where it is known. With `nearest`, smoothed edges are brought to the nearest colour.
    """

    declared: Mapping[Rgb, int] = field(default_factory=dict)
    known: tuple[tuple[Rgb, ...], ...] = ()
    classes: int | None = None
    nearest: bool = False


def read_values(path: Path, colours: MaskColours = MaskColours()) -> tuple[Values, str]:
    """Read a mask as (H, W) whole numbers, and how they were found: `values`, `indices` or `colours`.

    Pixels lie as they are stored, whatever orientation tag the file has.

    Raises:
        BadImageError: not a readable image; colours without a table, or not in it; or values that are no whole numbers.
    """
    if _mask_arrays.is_array(path):
        return _of_array(path, colours)
    with _unusual_masks.decoded(path) as (image, facts):
        values, how = _values(path, image, colours)
        if how == "values" and not colours.nearest:
            _unusual_masks.refuse_lossy(path, image, values, colours.classes)
        return read.as_stored(values, facts), how


def _of_array(path: Path, colours: MaskColours) -> tuple[Values, str]:
    from PIL import Image

    plane = _mask_arrays.plane(path)
    return _values(path, Image.fromarray(plane), colours) if plane.ndim == 3 else _grey(path, plane, colours)


def lighter(path: Path) -> npt.NDArray[np.uint8]:
    """Read a mask of two values as (H, W) uint8: 1 where its colour is the lighter one, whatever the palette's order.

    A mask of one value is 1 where that is lighter than middle grey. Pixels lie as they are stored.

    Raises:
        BadImageError: not a readable image, or one of more than two values.
    """
    with _unusual_masks.decoded(path) as (image, facts):
        if image.mode in ("1", "L"):
            grey: npt.NDArray[Any] = np.asarray(image).astype(np.uint8)
        elif image.mode.startswith(("I", "F")):
            grey = np.asarray(image).astype(np.float64)
        else:
            rgb = image.convert("RGB")
            _refuse_equally_light(path, rgb)
            grey = np.asarray(rgb).sum(axis=2, dtype=np.uint16)
        largest = 1 if image.mode == "1" else _largest(image, grey)
        grey = read.as_stored(grey, facts)
    # Counted, not sorted, where values are few: sorting a large mask takes seconds.
    found = np.unique(grey) if grey.dtype == np.float64 else np.flatnonzero(np.bincount(grey.reshape(-1)))
    if len(found) > 2:
        is_jpeg = path.suffix.lower() in (".jpg", ".jpeg")
        cure = (
            " JPEG changes values: save masks as PNG."
            if is_jpeg
            else " Save it without smoothed edges: each pixel of the one or the other."
        )
        raise BadImageError(f"{path}: a mask of two classes holds two values, this one {len(found)}.{cure}")
    if len(found) == 2:
        return np.asarray(grey == found[1], dtype=np.uint8)
    return np.full(grey.shape, int(found[0] > largest / 2), np.uint8)


def _refuse_equally_light(path: Path, rgb: PillowImage) -> None:
    """Refuse two colours of which nobody can say which one is lighter: as the eye sees them, and by their sums.

    Raises:
        BadImageError: names both.
    """
    counted = rgb.getcolors(2)
    if counted is None or len(counted) != 2:
        return
    present = np.array(sorted(colour for _, colour in counted), np.uint8)
    # ITU-R BT.601, as Pillow and OpenCV weigh grey.
    luma, sums = present @ np.array([0.299, 0.587, 0.114]), present.sum(axis=1).astype(np.int64)
    if (luma[0] < luma[1]) != (sums[0] < sums[1]) or sums[0] == sums[1]:
        raise BadImageError(
            f"{path}: it holds {_shown(present[0])} and {_shown(present[1])}, and neither is clearly the lighter one. "
            "Save masks as black and white."
        )


def _largest(image: PillowImage, grey: npt.NDArray[Any]) -> float:
    """What white would be; grey masks of 0 and 1 have 1 for it."""
    if image.mode not in ("L",) and not image.mode.startswith(("I", "F")):
        return 3 * 255
    return 1 if grey.max() <= 1 else float(grey.max())


def _values(path: Path, image: PillowImage, colours: MaskColours) -> tuple[Values, str]:
    alpha = _unusual_masks.in_transparency(path, image)
    if alpha is not None:
        return _grey(path, alpha, colours)
    if colours.nearest and image.mode != "1":
        known = _table(colours.known[0]) if colours.known else {}
        return _unusual_masks.nearest(path, image, colours.declared, known, colours.classes)
    if image.mode == "1":
        return _grey(path, np.asarray(image).astype(np.uint8), colours)
    if image.mode == "P":
        return _of_palette(path, image, colours)
    if image.mode in ("L", "LA") or image.mode.startswith("I"):
        band = image.getchannel(0) if image.mode == "LA" else image
        return _grey(path, np.asarray(band), colours)
    if image.mode == "F":
        numbers = np.asarray(image)
        if not np.array_equal(numbers, np.floor(numbers)):
            raise BadImageError(f"{path}: a mask must hold one whole number a pixel, this one holds fractions.")
        return _grey(path, numbers.astype(np.int64), colours)
    rgb = np.asarray(image.convert("RGB"))
    is_grey = bool((rgb == rgb[..., :1]).all())
    if colours.declared:
        found, unknown = _by_colour(rgb, colours.declared)
        if not unknown:
            return found, "colours"
        if not is_grey:
            raise BadImageError(_foreign_colours(path, rgb, found))
    if is_grey:
        return rgb[..., 0], "values"
    in_one = _unusual_masks.in_one_channel(rgb, colours.classes)
    for palette in colours.known:
        found, unknown = _by_colour(rgb, _table(palette))
        if not unknown:
            return found, "colours"
        if in_one is None and palette is colours.known[0] and (found != _UNKNOWN).mean() > _MOSTLY:
            raise BadImageError(_foreign_colours(path, rgb, found))
    if in_one is not None:
        return in_one, "values"
    is_jpeg = path.suffix.lower() in (".jpg", ".jpeg")
    lossy = " JPEG changes colours: save masks as PNG, or pass --soft-masks." if is_jpeg else ""
    raise BadImageError(
        f"{path}: a mask must hold one index a pixel, this one holds colours ({image.mode}), as "
        f"{_shown(rgb.reshape(-1, 3)[_first_colour(rgb)])}: {_HOW_COLOURS}.{lossy}"
    )


def _grey(path: Path, values: Values, colours: MaskColours) -> tuple[Values, str]:
    """Grey values, by the declared colours where all of them are among these."""
    greys = {colour[0]: value for colour, value in colours.declared.items() if len(set(colour)) == 1}
    if greys and values.size:
        present = np.unique(values)
        if all(int(value) in greys for value in present):
            out = np.zeros(values.shape, np.int64)
            for value in present:
                out[values == value] = greys[int(value)]
            return out, "colours"
    return values, "values"


def _of_palette(path: Path, image: PillowImage, colours: MaskColours) -> tuple[Values, str]:
    """Indices, or where the palette's colours say otherwise, what these say."""
    index = np.asarray(image)
    flat = image.getpalette("RGB") or []
    palette: list[Rgb] = [(flat[k], flat[k + 1], flat[k + 2]) for k in range(0, len(flat) - 2, 3)]
    present = [int(each) for each in np.flatnonzero(np.bincount(index.reshape(-1)))]
    if not palette or present[-1] >= len(palette):
        return index, "indices"
    meant = _meaning(path, {each: palette[each] for each in present}, palette, colours)
    if meant is None:
        return index, "indices"
    table = np.zeros(len(palette), np.int64)
    table[list(meant)] = list(meant.values())
    return table[index], "colours"


def _meaning(path: Path, present: dict[int, Rgb], palette: list[Rgb], colours: MaskColours) -> dict[int, int] | None:
    """The value that each index stands for, by its colour; None where indices are the values.

    Raises:
        BadImageError: black and white in a mask of several classes, which can be read in two ways.
    """
    if colours.declared and all(colour in colours.declared for colour in present.values()):
        return {index: colours.declared[colour] for index, colour in present.items()}
    if len(set(palette)) == 1:
        return None
    if all(len(set(colour)) == 1 for colour in present.values()):
        return _meaning_of_greys(path, {index: colour[0] for index, colour in present.items()}, colours.classes)
    for known in colours.known:
        if all(index < len(known) and known[index] == colour for index, colour in present.items()):
            return None
    for known in colours.known:
        table = _table(known)
        if all(colour in table for colour in present.values()):
            return {index: table[colour] for index, colour in present.items()}
    return None


def _meaning_of_greys(path: Path, greys: dict[int, int], classes: int | None) -> dict[int, int] | None:
    if all(index == grey for index, grey in greys.items()):
        return None
    if set(greys.values()) <= {0, 255}:
        if classes is None or classes == 2:
            return {index: int(grey == 255) for index, grey in greys.items()}
        if any(index >= classes and index != 255 for index in greys):
            return greys
        raise BadImageError(
            f"{path}: the palette is black and white, and the model has {classes} classes: 255 may be a class or what "
            f"is not evaluated. Save the mask without a palette, or {_HOW_COLOURS}."
        )
    if classes is None or all(grey < classes or grey == 255 for grey in greys.values()):
        return greys
    return None


def _table(palette: tuple[Rgb, ...]) -> dict[Rgb, int]:
    """The value of each colour; of two of one colour the first."""
    return {colour: value for value, colour in reversed(list(enumerate(palette)))}


def _by_colour(rgb: npt.NDArray[np.uint8], table: Mapping[Rgb, int]) -> tuple[Values, bool]:
    """(H, W, 3) -> (H, W) values, -1 for colours not in the table, and whether there are such."""
    packed = _packed(rgb)
    keys = np.array([red << 16 | green << 8 | blue for red, green, blue in table], np.int32)
    order = np.argsort(keys)
    keys, values = keys[order], np.array(list(table.values()), np.int64)[order]
    place = np.minimum(np.searchsorted(keys, packed), len(keys) - 1)
    found = np.where(keys[place] == packed, values[place], _UNKNOWN)
    return found, bool((found == _UNKNOWN).any())


def _packed(rgb: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    wide = rgb.astype(np.int32)
    return np.asarray(wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2])


def _foreign_colours(path: Path, rgb: npt.NDArray[np.uint8], found: Values) -> str:
    foreign = found == _UNKNOWN
    counted, times = np.unique(_packed(rgb[foreign]), return_counts=True)
    most = int(counted[np.argmax(times)])
    shown = _shown((most >> 16, most >> 8 & 255, most & 255))
    if path.suffix.lower() in (".jpg", ".jpeg"):
        cure = "JPEG changes colours: save masks as PNG, or pass --soft-masks"
    elif len(counted) > 20:
        cure = "the edges are smoothed: save masks without antialiasing, or pass --soft-masks"
    else:
        cure = "add it to `colours`, or pass --soft-masks if edges are smoothed"
    return (
        f"{path}: {foreign.mean():.1%} of the pixels have colours of no class ({len(counted)} of them, most often "
        f"{shown}); {cure}."
    )


def _first_colour(rgb: npt.NDArray[np.uint8]) -> int:
    flat = rgb.reshape(-1, 3)
    return int(np.argmax((flat != flat[:, :1]).any(axis=1)))


def _shown(colour: Any) -> str:
    return "({}, {}, {})".format(*(int(channel) for channel in colour))
