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
from densecast.kernels import pose_grouping, pose_peaks, pose_refine
from densecast.kernels.pose_field import LARGEST, Field, ceilings, field, is_in_range, table
from densecast.runtime.batching import neighbours
from densecast.spec.augment import View
from densecast.spec.model import Frame, ModelSpec
from densecast.spec.pose_geometry import PosePlacement
from densecast.spec.pose_unbiased import UnbiasedPlacement
from densecast.spec.preprocess import PoseAffine
from densecast.spec.tensor import Array
from densecast.tasks.pose import PoseDecode, Poses, decode_options, peak_shape, stages
from densecast.tasks.pose.skeleton import COCO, Skeleton

Maps = npt.NDArray[np.float32]

PUBLISHED = PoseDecode()

# Trunk and head first: most people show them, and later joints find their person more easily. MMPose takes this order
# for any 17 joints, and their own for any other number.
_ORDER_OF_17 = (0, 1, 2, 3, 4, 5, 6, 11, 12, 7, 8, 9, 10, 13, 14, 15, 16)
_HALF, _NONE = np.float32(0.5), np.float32(0)


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
    maps: Sequence[Maps | Sequence[Maps]],
    placement: PosePlacement | UnbiasedPlacement,
    options: PoseDecode = PUBLISHED,
    scales: Sequence[float] = (1.0,),
) -> Poses:
    """A network's maps of one image -> the people in it, in the order of detection.

    `maps[i]` is (2, C, h, w) float32 at `scales[i]`: of the image, then of its mirror image, as the network gave
    it; without `options.flip` only the first is read. C is 2 * K for K joints: K heatmaps and K tag maps (K + 1 without
    `options.tag_per_joint`). Of a network of several outputs it is one such array for each; those without tags have K
    or more channels. `placement` is that of scale 1. A joint that was not found has score 0 and the image point of the
    map's corner, as in MMPose.

    Results are MMPose's where torch upsamples bilinearly with `fma(left, w0, right * w1)`: processors with fused
    multiply-add, maps with height + width > 128.

    Raises:
        BadShapeError: maps of another shape or dtype, or other in number than the scales.
        BadInputError: a NaN, an infinity or a value beyond 1e12 in the maps.
    """
    skeleton = options.skeleton or COCO
    by_scale = _checked(maps, scales, options, len(skeleton.joints))
    fields = _fields(by_scale, placement.model_hw, options, skeleton)
    tables = _tables(fields.heat.plain.shape[1:], fields.tag.plain.shape[1:], fields.size_hw, options.align_corners)
    ceiling = np.empty((len(skeleton.joints), *fields.heat.plain.shape[1:]), np.float32)
    if not (ceilings(fields.heat, ceiling) and is_in_range(fields.tag)):
        raise BadInputError(
            f"pose maps must be finite and at most {LARGEST:.0e}, got a NaN, an infinity or more. "
            "Check the network's precision."
        )
    people = _people(fields, tables, ceiling, options)
    heat = fields.heat
    if options.adjust and options.unbiased:
        heat = _dense(peak_shape.move_to_tops(heat.plain, people))
        ceilings(heat, ceiling)
    elif options.adjust:
        pose_refine.adjust(heat, people)
    person_score = pose_grouping.person_scores(people)
    if options.refine and len(people):
        centre = _NONE if options.unbiased else _HALF
        pose_refine.fill_missing(heat, fields.tag, ceiling, tables.tiles, people, centre)
    return Poses(
        xy_px=placement.to_image(people[..., :2], fields.size_hw),
        score=np.ascontiguousarray(people[..., 2]),
        person_score=person_score,
    )


