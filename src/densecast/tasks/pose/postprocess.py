"""Turns heatmaps and tags into people in image pixels.

Decoding and grouping of associative embedding (A. Newell, Z. Huang, J. Deng, "Associative Embedding: End-to-End
Learning for Joint Detection and Grouping", 2017) with the results of MMPose 0.29.0, people in the same order, but
without its maps at image resolution: see `kernels.pose_field`, `pose_peaks`, `pose_grouping` and `pose_refine`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from densecast.errors import BadGraphError, BadInputError, BadShapeError, UsageError
from densecast.kernels import pose_grouping, pose_peaks, pose_refine, pose_scales
from densecast.kernels.pose_field import LARGEST, Field, ceilings, field, is_in_range, table
from densecast.runtime.batching import neighbours
from densecast.spec.augment import View
from densecast.spec.model import Frame, ModelSpec
from densecast.spec.pose_geometry import PosePlacement
from densecast.spec.preprocess import PoseAffine
from densecast.spec.tensor import Array
from densecast.tasks.pose import PoseDecode, Poses, decode_options
from densecast.tasks.pose.coco_person import JOINTS, MIRRORED

Maps = npt.NDArray[np.float32]

PUBLISHED = PoseDecode()

# Trunk and head first: most people show them, and later joints find their person more easily.
_MATCHING_ORDER = np.array([0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16])


class _Fields(NamedTuple):
    """Heatmaps and tags, read at the same resolution."""

    heat: Field
    tag: Field
    size_hw: tuple[int, int]


class _Tables(NamedTuple):
    """Tables that depend on sizes alone."""

    cells: pose_peaks.Cells
    tiles: pose_refine.Tiling


def decode(
    maps: Sequence[Maps],
    placement: PosePlacement,
    options: PoseDecode = PUBLISHED,
    scales: Sequence[float] = (1.0,),
) -> Poses:
    """A network's maps of one image -> the people in it, in the order of detection.

    `maps[i]` is (2, C, h, w) float32 at `scales[i]`: of the image, then of its mirror image, as the network gave
    it; without `options.flip` only the first is read. C is 34: 17 heatmaps and 17 tag maps (18 without
    `options.tag_per_joint`). `placement` is that of scale 1. A joint that was not found has score 0 and the
    image point of the map's corner, as in MMPose.

    Results are MMPose's where torch upsamples bilinearly with `fma(left, w0, right * w1)`: processors with fused
    multiply-add, maps with height + width > 128.

    Raises:
        BadShapeError: maps of another shape or dtype, or other in number than the scales.
        BadInputError: a NaN, an infinity or a value beyond 1e12 in the maps.
    """
    by_scale = _checked(maps, scales, options)
    fields = _fields(by_scale, placement.model_hw, options)
    tables = _tables(fields.heat.plain.shape[1:], fields.tag.plain.shape[1:], fields.size_hw)
    ceiling = np.empty((len(JOINTS), *fields.heat.plain.shape[1:]), np.float32)
    if not (ceilings(fields.heat, ceiling) and is_in_range(fields.tag)):
        raise BadInputError(
            f"pose maps must be finite and at most {LARGEST:.0e}, got a NaN, an infinity or more. "
            "Check the network's precision."
        )
    people = _people(fields, tables, ceiling, options)
    if options.adjust:
        pose_refine.adjust(fields.heat, people)
    person_score = pose_grouping.person_scores(people)
    if options.refine and len(people):
        pose_refine.fill_missing(fields.heat, fields.tag, ceiling, tables.tiles, people)
    return Poses(
        xy_px=placement.to_image(people[..., :2], fields.size_hw),
        score=np.ascontiguousarray(people[..., 2]),
        person_score=person_score,
    )


def decode_views(
    outputs: Sequence[Array],
    views: Sequence[View],
    spec: ModelSpec,
    frame: Frame = "image",
    *,
    probability: bool = False,
) -> Poses:
    """One output (34, h, w) for each view of an image -> its people, in pixels of the image or of the network's input.

    Views come ratio by ratio, each as it is and then, if any is, mirrored. Several ratios need 1 among them.

    Raises:
        BadGraphError: the output is no stack of maps.
        BadShapeError, BadInputError: as `decode`.
        UsageError: a probability map was requested, which people do not have.
    """
    if probability:
        raise UsageError(
            f"{spec.name} finds people, whose scores every prediction has: do not ask for more.", field="scores"
        )
    options, resize = decode_options(spec), spec.preprocess.resize
    assert isinstance(resize, PoseAffine), "the task's check says so"
    if any(output.ndim != 3 for output in outputs):
        raise BadGraphError(f"{spec.name}: expected maps (channels, h, w), the network gave {outputs[0].shape}.")
    flip = any(view.mirrored for view in views)
    step = 2 if flip else 1
    scales = [view.ratio for view in views[::step]]
    maps = [_stacked(outputs[start : start + step]) for start in range(0, len(views), step)]
    placement = replace(resize, min_scale=resize.scale * min(scales)).geometry(views[0].placement.image_hw)
    people = decode(maps, placement, replace(options, flip=flip), scales)
    if frame == "network":
        return replace(people, xy_px=placement.placement.to_model(people.xy_px).astype(np.float32))
    return people


def _stacked(outputs: Sequence[Array]) -> Maps:
    """Stack the maps of an image and its mirror image into one array, unless one inference computed both."""
    together = neighbours(outputs)
    return (np.stack(outputs) if together is None else together).astype(np.float32, copy=False)


def _people(fields: _Fields, tables: _Tables, ceiling: Maps, options: PoseDecode) -> Maps:
    """The matched people: (P, 17, 3) float32, x and y in whole pixels of the maps, and score."""
    values = np.empty((len(JOINTS), options.max_people), np.float32)
    indices = np.empty((len(JOINTS), options.max_people), np.int64)
    tags = np.empty((len(JOINTS), options.max_people, 2 if fields.tag.has_mirror else 1), np.float32)
    counts = pose_peaks.highest_peaks(
        fields.heat,
        ceiling,
        tables.cells,
        _float32_at_most(options.detection_threshold),
        options.nms_kernel // 2,
        values,
        indices,
    )
    width = fields.size_hw[1]
    pose_peaks.tags_at(fields.tag, indices, counts, tags)
    people: Maps = pose_grouping.group(
        values,
        indices,
        tags,
        counts,
        width,
        _MATCHING_ORDER,
        float(options.tag_threshold),
        options.max_people,
        options.use_detection_value,
        options.ignore_too_many,
    )
    return people


def _float32_at_most(value: float) -> np.float32:
    """The largest float32 that is at most `value`: a float32 exceeds both or neither."""
    nearest = np.float32(value)
    return np.nextafter(nearest, np.float32(-np.inf)) if float(nearest) > value else nearest


def _checked(maps: Sequence[Maps], scales: Sequence[float], options: PoseDecode) -> list[tuple[float, Maps]]:
    """Check the maps, and sort them with their scales, largest first."""
    channels = 2 * len(JOINTS) if options.tag_per_joint else len(JOINTS) + 1
    images = 2 if options.flip else 1
    if not maps or len(maps) != len(scales):
        raise BadShapeError(f"one array of maps a scale is needed, got {len(maps)} for {len(scales)} scales.")
    for array in maps:
        fits = array.ndim == 4 and array.shape[0] >= images and array.shape[1] == channels and array.size
        if not fits or array.dtype != np.float32:
            raise BadShapeError(
                f"pose maps must be ({images}, {channels}, h, w) float32, got {array.shape} {array.dtype}. "
                "Check the options flip and tag_per_joint."
            )
    if len(scales) > 1 and 1 not in scales:
        raise BadShapeError(f"tags are read at scale 1, but the scales are {tuple(scales)}. Add 1 to them.")
    # A read-only or strided array would be a type of its own to the compiler, and compiled for again.
    plain = [np.require(array, requirements=("C", "A", "W")) for array in maps]
    return sorted(zip(scales, plain, strict=True), key=lambda pair: -pair[0])


def _fields(by_scale: list[tuple[float, Maps]], model_hw: tuple[int, int], options: PoseDecode) -> _Fields:
    """Heatmaps of all scales and the tags of scale 1, read at the resolution of the peak search."""
    joints, mirrored = np.arange(len(JOINTS)), np.array(MIRRORED)
    size_hw = model_hw if options.project_to_image else _size_hw(by_scale[0][1])
    tag_source = by_scale[0][1] if len(by_scale) == 1 else dict(by_scale)[1]
    first = len(JOINTS)
    tag = _field(
        tag_source,
        first + (joints if options.tag_per_joint else 0 * joints),
        first + (mirrored if options.tag_per_joint else 0 * joints),
        size_hw,
        options.flip,
    )
    if len(by_scale) == 1:
        return _Fields(_field(tag_source, joints, mirrored, size_hw, options.flip), tag, size_hw)
    total = np.zeros((len(JOINTS), *size_hw), np.float32)
    for _, array in by_scale:
        heat = _field(array, joints, mirrored, size_hw, options.flip)
        if not options.project_to_image:
            # Without projection, the images' mean is taken before the maps are brought to one size.
            own_hw = _size_hw(array)
            mean = np.zeros((len(JOINTS), *own_hw), np.float32)
            pose_scales.add_upsampled(_field(array, joints, mirrored, own_hw, options.flip), mean)
            heat = field(mean, None, joints, joints, size_hw)
        pose_scales.add_upsampled(heat, total)
    pose_scales.divide(total, len(by_scale))
    return _Fields(field(total, None, joints, joints, size_hw), tag, size_hw)


def _field(
    array: Maps,
    channel: npt.NDArray[np.int64],
    mirror_channel: npt.NDArray[np.int64],
    size_hw: tuple[int, int],
    flip: bool,
) -> Field:
    return field(array[0], array[1] if flip else None, channel, mirror_channel, size_hw)


def _size_hw(array: Maps) -> tuple[int, int]:
    return int(array.shape[2]), int(array.shape[3])


@lru_cache(maxsize=16)
def _tables(heat_hw: tuple[int, int], tag_hw: tuple[int, int], size_hw: tuple[int, int]) -> _Tables:
    heat_rows, heat_cols = table(heat_hw[0], size_hw[0]), table(heat_hw[1], size_hw[1])
    tag_rows, tag_cols = table(tag_hw[0], size_hw[0]), table(tag_hw[1], size_hw[1])
    return _Tables(
        pose_peaks.cells(heat_rows, heat_cols, heat_hw),
        pose_refine.tiling(heat_rows, heat_cols, tag_rows, tag_cols, tag_hw),
    )
