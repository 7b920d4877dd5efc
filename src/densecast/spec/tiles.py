"""Exact tiles: where a picture is cut so that no output depends on what lies beyond its tile."""

from __future__ import annotations

from dataclasses import dataclass

from densecast.errors import BadConfigError


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of one side of the network's input, in its pixels, and the output cells that are taken from it.

    Cells count from the start of the whole side; `begin` is the first that is taken, `end` the one after the last, or
    None of the last tile, which has all that are left.
    """

    start: int
    length: int
    begin: int
    end: int | None


@dataclass(frozen=True, slots=True)
class Grid:
    """How tiles of a side are placed: of `tile_px`, sharing at least `overlap_px`, at multiples of `align_px`.

    A cell of the output is `cell_px` pixels of the input. With `is_fixed` all tiles are exactly `tile_px` long; else
    the last one goes to the end of the side, and is up to `align_px` longer.
    """

    tile_px: int
    overlap_px: int
    align_px: int
    cell_px: int
    is_fixed: bool

    @property
    def step_px(self) -> int:
        """How far tiles are apart.

        Raises:
            BadConfigError: tiles that are no longer than what they share.
        """
        step = (self.tile_px - self.overlap_px) // self.align_px * self.align_px
        if step < 1:
            raise BadConfigError(
                f"tiles of {self.tile_px} pixels that share {self.overlap_px} do not move on by the {self.align_px} "
                "that this network needs. Take larger tiles (--tile, or build for a larger size).",
                field="tile",
            )
        return step

    def padded(self, side_px: int) -> int:
        """The length that a side of the input has to be brought to."""
        if not self.is_fixed:
            return side_px
        beyond = max(0, side_px - self.tile_px)
        return self.tile_px + -(-beyond // self.align_px) * self.align_px

    def tiles(self, side_px: int) -> tuple[Tile, ...]:
        """All tiles of a side of that (`padded`) length; borders between them are in the middle of what they share.

        >>> [(each.start, each.length, each.begin, each.end) for each in Grid(32, 8, 8, 2, False).tiles(60)]
        [(0, 32, 0, 14), (24, 36, 14, None)]
        """
        if side_px <= self.tile_px:
            return (Tile(0, side_px, 0, None),)
        last = (side_px - self.tile_px) // self.align_px * self.align_px
        starts = [*range(0, last, self.step_px), last]
        ends = [start + self.tile_px for start in starts[:-1]] + [side_px]
        borders = [(end + start) // 2 // self.cell_px for end, start in zip(ends[:-1], starts[1:], strict=True)]
        begins, stops = [0, *borders], [*borders, None]
        return tuple(
            Tile(start, end - start, begin, stop)
            for start, end, begin, stop in zip(starts, ends, begins, stops, strict=True)
        )
