"""Resolves the input shape of a build from the requested shape and the exported graph's.

Apart from the options themselves, which a command line reads before it has loaded numpy.
"""

from __future__ import annotations

from dataclasses import replace

from densecast.errors import BadShapeError
from densecast.spec.options import InputShape, Range
from densecast.spec.preprocess import Preprocess
from densecast.spec.slide import Slide
from densecast.spec.tensor import Dim, TensorSpec


def built_input(spec: TensorSpec, shape: InputShape, *, uint8: bool) -> TensorSpec:
    """The input spec of a model built for `shape` from a float artifact whose input is `spec`.

    Several listed batch sizes become an open dimension from the smallest to the largest.

    Raises:
        BadShapeError: a size the float graph does not take.
    """
    batch, channels, height, width = spec.shape
    if isinstance(shape.batch, Range):
        requested: int | Range = shape.batch
    elif len(shape.batch) == 1:
        requested = shape.batch[0]
    else:
        requested = Range(min(shape.batch), max(shape.batch))
    sizes = (
        _narrow("batch", batch, requested),
        channels,
        _narrow("height", height, shape.height),
        _narrow("width", width, shape.width),
    )
    return replace(spec, shape=sizes, dtype="uint8" if uint8 else spec.dtype)


def resized_hw(rule: Preprocess) -> tuple[int, int] | None:
    """The one size to which a rule brings every image; None where images keep sizes or aspects of their own."""
    size_hw: tuple[int, int] | None = getattr(rule.resize, "size_hw", None)
    if size_hw is None or getattr(rule.resize, "keep_ratio", False):
        return None
    return rule.place(size_hw).model_hw


def check_resize(spec: TensorSpec, rule: Preprocess, slide: Slide | None = None) -> str | None:
    """Check that resized images can have a size that an input takes; a remark where only some images will.

    Raises:
        BadShapeError: none can: the rule brings all images to one size, which is another.
    """
    if len(spec.shape) != 4 or slide is not None:
        # Sliding windows have a size of their own.
        return None
    height, width = spec.shape[2:]
    placed = resized_hw(rule)
    if placed is not None:
        if all(_admits(size, side) for size, side in zip((height, width), placed, strict=True)):
            return None
        sides = [
            size if isinstance(size, int) else size.typical(side)
            for size, side in zip((height, width), placed, strict=True)
        ]
        swapped = " Height comes first." if sides == [placed[1], placed[0]] and sides != list(placed) else ""
        raise BadShapeError(
            f"{rule.resize.kind} brings every image to {placed[0]}×{placed[1]}, but the network takes {height}×{width} "
            f"(height × width).{swapped} Resize to that, as {_typed(rule.resize.kind, sides)}, or make the network for "
            "the other size.",
            field="resize",
        )
    if isinstance(height, int) and isinstance(width, int):
        return (
            f"the network takes {height}×{width} only, and {rule.resize.kind} brings images to other sizes: only such "
            f"as come to {height}×{width} can be used. --resize stretch:{height}x{width}, letterbox:{height}x{width} "
            f"or fit:{height}x{width} brings all of them there"
        )
    return None


def _typed(kind: str, sides: list[int]) -> str:
    names = {"stretch": "stretch", "fit_into": "fit", "letterbox": "letterbox"}
    return f"--resize {names[kind]}:{sides[0]}x{sides[1]}" if kind in names else f"size_hw = [{sides[0]}, {sides[1]}]"


def _admits(size: int | Dim, side: int) -> bool:
    return size == side if isinstance(size, int) else size.admits(side)


def _narrow(axis: str, have: int | Dim, requested: int | Range | None) -> int | Dim:
    if requested is None:
        return have
    if isinstance(requested, int):
        fits = have == requested if isinstance(have, int) else have.admits(requested)
    elif isinstance(have, int):
        fits = requested.min == requested.max == have
    else:
        fits = have.min <= requested.min and requested.max <= have.max
    if not fits:
        if isinstance(have, int):
            cure = f"It is fixed inside the graph: build for it (--{axis} {have}), or export the network with it open."
        else:
            cure = f"Build for a {axis} within these bounds, or export it again with others."
        raise BadShapeError(
            f"{axis} {requested} was requested, but the exported graph takes {have}. {cure}", field=f"shape.{axis}"
        )
    if isinstance(requested, int) or isinstance(have, int):
        return have if isinstance(have, int) else int(requested) if isinstance(requested, int) else have
    if requested.min == requested.max:
        return requested.min
    return replace(have, min=requested.min, max=requested.max)
