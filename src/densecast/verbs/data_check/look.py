"""Reads one picture with its ground truth, and notes everything that a check of the data set needs to know of it."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from densecast.datasets import _frames
from densecast.datasets._survey import NOT_EVALUATED, Survey
from densecast.errors import DensecastError
from densecast.imaging import header, read
from densecast.spec.model import ModelSpec
from densecast.spec.sample import Sample
from densecast.tasks.multilabel import MultilabelTarget
from densecast.tasks.pose import AnnotatedPoses

Frame = Literal["upright", "stored", "either"]
_LARGEST = 65535
# Boxes are rounded by tools; a pixel beyond the border is none of the picture's faults.
_BOX_SLACK_PX = 1.0


@dataclass(frozen=True, slots=True)
class Looked:
    """One pair as it was found.

    `pixels_sha` and `target_sha` hash what was decoded. `classes` and `foreign` count pixels by class and by values
    that are none; `values` are all that the mask holds. `frame` is that of the mask of a turned picture.
    """

    sample: Sample
    image_error: str | None = None
    target_error: str | None = None
    size_error: str | None = None
    pixels_sha: str | None = None
    target_sha: str | None = None
    pixels: int = 0
    ignored: int = 0
    classes: Mapping[int, int] = field(default_factory=dict)
    foreign: Mapping[int, int] = field(default_factory=dict)
    values: frozenset[int] = frozenset()
    frame: Frame | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    outside: tuple[str, ...] = ()


def look(sample: Sample, survey: Survey, spec: ModelSpec | None) -> Looked:
    """Read a pair whole; whatever is wrong with it is noted, not raised."""
    found: dict[str, Any] = {}
    try:
        pixels = picture(sample, spec)
        found["pixels_sha"] = _sha(pixels)
    except DensecastError as error:
        found["image_error"] = str(error)
    try:
        sizes = _frames.sizes_hw(sample.image)
    except DensecastError:
        sizes = None
    try:
        if survey.values is not None:
            values, table = survey.values(sample)
            found |= _of_values(values, table)
            if sizes is not None:
                found |= _of_frames(sample, values.shape, sizes)
        else:
            found |= _of_target(survey.read(sample), sizes)
    except DensecastError as error:
        # A picture that cannot be read is told once.
        if found.get("image_error") is None or str(sample.image) not in str(error):
            found["target_error"] = str(error)
    return Looked(sample, **found)


def picture(sample: Sample, spec: ModelSpec | None) -> npt.NDArray[Any]:
    """The picture's pixels (H, W, bands), as the model reads them; without a model all bands, in full depth.

    Raises:
        BadImageError: it does not decode whole.
    """
    if spec is not None:
        return np.asarray(read.read_for(sample.image, spec))
    data = read.contents(sample.image)
    facts = header.facts(io.BytesIO(data), str(sample.image), use_exif=False)
    is_own = facts.is_deep or facts.bands > 4
    return np.asarray(read.decode(data, str(sample.image), every_band=is_own, full_depth=is_own))


def _sha(array: npt.NDArray[Any]) -> str:
    whole = hashlib.blake2b(f"{array.dtype}{array.shape}".encode(), digest_size=16)
    whole.update(np.ascontiguousarray(array).data)
    return whole.hexdigest()


def _of_values(values: npt.NDArray[Any], table: Mapping[int, int]) -> dict[str, Any]:
    present, counted = np.unique(values, return_counts=True)
    classes: Counter[int] = Counter()
    foreign: Counter[int] = Counter()
    ignored = 0
    for value, count in zip(present.tolist(), counted.tolist(), strict=True):
        meant = table.get(value)
        if meant is None:
            foreign[value] += count
        elif meant == NOT_EVALUATED:
            ignored += count
        else:
            classes[meant] += count
    return {
        "pixels": int(values.size),
        "ignored": ignored,
        "classes": dict(classes),
        "foreign": dict(foreign),
        "values": frozenset(present.tolist()),
        "target_sha": _sha(values),
    }


def _of_frames(
    sample: Sample, shape: tuple[int, ...], sizes: tuple[tuple[int, int], tuple[int, int]]
) -> dict[str, Any]:
    stored, upright = sizes
    if shape not in (stored, upright):
        also = "" if stored == upright else f" ({upright[1]}×{upright[0]} upright)"
        return {
            "size_error": f"{sample.target}: the mask is {shape[1]}×{shape[0]} pixels, its picture {sample.image.name} "
            f"{stored[1]}×{stored[0]}{also}"
        }
    if _frames.orientation(sample.image) == 1:
        return {}
    return {"frame": "either" if stored == upright else "upright" if shape == upright else "stored"}


def _of_target(target: Any, sizes: tuple[tuple[int, int], tuple[int, int]] | None) -> dict[str, Any]:
    if isinstance(target, AnnotatedPoses):
        return _of_people(target, sizes)
    if isinstance(target, MultilabelTarget):
        held = {index: int(plane.sum()) for index, plane in enumerate(target.classes) if plane.any()}
        return {"pixels": target.classes[0].size, "classes": held, "target_sha": _sha(target.classes)}
    if isinstance(target, np.ndarray) and target.dtype.kind == "f":
        known = int((target > 0).sum())
        return {
            "pixels": target.size,
            "ignored": target.size - known,
            "counts": {"pictures without any known value": int(known == 0)},
            "target_sha": _sha(target),
        }
    return {}


def _of_people(people: AnnotatedPoses, sizes: tuple[tuple[int, int], tuple[int, int]] | None) -> dict[str, Any]:
    each = ~people.is_crowd
    marked = people.visibility > 0
    counts = {
        "people": int(each.sum()),
        "crowds": int(people.is_crowd.sum()),
        "pictures without people": int(not len(people.area_px)),
        "people without joints": int((each & ~marked.any(axis=1)).sum()),
        "joints seen": int((people.visibility == 2).sum()),
        "joints hidden": int((people.visibility == 1).sum()),
    }
    outside: list[str] = []
    if sizes is not None and len(people.area_px):
        left_top, right_bottom = people.box_xywh_px[:, :2], people.box_xywh_px[:, :2] + people.box_xywh_px[:, 2:]
        high, wide = (max(size[axis] for size in sizes) for axis in (0, 1))
        limit = np.array([wide, high]) + _BOX_SLACK_PX
        boxes = int(((left_top < -_BOX_SLACK_PX) | (right_bottom > limit)).any(axis=1).sum())
        points = ((people.xy_px < -_BOX_SLACK_PX) | (people.xy_px > limit)).any(axis=2)
        joints = int((points & marked).sum())
        counts |= {"boxes outside": boxes, "joints outside": joints}
        outside += [f"{boxes} boxes reach outside the picture"] if boxes else []
        outside += [f"{joints} marked joints are outside the picture"] if joints else []
    return {"counts": counts, "outside": tuple(outside)}
