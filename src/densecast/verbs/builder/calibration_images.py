"""What is to be remarked of calibration images: too few, blank or alike, or unlike those that are evaluated."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from densecast.artifact import CalibrationRecord
from densecast.errors import DensecastError
from densecast.imaging.read import read_for
from densecast.measure.data_source import source_or_folder
from densecast.spec.data_options import Data
from densecast.spec.model import ModelSpec
from densecast.spec.options import QuantizeOptions

_log = logging.getLogger(__name__)

FEWEST = 16
"""Fewer images that differ do not show the values that occur: quantisers themselves ask for hundreds."""
# So many are looked at, spread over all: a few seconds for large photographs.
_CALIBRATING, _EVALUATED = 24, 8
_THUMBNAIL = 12
# Shares of the range of pixel values: what noise and JPEG make of one picture, and what is one colour throughout.
_ALIKE, _BLANK = 0.008, 0.004
# Means this far apart (a share of the range) are no other mixture of the same pictures, whatever these are like.
_FAR = 0.15
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Look:
    """Thumbnails (N, C, t, t) of images, and which of them are one colour throughout, in shares of the range."""

    names: tuple[str, ...]
    thumbnails: Floats
    blank: npt.NDArray[np.bool_]

    @property
    def distinct(self) -> int:
        """How many of the thumbnails differ from all before them."""
        kept: list[Floats] = []
        for each in self.thumbnails:
            if all(np.abs(each - other).max() > _ALIKE for other in kept):
                kept.append(each)
        return len(kept)

    @property
    def means(self) -> Floats:
        """(N, C) means of the images."""
        return np.asarray(self.thumbnails.mean(axis=(2, 3)), np.float64)


def remarked(record: CalibrationRecord, found: Sequence[str]) -> CalibrationRecord:
    """The record with its remarks, which are logged as warnings."""
    for remark in found:
        _log.warning("int8 calibration: %s", remark)
    return replace(record, remarks=tuple(found))


def remarks_of(
    spec: ModelSpec, options: QuantizeOptions, images: Sequence[Path], data: Path | Data | None
) -> tuple[str, ...]:
    """What is to be remarked of the `images` of `data` that ranges come from, see `remarks`."""
    assert data is not None
    return remarks(spec, images, _evaluated(spec, options, data))


def remarks(spec: ModelSpec, images: Sequence[Path], evaluated: Sequence[Path] = ()) -> tuple[str, ...]:
    """Sentences without a full stop: what makes int8 ranges doubtful. `evaluated` are images that are measured on.

    Images that cannot be read are passed over; whatever needs them names them.
    """
    seen = _look(spec, _spread(images, _CALIBRATING))
    if not seen.names:
        return ()
    lines = []
    of = f"{len(images)}" if len(seen.names) == len(images) else f"{len(seen.names)} looked at of {len(images)}"
    if seen.distinct < min(FEWEST, len(images)) or len(images) < FEWEST:
        differ = "" if seen.distinct == len(images) else f", of which {seen.distinct} differ"
        lines.append(
            f"ranges are set by few images ({of}{differ}); values that do not occur in them are clipped. Give at least "
            f"{FEWEST} that differ, or have the loss measured (--max-drop, compare)"
        )
    blank = np.flatnonzero(seen.blank)
    if len(blank):
        lines.append(
            f"{len(blank)} of {len(seen.names)} images are one colour throughout, the first is {seen.names[blank[0]]}"
        )
    others = _look(spec, _spread(evaluated, _EVALUATED))
    if others.names and others.means.shape[1] == seen.means.shape[1]:
        here, there = seen.means.mean(axis=0), others.means.mean(axis=0)
        spread = max(float(seen.means.std(axis=0).max()), float(others.means.std(axis=0).max()))
        apart = float(np.abs(here - there).max())
        if apart > max(_FAR, 2 * spread):
            lines.append(
                f"images are unlike those that are evaluated: mean {_percent(here)} of the largest value, there "
                f"{_percent(there)}. Calibrate on images as the model will see"
            )
    return tuple(lines)


def _evaluated(spec: ModelSpec, options: QuantizeOptions, data: Path | Data) -> tuple[Path, ...]:
    """The images of the validation split, where calibration images are of another; none where there is no such."""
    if options.split != "train":
        return ()
    try:
        found = source_or_folder(spec, data)
        return () if found is None else tuple(sample.image for sample in found.open("val").samples)
    except DensecastError:  # only the split that is asked for has to be there
        return ()


def _look(spec: ModelSpec, paths: Sequence[Path]) -> _Look:
    names: list[str] = []
    thumbnails: list[Floats] = []
    blank: list[bool] = []
    for path in paths:
        try:
            image = read_for(path, spec)
        except DensecastError:
            continue
        low, high = spec.preprocess.value_range or (0, np.iinfo(image.dtype).max if image.dtype.kind == "u" else 1)
        image = image.reshape(*image.shape[:2], -1)
        pixels = _scaled(image, low, high)
        small = cv2.resize(pixels, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA)
        small = small.reshape(_THUMBNAIL, _THUMBNAIL, -1)
        if thumbnails and small.shape[2] != thumbnails[0].shape[0]:
            continue
        names.append(path.name)
        thumbnails.append(small.transpose(2, 0, 1).astype(np.float64))
        # Rows first, and values as they are stored: a hundredth of the time.
        least, greatest = (_scaled(end(end(image, axis=0), axis=0), low, high) for end in (np.min, np.max))
        blank.append(bool((greatest - least <= _BLANK).all()))
    stacked = np.stack(thumbnails) if thumbnails else np.empty((0, 0, _THUMBNAIL, _THUMBNAIL))
    return _Look(tuple(names), stacked, np.asarray(blank, bool))


def _scaled(values: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.float32]:
    """Values from `low` to `high` as 0 to 1."""
    return np.asarray((values.astype(np.float32) - low) / (high - low), np.float32)


def _spread(paths: Sequence[Path], count: int) -> list[Path]:
    """At most `count` of the paths, evenly spaced."""
    if not paths:
        return []
    places = np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int)
    return [paths[place] for place in sorted(set(places.tolist()))]


def _percent(means: Floats) -> str:
    return ", ".join(f"{100 * value:.0f}" for value in means.tolist()) + " %"
