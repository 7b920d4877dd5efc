"""People of a large picture: found in overlapping tiles, and merged where several tiles show the same person."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from densecast.errors import UsageError
from densecast.imaging.strips import Strips
from densecast.imaging.views import check_size
from densecast.pipeline import Pipeline
from densecast.spec.preprocess import PoseAffine
from densecast.spec.tiles import Grid
from densecast.tasks._prediction import Origin
from densecast.tasks.pose import Poses
from densecast.tasks.pose.similarity import sigmas_of
from densecast.verbs.large.picture import RowWindow

F64 = npt.NDArray[np.float64]
# Of a tile's joints these count as seen: those that score at least this share of the person's best one.
_CONFIDENT = 0.3
# As COCO's similarity, over the joints that one of both shows well.
_SAME_PERSON = 0.4
# A person is cut off where a joint lies within this share of a tile's side from an edge that is not the picture's.
_EDGE = 0.02


@dataclass(frozen=True, slots=True)
class Seen:
    """The people that one tile shows, in the picture's pixels; `is_cut` (n,) bool says who reaches beyond the tile."""

    people: Poses
    is_cut: npt.NDArray[np.bool_]
    tile: int


def grids_of(
    pipeline: Pipeline, size_hw: tuple[int, int], tile_hw: tuple[int, int] | None, overlap_px: int | None
) -> tuple[Grid, Grid]:
    """How tiles are placed: by default as large as the model scales pictures to, and half of a tile shared.

    Raises:
        UsageError: tiles that the model does not take, or that share all they have.
        BadShapeError: the network does not take such tiles.
    """
    rule = pipeline.spec.preprocess.resize
    if not isinstance(rule, PoseAffine):
        raise UsageError(f"{pipeline.spec.name}: poses in large pictures need the resize 'pose_affine'.", field="large")
    height, width = tile_hw or (rule.short_side, rule.short_side)
    overlap = min(height, width) // 2 if overlap_px is None else overlap_px
    sides = zip((height, width), size_hw, strict=True)
    down, across = (Grid(min(tile, side), min(overlap, tile - 1), 1, 1, True) for tile, side in sides)
    check_size((down.tile_px, across.tile_px), pipeline.spec, pipeline.augment)
    _ = down.step_px, across.step_px
    return down, across


def people(pipeline: Pipeline, strips: Strips, grids: tuple[Grid, Grid], done: Callable[[], None]) -> Poses:
    """Everybody in the picture, in the order of detection, tile by tile.

    Raises:
        BadImageError: the picture is damaged.
    """
    height, width = strips.size_hw
    window = RowWindow(strips)
    seen: list[Seen] = []
    rows, columns = grids[0].tiles(height), grids[1].tiles(width)
    for down in rows:
        pixels = window.rows(down.start, down.start + down.length)
        for across in columns:
            tile = np.ascontiguousarray(pixels[:, across.start : across.start + across.length])
            found: Poses = pipeline(tile)
            edges = (
                down.start > 0,
                across.start > 0,
                down.start + down.length < height,
                across.start + across.length < width,
            )
            cut = _is_cut(found, (down.length, across.length), edges)
            # The tile's own picture is not kept.
            origin = None if found.origin is None else Origin(found.origin.spec)
            xy_px = found.xy_px + np.asarray([across.start, down.start], np.float32)
            moved = Poses(xy_px, found.score, found.person_score, origin)
            seen.append(Seen(moved, cut, len(seen)))
            done()
    return merged(seen)


def merged(seen: Sequence[Seen]) -> Poses:
    """Everybody once: of those whom several tiles show, the one who is seen whole, or scores best.

    The joints that a person shows well in one tile are where another tile's person has them; each person takes the
    place of one of every other tile.
    """
    xy = np.concatenate([each.people.xy_px for each in seen])
    score = np.concatenate([each.people.score for each in seen])
    person = np.concatenate([each.people.person_score for each in seen])
    cut = np.concatenate([each.is_cut for each in seen])
    tile = np.concatenate([np.full(len(each.people), each.tile) for each in seen])
    everybody = Poses(xy, score, person, seen[0].people.origin)
    if not len(person):
        return everybody
    sigmas = sigmas_of(everybody)
    shown = (score > 0) & (score >= _CONFIDENT * score.max(axis=1, keepdims=True))
    boxes = _boxes(xy, shown)
    kept: list[int] = []
    taken: set[tuple[int, int]] = set()
    for one in np.lexsort((-person, cut)).tolist():
        match = _match(one, kept, taken, tile, boxes, everybody, shown, sigmas)
        if match is None:
            kept.append(one)
        else:
            taken.add((match, int(tile[one])))
    order = sorted(kept)
    return replace(everybody, xy_px=xy[order], score=score[order], person_score=person[order])


def _match(
    one: int,
    kept: Sequence[int],
    taken: set[tuple[int, int]],
    tile: npt.NDArray[np.int64],
    boxes: F64,
    people: Poses,
    shown: npt.NDArray[np.bool_],
    sigmas: F64,
) -> int | None:
    """The person among those kept who is the same as `one`, if anybody is."""
    places = np.asarray(kept, np.int64)
    if not len(places):
        return None
    meets = (boxes[places, :2] <= boxes[one, 2:]).all(axis=1) & (boxes[places, 2:] >= boxes[one, :2]).all(axis=1)
    places = places[meets & (tile[places] != tile[one])]
    places = np.asarray([each for each in places.tolist() if (each, int(tile[one])) not in taken], np.int64)
    if not len(places):
        return None
    sides = boxes[places, 2:] - boxes[places, :2]
    area = np.maximum(sides.prod(axis=1), np.square(sides.max(axis=1)) / 4)
    squared = np.square(people.xy_px[places].astype(np.float64) - people.xy_px[one]).sum(axis=-1)
    terms = np.exp(-squared / (2 * (2 * sigmas) ** 2 * (area[:, None] + 1e-9)))
    alike = (terms * shown[one]).sum(axis=1) / max(int(shown[one].sum()), 1)
    best = int(np.argmax(alike))
    return int(places[best]) if alike[best] >= _SAME_PERSON else None


def _boxes(xy: npt.NDArray[np.float32], shown: npt.NDArray[np.bool_]) -> F64:
    """(n, 4) left, top, right and bottom of the joints that are shown well."""
    points = xy.astype(np.float64)
    low = np.where(shown[..., None], points, np.inf).min(axis=1)
    high = np.where(shown[..., None], points, -np.inf).max(axis=1)
    return np.concatenate([low, high], axis=1)


def _is_cut(people: Poses, size_hw: tuple[int, int], edges: tuple[bool, bool, bool, bool]) -> npt.NDArray[np.bool_]:
    """Who has a well shown joint at one of the `edges` (top, left, bottom, right) beyond which the picture goes on."""
    shown = (people.score > 0) & (people.score >= _CONFIDENT * people.score.max(axis=1, keepdims=True, initial=0))
    margin = _EDGE * min(size_hw)
    x, y = people.xy_px[..., 0], people.xy_px[..., 1]
    sides = (y < margin, x < margin, y > size_hw[0] - margin, x > size_hw[1] - margin)
    cut = np.zeros(len(people), bool)
    for side, is_inner in zip(sides, edges, strict=True):
        if is_inner:
            cut |= (side & shown).any(axis=1)
    return cut
