"""Predicts pictures of any size at constant memory: read in strips, seen in tiles, written as they are finished."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from densecast.errors import BadImageError, DensecastError, UsageError
from densecast.imaging.strips import Strips, open_strips
from densecast.imaging.tiff_writer import TILE_PX, TiffWriter
from densecast.pipeline import Pipeline
from densecast.results.predictions import TileRecord
from densecast.spec.sample import label_dtype
from densecast.spec.tiles import Grid
from densecast.verbs.large import blended, exact, people, reach, windows
from densecast.verbs.large.exact import Band, Seams
from densecast.verbs.large.network import TileNetwork, largest_class_count
from densecast.verbs.large.reach import Reach

Step = Callable[[int, int], None]
# Of what neighbouring tiles share where they are blended, of a tile's side.
_BLENDED_SHARE = 0.25
_MOST_ROW_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Files:
    """Where the labels of one picture go; `score` and `colour` if they are wanted."""

    labels: Path
    score: Path | None = None
    colour: Path | None = None


class LargeLabels:
    """Labels pictures of any size with one model; how far its network looks is measured once."""

    def __init__(
        self, pipeline: Pipeline, *, tile_hw: tuple[int, int] | None = None, overlap_px: int | None = None
    ) -> None:
        self._pipeline, self._tile_hw, self._overlap_px = pipeline, tile_hw, overlap_px
        self._reach: Reach | None = None

    def check(self) -> None:
        """Refuse what no picture can be labelled with, before any is read.

        Raises:
            BadConfigError, UsageError: another task, tiles of a size that the network does not take, and the like.
        """
        with self._pipeline.session.lease() as slot:
            network = TileNetwork(self._pipeline, slot, self._windows_or_tiles())
            if network.spec.slide is None:
                self._grids(network)
            elif self._tile_hw is not None or self._overlap_px is not None:
                raise UsageError(
                    f"{network.spec.name}: its own sliding windows ({network.spec.slide}) say how it sees a picture.",
                    field="tile" if self._tile_hw is not None else "overlap",
                )

    def label(self, path: Path, files: Files, step: Step | None = None) -> TileRecord:
        """Write the labels of one picture; `step` is told how many tiles are done, and of how many.

        Raises:
            BadImageError: the picture cannot be read in strips, or is damaged.
            BadInputError: outputs that are not finite.
        """
        with open_strips(path, self._pipeline.spec) as strips, self._pipeline.session.lease() as slot:
            network = TileNetwork(self._pipeline, slot, self._windows_or_tiles())
            _refuse_wide(path, strips, network.tile_hw[0], network.bands)
            if network.spec.slide is not None:
                counter = _Counter(windows.count(network, strips), step)
                bands = windows.labels(network, strips, scored=files.score is not None, done=counter)
                self._write(network, strips, files, bands)
                return TileRecord("windows", network.tile_hw, 0, counter.total, str(network.spec.slide))
            record, grids = self._grids(network)
            tiles = [
                grid.tiles(side)
                for grid, side in zip(grids, exact.input_hw(network, grids, strips.size_hw), strict=True)
            ]
            counter, seams = _Counter(len(tiles[0]) * len(tiles[1]), step), Seams()
            scored = files.score is not None
            if record.how == "exact":
                bands = exact.labels(network, strips, grids, seams, scored=scored, done=counter)
            else:
                bands = blended.labels(network, strips, grids, scored=scored, done=counter)
            self._write(network, strips, files, bands)
            return _told(replace(record, tiles=counter.total), network, grids, strips, seams)

    def _windows_or_tiles(self) -> tuple[int, int] | None:
        slide = self._pipeline.spec.slide
        return self._tile_hw if slide is None else slide.crop_hw

    def _grids(self, network: TileNetwork) -> tuple[TileRecord, tuple[Grid, Grid]]:
        """How tiles are placed, and what is to be said of it."""
        if self._reach is None:
            self._reach = reach.measure(network)
        found, cell = self._reach, network.cell_px
        needed = None if found.px is None else 2 * (found.px + cell)
        how, why = "exact", ""
        if needed is None:
            how, why = "blended", found.why
        elif self._overlap_px is not None and self._overlap_px < needed:
            how, why = "blended", f"tiles share {self._overlap_px} pixels, and exact ones need {needed}"
        elif min(network.tile_hw) - needed < max(each.align_px for each in network.sides):
            how, why = (
                "blended",
                f"tiles of {min(network.tile_hw)} pixels are too small for exact ones, which share {needed}",
            )
        overlap = self._overlap_px
        if overlap is None:
            overlap = needed if how == "exact" and needed is not None else round(_BLENDED_SHARE * min(network.tile_hw))
        down, across = (Grid(side.tile_px, overlap, side.align_px, cell, side.is_fixed) for side in network.sides)
        _ = down.step_px, across.step_px
        return TileRecord(how, network.tile_hw, overlap, 0, why, found.px), (down, across)

    def _write(self, network: TileNetwork, strips: Strips, files: Files, bands: Iterator[Band]) -> None:
        try:
            self._write_all(network, strips, files, bands)
        except OSError as error:
            raise DensecastError(f"{files.labels.name} could not be written ({error.strerror or error}).") from None

    def _write_all(self, network: TileNetwork, strips: Strips, files: Files, bands: Iterator[Band]) -> None:
        spec = network.spec
        dtype = label_dtype(largest_class_count(network.options, len(spec.labels)))
        words = ", ".join(f"{number} {name}" for number, name in enumerate(spec.labels))
        with TiffWriter(files.labels, strips.size_hw, dtype, description=words, tags=strips.tags) as target:
            others: list[TiffWriter] = []
            try:
                if files.score is not None:
                    others.append(TiffWriter(files.score, strips.size_hw, np.uint16, tags=strips.tags))
                if files.colour is not None:
                    others.append(
                        TiffWriter(
                            files.colour,
                            strips.size_hw,
                            dtype,
                            palette=spec.palette,
                            description=words,
                            tags=strips.tags,
                        )
                    )
                for labels, probability in bands:
                    target.add(labels)
                    if files.colour is not None:
                        others[-1].add(labels)
                    if probability is not None:
                        others[0].add(np.rint(probability.astype(np.float64) * 65535).astype(np.uint16))
            finally:
                for each in others:
                    each.close()


class LargePeople:
    """Finds the people of pictures of any size with one model, tile by tile."""

    def __init__(
        self, pipeline: Pipeline, *, tile_hw: tuple[int, int] | None = None, overlap_px: int | None = None
    ) -> None:
        self._pipeline, self._tile_hw, self._overlap_px = pipeline, tile_hw, overlap_px

    def find(self, path: Path, stem: Path, step: Step | None = None) -> tuple[Path, TileRecord]:
        """Write the people of one picture in the task's own format; gives the file and how tiles were placed.

        Raises:
            BadImageError: the picture cannot be read in strips, or is damaged.
            BadShapeError, UsageError: the model does not take such tiles.
        """
        with open_strips(path, self._pipeline.spec) as strips:
            grids = people.grids_of(self._pipeline, strips.size_hw, self._tile_hw, self._overlap_px)
            _refuse_wide(path, strips, grids[0].tile_px, 3)
            counts = [len(grid.tiles(side)) for grid, side in zip(grids, strips.size_hw, strict=True)]
            counter = _Counter(counts[0] * counts[1], step)
            found = people.people(self._pipeline, strips, grids, counter)
        tile_hw = (grids[0].tile_px, grids[1].tile_px)
        record = TileRecord("people", tile_hw, min(each.overlap_px for each in grids), counter.total)
        return self._pipeline.task.save(stem, found, self._pipeline.spec), record


def _refuse_wide(path: Path, strips: Strips, tile_px: int, bands: int) -> None:
    """Refuse a picture of which a row of tiles would not fit into memory, whatever its header is up to.

    Raises:
        BadImageError: it is that wide.
    """
    size = (tile_px + TILE_PX) * strips.size_hw[1] * bands
    if size > _MOST_ROW_BYTES:
        raise BadImageError(
            f"{path}: {strips.size_hw[1]} pixels wide; a row of tiles would take {size >> 20} MiB, and up to "
            f"{_MOST_ROW_BYTES >> 20} are held. Take lower tiles (--tile), or cut it into parts."
        )


class _Counter:
    """Counts tiles and tells of them."""

    def __init__(self, total: int, step: Step | None) -> None:
        self.total, self._step, self._count = total, step, itertools.count(1)

    def __call__(self) -> None:
        number = next(self._count)
        if self._step is not None:
            self._step(number, self.total)


def _told(
    record: TileRecord, network: TileNetwork, grids: tuple[Grid, Grid], strips: Strips, seams: Seams
) -> TileRecord:
    """The record with what was seen of the picture itself."""
    model_hw = network.rule.place(strips.size_hw).model_hw
    padded_hw = exact.input_hw(network, grids, strips.size_hw)
    if padded_hw != model_hw:
        side = (
            f"the network takes {padded_hw[0]}x{padded_hw[1]}: the picture's border was repeated below and to the right"
        )
        record = replace(record, why="; ".join(filter(None, (record.why, side))))
    if record.how != "exact":
        return record
    apart = seams.apart / seams.largest if seams.largest else 0.0
    return replace(
        record, seam_difference=seams.apart, is_exact=apart <= reach.AT_SEAMS * reach.tolerances(network.compute)[-1]
    )
