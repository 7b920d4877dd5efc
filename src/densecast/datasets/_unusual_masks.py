"""Decodes mask files, of one page each, and reads unusual ones: smoothed edges, JPEG, transparency, a single channel.

Smoothing is only undone where somebody asks for it: between two colours may lie that of a third class.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from densecast.errors import BadImageError, DensecastError
from densecast.imaging import header, read
from densecast.imaging.header import Facts
from densecast.spec.model import Rgb

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

_BLACK_AND_WHITE: dict[Rgb, int] = {(0, 0, 0): 0, (255, 255, 255): 255}
# How far from every class's colour, in RGB, an even area may be: JPEG changes colours by a few steps.
_FURTHEST = 48.0
_IGNORED = 255
# The darkest colour of the palettes in use: what is darker nobody could tell from black.
_MOST_TAGS = 64
# Before the pixels there may be a colour profile.
_WEBP_START = 1 << 20


@contextlib.contextmanager
def decoded(path: Path) -> Iterator[tuple[PillowImage, Facts]]:
    """The one image of a file as Pillow decodes it, and what the file's header says.

    Raises:
        BadImageError: not a readable image, or the file holds several.
    """
    # From memory: of a file by its name Pillow takes the rows of some turned TIFFs to have the upright width.
    data = read.contents(path)
    facts = header.facts(io.BytesIO(data), str(path), use_exif=False)
    try:
        with header.opened(io.BytesIO(data)) as image:
            refuse_pages(path, image)
            image.load()
            yield image, facts
    except DensecastError:
        raise
    except Exception as error:  # Pillow raises whatever the damage leads to
        raise BadImageError(f"{path}: the pixel data is damaged or cut off ({error}).") from None


def nearest(
    path: Path, image: PillowImage, declared: Mapping[Rgb, int], known: Mapping[Rgb, int], classes: int | None
) -> tuple[npt.NDArray[Any], str]:
    """(H, W) values: of each pixel that whose colour is nearest, of those declared, else of the model's (`known`).

    Grey masks of two classes hold black and white: 0 or 255.

    Raises:
        BadImageError: there is an even area of a colour that is far from all, or grey values of which nothing is known.
    """
    rgb = np.asarray(image.convert("L" if image.mode.startswith(("I", "F")) else "RGB"))
    rgb = np.repeat(rgb[..., None], 3, axis=2) if rgb.ndim == 2 else rgb
    table = declared or known
    if not declared and bool((rgb == rgb[..., :1]).all()):
        table = _BLACK_AND_WHITE
        if classes not in (None, 2) or 0 < int(rgb.max()) <= 127:
            raise BadImageError(
                f"{path}: it holds grey values up to {rgb.max()}, of which no nearest class can be told. Leave "
                "--soft-masks out, or say with --colours which colour is which class."
            )
    if not table:
        raise BadImageError(f"{path}: say with --colours which colour is which class.")
    colours = np.asarray(list(table), np.int32)
    packed = rgb[..., 0].astype(np.int32) << 16 | rgb[..., 1].astype(np.int32) << 8 | rgb[..., 2]
    present, places = np.unique(packed, return_inverse=True)
    shown = np.stack([present >> 16, present >> 8 & 255, present & 255], axis=1)
    apart = np.full(len(present), np.inf)
    chosen = np.zeros(len(present), np.int64)
    for place, colour in enumerate(colours):
        distance = np.sqrt(((shown - colour) ** 2).sum(axis=1))
        closer = distance < apart
        apart[closer], chosen[closer] = distance[closer], place
    places = places.reshape(packed.shape)
    far = (apart > _FURTHEST)[places] & _even(packed)
    if far.any():
        red, green, blue = shown[places[far][0]]
        raise BadImageError(
            f"{path}: an area of colour ({red}, {green}, {blue}) is no edge, and of no class. Add it to the colours."
        )
    values = np.asarray(list(table.values()), np.int64)
    return values[chosen][places], "values" if table is _BLACK_AND_WHITE else "colours"


def in_transparency(path: Path, image: PillowImage) -> npt.NDArray[np.uint8] | None:
    """(H, W): how opaque each pixel is, if that alone tells pixels apart; None where colours do.

    Raises:
        BadImageError: one colour is opaque in some places and transparent in others.
    """
    if image.mode not in ("RGBA", "LA"):
        return None
    alpha = np.asarray(image.getchannel("A"))
    if int(alpha.min()) == int(alpha.max()):
        return None
    rgb = np.asarray(image.convert("RGB"))
    if bool((rgb == rgb[:1, :1]).all()):
        return alpha
    packed = rgb[..., 0].astype(np.int32) << 16 | rgb[..., 1].astype(np.int32) << 8 | rgb[..., 2]
    both = np.intersect1d(packed[alpha == 0], packed[alpha == 255])
    if len(both):
        colour = int(both[0])
        raise BadImageError(
            f"{path}: ({colour >> 16}, {colour >> 8 & 255}, {colour & 255}) is opaque in some places and transparent "
            "in others, and which of them is the class cannot be known. Save the mask without transparency."
        )
    return None


def in_one_channel(rgb: npt.NDArray[np.uint8], classes: int | None) -> npt.NDArray[np.uint8] | None:
    """(H, W): the one channel that is not 0 throughout, where it can hold nothing but indices; else None.

    Simulators write the class into the red channel (CARLA's "tag"), and OpenCV stores that as the blue one.
    """
    most = rgb.reshape(-1, 3).max(axis=0)
    if np.count_nonzero(most) != 1:
        return None
    plane = rgb[..., int(np.argmax(most))]
    largest = _MOST_TAGS if classes is None else min(classes, _MOST_TAGS)
    indices = plane[plane != _IGNORED]
    return plane if 0 < int(indices.max(initial=0)) < largest else None


def refuse_lossy(path: Path, image: PillowImage, values: npt.NDArray[Any], classes: int | None) -> None:
    """Refuse indices that a lossy format held: at the edge of 0 and 3 it makes 1 and 2, which are classes as well.

    A mask of one value is what it was; of two values, where there are no more than two classes.

    Raises:
        BadImageError: there are several.
    """
    if not _is_lossy(path, image) or not values.size:
        return
    present = np.unique(values)
    if len(present) > (2 if classes is None or classes <= 2 else 1):
        raise BadImageError(
            f"{path}: indices of classes cannot be trusted in this format ({image.format}, lossy): it changes values "
            f"along edges to those of other classes ({len(present)} values, up to {int(present[-1])}). Save masks as "
            "PNG, or pass --soft-masks where each class has a colour, or two classes are black and white."
        )


def _is_lossy(path: Path, image: PillowImage) -> bool:
    """Whether the format changes values, by the file's content; its name may say anything."""
    if image.format in ("JPEG", "MPO"):
        return True
    if image.format == "TIFF":
        return "jpeg" in str(image.info.get("compression", ""))
    if image.format != "WEBP":
        return False
    with path.open("rb") as file:
        start = file.read(_WEBP_START)
    # https://developers.google.com/speed/webp/docs/riff_container: "VP8 " holds lossy pixels, "VP8L" exact ones.
    lossy, exact = start.find(b"VP8 "), start.find(b"VP8L")
    return lossy >= 0 and (exact < 0 or lossy < exact)


def refuse_pages(path: Path, image: PillowImage) -> None:
    """Refuse a file of several masks; smaller pages are previews and overviews of the first.

    Raises:
        BadImageError: says how many.
    """
    pages, size = int(getattr(image, "n_frames", 1)), image.size
    if pages < 2:
        return
    image.seek(1)
    is_other = image.size == size
    image.seek(0)
    if is_other:
        raise BadImageError(
            f"{path}: it holds {pages} pages, and one mask has one. Write one index mask, or for several labels a "
            "pixel use --dataset multilabel_pairs."
        )


def _even(packed: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Where a pixel and all eight around it are equal."""
    inside = np.zeros(packed.shape, np.bool_)
    if min(packed.shape) < 3:
        return inside
    middle = packed[1:-1, 1:-1]
    height, width = packed.shape
    equal = np.ones(middle.shape, np.bool_)
    for down in range(3):
        for across in range(3):
            equal &= packed[down : height - 2 + down, across : width - 2 + across] == middle
    inside[1:-1, 1:-1] = equal
    return inside
