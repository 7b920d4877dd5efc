"""Brings label maps into the frame that a model sees their picture in: as stored, or upright by its EXIF tag."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from densecast.errors import BadDatasetError
from densecast.imaging import read
from densecast.spec.sample import LabelMap

_LOG = logging.getLogger(__name__)
# Folders of which it was said that labels fit both frames.
_remarked: set[Path] = set()


def orientation(path: Path) -> int:
    """The picture's EXIF orientation, 1 to 8; 1 where it has none.

    Raises:
        BadImageError: its header cannot be read.
    """
    tag = read.orientation(path)
    return tag if 1 <= tag <= 8 else 1


def sizes_hw(path: Path) -> tuple[tuple[int, int], tuple[int, int]]:
    """Height and width of a picture as it is stored, and as it is seen upright.

    Raises:
        BadImageError: its header cannot be read.
    """
    stored = read.size_hw(path)
    return stored, stored[::-1] if orientation(path) >= 5 else stored


def upright(labels: LabelMap, tag: int) -> LabelMap:
    """(H, W) in the stored frame -> the same labels as the tag turns the picture."""
    turned = {
        2: lambda: labels[:, ::-1],
        3: lambda: labels[::-1, ::-1],
        4: lambda: labels[::-1],
        5: lambda: labels.T,
        6: lambda: np.rot90(labels, -1),
        7: lambda: labels[::-1, ::-1].T,
        8: lambda: np.rot90(labels),
    }
    return np.ascontiguousarray(turned[tag]()) if tag in turned else labels


def _remark_both(picture: Path, use_exif: bool) -> None:
    """Say once of a folder that a turned picture's labels fit both frames, and in which they are taken to be."""
    if picture.parent in _remarked or orientation(picture) == 1:
        return
    _remarked.add(picture.parent)
    _LOG.warning(
        "%s has orientation tag %s, and its mask fits the stored and the upright picture alike: such masks are taken "
        "as %s. If they are drawn otherwise, store the pictures upright and without a tag",
        picture,
        orientation(picture),
        "upright, as the model sees the picture" if use_exif else "stored, as the model sees the picture",
    )


def to_frame(labels: LabelMap, picture: Path, mask: Path, *, use_exif: bool) -> LabelMap:
    """The labels in the frame that pictures are seen in, which their size tells from the other one.

    Where both frames have one size (a square picture, a half turn), labels are in the frame they are needed in.

    Raises:
        BadImageError: the picture's header cannot be read.
        BadDatasetError: the labels have neither frame's size.
    """
    stored, seen = sizes_hw(picture)
    if labels.shape == (seen if use_exif else stored):
        if stored == seen or stored[0] == stored[1]:
            _remark_both(picture, use_exif)
        return labels
    if use_exif and labels.shape == stored:
        return upright(labels, orientation(picture))
    if not use_exif and labels.shape == seen:
        tag = orientation(picture)
        return upright(labels, {6: 8, 8: 6}.get(tag, tag))
    also = "" if seen == stored else f" ({seen[1]}×{seen[0]} upright)"
    raise BadDatasetError(
        f"{mask}: the labels are {labels.shape[1]}×{labels.shape[0]} pixels, their image {picture.name} "
        f"{stored[1]}×{stored[0]}{also}. They must be of one size."
    )
