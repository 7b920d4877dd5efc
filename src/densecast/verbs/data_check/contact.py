"""Chooses and draws the small pictures of a contact sheet: pictures with their masks over them, problems first."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.datasets import _frames
from densecast.datasets._survey import NOT_EVALUATED, Survey
from densecast.errors import DensecastError
from densecast.io import files
from densecast.report import contact_sheet, own_pages
from densecast.report.contact_sheet import Card
from densecast.results.data_check import DataCheckResult
from densecast.spec.model import ModelSpec
from densecast.tasks.multilabel import MultilabelTarget
from densecast.tasks.pose import AnnotatedPoses
from densecast.verbs.data_check.look import Looked, picture

# Of 20 kB each: the page stays below 2 MB.
MOST_CARDS = 72
_MOST_WITH_PROBLEMS = 48
_SIDE_PX = 220
_OPACITY = 0.55
_FOREIGN, _IGNORED = (255, 0, 255), (255, 255, 255)


def require(path: Path) -> None:
    """Refuse, before any work, a page that could not be written.

    Raises:
        MissingExtraError: jinja2 is not installed.
        UsageError: a file that densecast did not write lies there.
    """
    own_pages.require(path)


def write(path: Path, result: DataCheckResult, survey: Survey, looks: Sequence[Looked], spec: ModelSpec | None) -> None:
    """Write the page."""
    told: dict[Path, list[str]] = {}
    for problem in result.problems:
        for file in problem.files:
            # The card says which picture it is.
            told.setdefault(file, []).append(f"{problem.kind}: {problem.text.removeprefix(f'{file}: ')}")
    bad = [each for each in looks if each.sample.image in told or each.sample.target in told]
    chosen = bad[:_MOST_WITH_PROBLEMS]
    sound = [each for each in looks if each.sample.image not in told and each.sample.target not in told]
    step = max(1, -(-len(sound) // max(1, MOST_CARDS - len(chosen))))
    cards = []
    for each in (*chosen, *sound[::step]):
        said = [*told.get(each.sample.image, ()), *told.get(each.sample.target, ())]
        cards.append(Card(each.sample.id, tuple(dict.fromkeys(said)), _drawn(each, result, survey, spec)))
    text = contact_sheet.page(result, cards, len(looks))
    # Names may hold bytes that are no UTF-8.
    files.write_bytes(path, text.encode("utf-8", "backslashreplace"))


def _drawn(each: Looked, result: DataCheckResult, survey: Survey, spec: ModelSpec | None) -> bytes | None:
    """A small JPEG of the picture as it is seen upright, with its target over it; None if it cannot be read."""
    import cv2

    try:
        pixels = _rgb8(picture(each.sample, spec))
    except DensecastError:
        return None
    scale = min(1.0, _SIDE_PX / max(pixels.shape[:2]))
    width, height = (max(1, round(side * scale)) for side in pixels.shape[1::-1])
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    with contextlib.suppress(DensecastError):  # else the picture alone, beside the words that say what is wrong
        small = _overlaid(small, each, result, survey, scale, turned=spec is not None and spec.preprocess.use_exif)
    ok, encoded = cv2.imencode(".jpg", small[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])
    return encoded.tobytes() if ok else None


def _overlaid(
    small: npt.NDArray[Any], each: Looked, result: DataCheckResult, survey: Survey, scale: float, *, turned: bool
) -> npt.NDArray[Any]:
    import cv2

    size = small.shape[1::-1]
    if survey.values is not None:
        values, table = survey.values(each.sample)
        present = np.unique(values)
        colours = np.array([_colour(int(value), table, result) for value in present], np.uint8)
        painted = colours[np.searchsorted(present, values)]
        shown = np.array([table.get(int(value)) != NOT_EVALUATED for value in present])[
            np.searchsorted(present, values)
        ]
        painted = _in_frame(painted, each, turned=turned)
        shown = _in_frame(shown.astype(np.uint8), each, turned=turned)
        painted = cv2.resize(painted, size, interpolation=cv2.INTER_NEAREST)
        weight = _OPACITY * cv2.resize(shown, size, interpolation=cv2.INTER_NEAREST)[..., None]
        return np.asarray(small * (1 - weight) + painted * weight).astype(np.uint8)
    target = survey.read(each.sample)
    if isinstance(target, AnnotatedPoses):
        small = np.ascontiguousarray(small)
        for left, top, wide, high in target.box_xywh_px * scale:
            corners = (int(left), int(top)), (int(left + wide), int(top + high))
            cv2.rectangle(small, *corners, (255, 170, 0), 1)
        for x, y in target.xy_px[target.visibility > 0] * scale:
            cv2.circle(small, (int(x), int(y)), 2, (0, 200, 255), -1)
        return small
    if isinstance(target, MultilabelTarget):
        for index, plane in enumerate(target.classes):
            if plane.any() and index < len(result.classes):
                where = cv2.resize(plane.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)[..., None] > 0
                mixed = small * (1 - _OPACITY) + np.array(result.classes[index].colour) * _OPACITY
                small = np.where(where, mixed, small).astype(np.uint8)
        return small
    if isinstance(target, np.ndarray) and target.dtype.kind == "f" and target.max() > 0:
        near = np.where(target > 0, 255 * target[target > 0].min() / np.maximum(target, 1e-9), 0)
        grey = cv2.resize(near.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        return np.concatenate([small, np.repeat(grey[..., None], 3, axis=2)], axis=1)
    return small


def _colour(value: int, table: Any, result: DataCheckResult) -> tuple[int, int, int]:
    meant = table.get(value)
    if meant is None:
        return _FOREIGN
    if meant == NOT_EVALUATED:
        return _IGNORED
    return next((each.colour for each in result.classes if each.index == meant), _FOREIGN)


def _in_frame(array: npt.NDArray[Any], each: Looked, *, turned: bool) -> npt.NDArray[Any]:
    """The mask in the frame that the picture is drawn in: upright for a model that sees it so, else as stored."""
    tag = _frames.orientation(each.sample.image)
    if each.frame == "stored" and turned:
        return np.ascontiguousarray(_frames.upright(array, tag))
    if each.frame == "upright" and not turned:
        return np.ascontiguousarray(_frames.upright(array, {6: 8, 8: 6}.get(tag, tag)))
    return array


def _rgb8(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """(H, W, bands) of any type -> (H, W, 3) uint8: three bands at most, stretched where values exceed 8 bits."""
    bands = pixels[:, :, :3] if pixels.shape[2] >= 3 else np.repeat(pixels[:, :, :1], 3, axis=2)
    if bands.dtype == np.uint8:
        return np.ascontiguousarray(bands)
    finite = np.where(np.isfinite(bands), bands, 0).astype(np.float64)
    low, high = float(finite.min()), float(finite.max())
    return np.ascontiguousarray(((finite - low) * (255 / max(high - low, 1e-12))).astype(np.uint8))