def decode_views(
    outputs: Sequence[Array | Sequence[Array]],
    views: Sequence[View],
    spec: ModelSpec,
    frame: Frame = "image",
    *,
    probability: bool = False,
) -> Poses:
    """Outputs (C, h, w) for each view of an image -> its people, in pixels of the image or of the network's input.

    A network of several outputs has one of each for every view.

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
    by_view = [[each] if isinstance(each, np.ndarray) else list(each) for each in outputs]
    wrong = next((output for of_view in by_view for output in of_view if output.ndim != 3), None)
    if wrong is not None:
        raise BadGraphError(f"{spec.name}: expected maps (channels, h, w), the network gave {wrong.shape}.")
    flip = any(view.mirrored for view in views)
    step = 2 if flip else 1
    scales = [view.ratio for view in views[::step]]
    maps = [
        [_stacked(of_views) for of_views in zip(*by_view[start : start + step], strict=True)]
        for start in range(0, len(views), step)
    ]
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
    """The matched people: (P, K, 3) float32, x and y in whole pixels of the maps, and score."""
    joints = len(ceiling)
    values = np.empty((joints, options.max_people), np.float32)
    indices = np.empty((joints, options.max_people), np.int64)
    tags = np.empty((joints, options.max_people, 2 if fields.tag.has_mirror else 1), np.float32)
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
        np.array(_ORDER_OF_17) if joints == len(_ORDER_OF_17) else np.arange(joints),
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


def _checked(
    maps: Sequence[Maps | Sequence[Maps]], scales: Sequence[float], options: PoseDecode, joints: int
) -> list[tuple[float, list[Maps]]]:
    """Check the maps, and sort them with their scales, largest first."""
    channels = 2 * joints if options.tag_per_joint else joints + 1
    images = 2 if options.flip else 1
    if not maps or len(maps) != len(scales):
        raise BadShapeError(f"one array of maps a scale is needed, got {len(maps)} for {len(scales)} scales.")
    of_scales = [[each] if isinstance(each, np.ndarray) else list(each) for each in maps]
    for outputs in of_scales:
        if options.tags_output >= len(outputs):
            raise BadShapeError(
                f"tags are in output {options.tags_output}, counted from 0, got {len(outputs)} outputs."
            )
        for place, array in enumerate(outputs):
            needed = channels if place == options.tags_output else joints
            fits = array.ndim == 4 and array.shape[0] >= images and array.size
            if not (fits and (array.shape[1] == needed or (len(outputs) > 1 and array.shape[1] > needed))):
                raise BadShapeError(
                    f"pose maps must be ({images}, {needed}, h, w) float32, got {array.shape} {array.dtype}. "
                    "Check the options flip, tag_per_joint and skeleton."
                )
            if array.dtype != np.float32:
                raise BadShapeError(f"pose maps must be float32, got {array.dtype}.")
    if len(scales) > 1 and 1 not in scales:
        raise BadShapeError(f"tags are read at scale 1, but the scales are {tuple(scales)}. Add 1 to them.")
    # A read-only or strided array would be a type of its own to the compiler, and compiled for again.
    plain = [[np.require(each, requirements=("C", "A", "W")) for each in outputs] for outputs in of_scales]
    return sorted(zip(scales, plain, strict=True), key=lambda pair: -pair[0])


def _fields(
    by_scale: list[tuple[float, list[Maps]]], model_hw: tuple[int, int], options: PoseDecode, skeleton: Skeleton
) -> _Fields:
    """Heatmaps of all outputs and scales, and the tags of scale 1, read at the resolution of the peak search."""
    joints, mirrored = np.arange(len(skeleton.joints)), np.array(skeleton.mirrored)
    first_outputs = by_scale[0][1]
    size_hw = model_hw if options.project_to_image else _size_hw(first_outputs[-1])
    outputs_of_one = first_outputs if len(by_scale) == 1 else dict(by_scale)[1]
    tag = _field(
        outputs_of_one[options.tags_output],
        len(joints) + (joints if options.tag_per_joint else 0 * joints),
        len(joints) + (mirrored if options.tag_per_joint else 0 * joints),
        size_hw,
        options,
    )
    is_plain = len(first_outputs) == 1 and not (options.unbiased or options.align_corners)
    if is_plain and len(by_scale) == 1:
        return _Fields(_field(first_outputs[0], joints, mirrored, size_hw, options), tag, size_hw)
    total = stages.mean_heatmaps(
        [outputs for _, outputs in by_scale],
        skeleton.mirrored,
        model_hw if options.project_to_image else None,
        flip=options.flip,
        align_corners=options.align_corners,
    )
    return _Fields(_dense(total), tag, size_hw)


def _dense(heat: Maps) -> Field:
    """A field of maps (K, H, W) that need no upsampling."""
    joints = np.arange(len(heat))
    return field(heat, None, joints, joints, _size_hw(heat))


def _field(
    array: Maps,
    channel: npt.NDArray[np.int64],
    mirror_channel: npt.NDArray[np.int64],
    size_hw: tuple[int, int],
    options: PoseDecode,
) -> Field:
    mirrored = array[1] if options.flip else None
    return field(array[0], mirrored, channel, mirror_channel, size_hw, options.align_corners)


def _size_hw(array: Maps) -> tuple[int, int]:
    return int(array.shape[-2]), int(array.shape[-1])


@lru_cache(maxsize=16)
def _tables(
    heat_hw: tuple[int, int], tag_hw: tuple[int, int], size_hw: tuple[int, int], align_corners: bool
) -> _Tables:
    heat_rows, heat_cols = table(heat_hw[0], size_hw[0]), table(heat_hw[1], size_hw[1])
    tag_rows, tag_cols = (table(tag_hw[axis], size_hw[axis], align_corners=align_corners) for axis in (0, 1))
    return _Tables(
        pose_peaks.cells(heat_rows, heat_cols, heat_hw),
        pose_refine.tiling(heat_rows, heat_cols, tag_rows, tag_cols, tag_hw),
    )
