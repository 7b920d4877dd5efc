"""The network of a large picture: runs one tile at a time, and knows which tiles it takes."""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm

import numpy as np
import numpy.typing as npt

from densecast.errors import BadConfigError, BadGraphError, BadShapeError, UsageError
from densecast.imaging.prepare import prepare
from densecast.imaging.strips import Pixels
from densecast.pipeline import Pipeline
from densecast.runtime.batching import batches
from densecast.session import Slot
from densecast.spec.preprocess import Native
from densecast.spec.tensor import Dim
from densecast.tasks.segmentation import SegmentationDecode, decode_options, forms

F32 = npt.NDArray[np.float32]
# Networks halve their maps a few times: shifted by so many pixels, all of them see the same grid.
_GRID_PX = 64
_DEFAULT_TILE_PX = 1024


@dataclass(frozen=True, slots=True)
class Side:
    """What the network takes along one side: tiles of exactly `tile_px`, or of about that, in steps of `align_px`."""

    tile_px: int
    align_px: int
    is_fixed: bool


class TileNetwork:
    """A segmentation network over tiles of a picture at its own scale; `planes` gives the values before the argmax."""

    def __init__(self, pipeline: Pipeline, slot: Slot, tile_hw: tuple[int, int] | None = None) -> None:
        """Check that the model can see a picture in tiles.

        Raises:
            BadConfigError, UsageError: it cannot, or not in tiles of this size.
        """
        spec = pipeline.spec
        _check(pipeline)
        self.spec, self.rule, self.options = spec, spec.preprocess, decode_options(spec)
        self._slot, self._tensor, self._batch_sizes = slot, spec.input, pipeline.session.batch_sizes
        self._compute = pipeline.precision.compute
        channels = spec.input.shape[1]
        assert isinstance(channels, int), "checked when the pipeline was opened"
        self._channels = channels
        self.sides = tuple(
            side_of(size, spec.preprocess.pad_multiple, wanted)
            for size, wanted in zip(spec.input.shape[2:], tile_hw or (None, None), strict=True)
        )
        self.cell_px = self._cell()

    @property
    def tile_hw(self) -> tuple[int, int]:
        """The tiles' height and width."""
        return self.sides[0].tile_px, self.sides[1].tile_px

    @property
    def bands(self) -> int:
        """The bands of the pictures that the network is given."""
        return 3 if self._channels in (1, 3) else self._channels

    @property
    def compute(self) -> str:
        """The number type that most of the network runs in."""
        return self._compute

    def raw(self, pixels: Pixels, size_hw: tuple[int, int]) -> F32:
        """(h, w, bands) of the picture -> the main output (C, h', w') of a tile of that size, in a new array.

        Where the picture ends before the tile does, and the model's padding does not fill it, its border is repeated.
        """
        if self.rule.place((pixels.shape[0], pixels.shape[1])).model_hw != size_hw:
            down, right = size_hw[0] - pixels.shape[0], size_hw[1] - pixels.shape[1]
            pixels = np.pad(pixels, ((0, down), (0, right), (0, 0)), mode="edge")
        buffers = self._slot.buffers
        buffers.turn()
        row = buffers.empty((1, self._channels, *size_hw), self._tensor.dtype)[0]
        prepare(pixels, self.rule, out=row)
        # A build of larger batches alone gets the tile with empty ones beside it.
        ((_, feeds),) = batches([{self._tensor.name: row}], self.spec.inputs, self._batch_sizes, buffers)
        planes = np.asarray(self._slot.run(feeds)[self.spec.output.name][0])
        if planes.ndim == 2:
            planes = planes[None]
        if planes.ndim != 3 or planes.dtype.kind != "f":
            raise BadGraphError(
                f"{self.spec.name}: outputs of tiles must be planes (C, h, w) of numbers; the network gave "
                f"{planes.dtype} {planes.shape}."
            )
        return np.array(planes, dtype=np.float32, order="C")

    def decided(self, planes: F32) -> F32:
        """The planes of which the largest is the label."""
        return np.ascontiguousarray(np.asarray(forms.planes(planes, self.options), dtype=np.float32))

    def cells(self, size_hw: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the output of a tile of that size; tried where its sides are no multiples of a cell."""
        if all(side % self.cell_px == 0 for side in size_hw):
            return size_hw[0] // self.cell_px, size_hw[1] // self.cell_px
        shape = self.raw(np.zeros((*size_hw, self.bands), np.uint8), size_hw).shape
        return shape[1], shape[2]

    def _cell(self) -> int:
        """How many pixels of the input one cell of the output stands for."""
        height, width = self.tile_hw
        shape = self.raw(np.zeros((height, width, self.bands), np.uint8), (height, width)).shape
        cell = max(1, height // int(shape[1]))
        if (shape[1] * cell, shape[2] * cell) != (height, width):
            raise BadShapeError(
                f"{self.spec.name}: tiles of {height}x{width} pixels lead to outputs of {shape[1]}x{shape[2]}, which "
                "is no whole number of pixels each. Take tiles of another size (--tile), such as a multiple of 64."
            )
        return cell


def _check(pipeline: Pipeline) -> None:
    spec = pipeline.spec
    if spec.task != "segmentation":
        raise UsageError(
            f"{spec.name}: large pictures are for segmentation and pose, this model is for {spec.task}.", field="large"
        )
    if len(spec.inputs) > 1:
        raise UsageError(
            f"{spec.name}: tiles are for networks of one input, this one takes {len(spec.inputs)}.", field="large"
        )
    if not pipeline.augment.is_plain:
        raise UsageError(
            f"{spec.name}: a large picture is seen once, neither mirrored nor at several ratios. Leave them out.",
            field="flip" if pipeline.augment.flip else "ratios",
        )
    if not isinstance(spec.preprocess.resize, Native):
        raise UsageError(
            f"{spec.name}: it resizes every picture ({spec.preprocess.resize.kind}), and tiles are seen at the "
            "picture's own scale. Export the network with --resize native.",
            field="large",
        )
    options = decode_options(spec)
    if options.form == "labels" or options.to_image == "blended_labels":
        raise UsageError(
            f"{spec.name}: its graph ends in the argmax, and tiles are put together from logits. Export the network "
            "with its logits as the output.",
            field="large",
        )


def side_of(size: int | Dim, pad_multiple: int, wanted: int | None) -> Side:
    """The tiles along one side.

    Raises:
        BadConfigError: tiles of a size that the network does not take.
    """
    if isinstance(size, int):
        if wanted not in (None, size):
            raise BadConfigError(
                f"tiles of {wanted} pixels were asked for, and the network takes {size}.", field="tile"
            )
        return Side(size, lcm(_GRID_PX, pad_multiple), True)
    unit = lcm(size.multiple, pad_multiple)
    align = lcm(_GRID_PX, unit)
    tile = wanted if wanted is not None else max(min(_DEFAULT_TILE_PX, size.max - align) // align * align, unit)
    if tile % unit or not size.admits(tile):
        raise BadConfigError(f"tiles of {tile} pixels were asked for, and the network takes {size}.", field="tile")
    # The last tile of a row may be longer, where the network takes that.
    return Side(tile, align, size.multiple > 1 or size.max < tile + align)


def largest_class_count(options: SegmentationDecode, channels: int) -> int:
    """How many planes are told apart."""
    return 2 if options.form.startswith("binary") else channels
