"""Finds the sizes that a torch network takes, by running it: any, multiples of a number, or one size alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from densecast.errors import BadGraphError, BadShapeError
from densecast.spec import shapes as shapes_of_images
from densecast.spec.model import ModelSpec
from densecast.spec.preprocess import PoseAffine
from densecast.spec.tensor import Dim, Feeds, TensorSpec
from densecast.spec.verb_options import ExportOptions
from densecast.tasks.segmentation import resized_twice
from densecast.verbs.export import outputs, whole_patches
from densecast.verbs.export.torch_file import last_line

# The last ones are those of transformers with patches of 7 or 14 and windows of 7 or 12.
MULTIPLES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 14, 28, 12, 24, 48, 7, 56, 224)
# About this long are the sides that are tried: small, for speed, and odd multiples, which halving shows.
_SIDE = 72
_EXAMPLE_HW = (512, 512)
# Of a traced image: more takes long.
_MOST_PIXELS = 1 << 20
_CHANNELS = re.compile(r"expected input\[.*?\] to have (\d+) channels, but got (\d+) channels")
# A side that the words of a network's own error speak of.
_NUMBERS = re.compile(r"(?<![\w.])(\d{2,4})(?![\w.])")
# The second shape's sides, as shares of the first one's: smaller, and of another aspect.
_SECOND_SHAPE = (0.53, 0.71)
# It is wider than high by more than a patch of 32, so that it is not as many patches high as wide: networks that know
# the number of patches alone take it for a square.
_WIDER_PX = 33


def fit(spec: ModelSpec, run: Callable[[Feeds], Feeds], where: str | Path) -> tuple[ModelSpec, str | None]:
    """The spec with the multiple that height and width must be of, and a note on it if there is one.

    Images are then padded to it and the prediction is cut back, where the resize does not say otherwise.

    Raises:
        BadGraphError: it runs at none of the sizes; says why.
    """
    height, width = spec.input.shape[2:]
    if not (isinstance(height, Dim) and isinstance(width, Dim)):
        return spec, None
    reasons = []
    own_hw = resized_hw(spec)
    own_hw = own_hw if own_hw is not None and _runs(spec, run, own_hw) else None
    for multiple in MULTIPLES:
        lowest = max(height.min, width.min)
        if multiple % height.multiple or multiple % width.multiple or not _divides(multiple, own_hw):
            continue
        sides = _sides(multiple, max(lowest, _SIDE))
        batch = spec.input.shape[0]
        shape = (batch if isinstance(batch, int) else 1, spec.input.shape[1], *sides)
        assert isinstance(shape[1], int)
        try:
            run(outputs.trial_feeds(spec, (shape[0], shape[1], *sides), 0))
        except ImportError as error:
            raise BadGraphError(
                f"{where} needs a package that is not installed ({last_line(error)}). Install it, and export again."
            ) from error
        except Exception as error:  # the network's own code raises its own kinds
            reasons.append(last_line(error))
            continue
        if multiple > 1:
            return with_multiple(spec, multiple), said(spec, multiple, reasons[0])
        patch = whole_patches.find(spec, run)
        if patch is None:
            return spec, None
        return with_multiple(spec, patch.multiple), said(spec, patch.multiple, patch.why)
    if own_hw is None:
        _refuse_other_channels(spec, reasons[-1] if reasons else "")
    squares = [(int(number), int(number)) for number in _NUMBERS.findall(reasons[-1] if reasons else "")]
    for size_hw in dict.fromkeys(squares if own_hw is None else [own_hw]):
        if height.admits(size_hw[0]) and width.admits(size_hw[1]) and _runs(spec, run, size_hw):
            return fixed(spec, size_hw), (
                f"of the sizes that were tried only {size_hw[0]}×{size_hw[1]} works: height and width are fixed "
                f"({reasons[-1]})"
            )
    raise BadGraphError(
        f"{where} runs at no size that was tried, odd ones nor multiples of 2 to 256 "
        f"({reasons[-1] if reasons else ''}). If it takes one size alone, give that: --static 1xHEIGHTxWIDTH.",
        field="size_hw",
    )


def resized_hw(spec: ModelSpec) -> tuple[int, int] | None:
    """The size to which preprocessing brings every image, as a stretch or a letterbox does, where sizes are open.

    None where images keep sizes of their own, or where the network does not take that one.
    """
    height, width = spec.input.shape[2:]
    placed = shapes_of_images.resized_hw(spec.preprocess) if spec.slide is None else None
    if placed is None or not (isinstance(height, Dim) and isinstance(width, Dim)):
        return None
    return placed if height.admits(placed[0]) and width.admits(placed[1]) else None


def example_hw(spec: ModelSpec, options: ExportOptions, example: tuple[int, int] | None = None) -> tuple[int, int]:
    """The size at which to trace a network: the one asked for, or that of its images where it is small enough."""
    own = resized_hw(spec)
    own = own if own is not None and own[0] * own[1] <= _MOST_PIXELS else None
    return options.size_hw or example or own or _EXAMPLE_HW


def fixed(spec: ModelSpec, size_hw: tuple[int, int]) -> ModelSpec:
    """The spec with this height and width alone."""
    return spec.with_input(replace(spec.input, shape=(*spec.input.shape[:2], *size_hw)))


def divides_resized(spec: ModelSpec, multiple: int) -> bool:
    """Whether images already come to whole multiples, as far as their size is known."""
    return _divides(multiple, resized_hw(spec))


def _divides(multiple: int, size_hw: tuple[int, int] | None) -> bool:
    return size_hw is None or not any(side % multiple for side in size_hw)


def _runs(spec: ModelSpec, run: Callable[[Feeds], Feeds], size_hw: tuple[int, int]) -> bool:
    """Whether it takes images of this size."""
    batch, channels = spec.input.shape[:2]
    assert isinstance(channels, int)
    shape = (batch if isinstance(batch, int) else 1, channels, *size_hw)
    return outputs.answered(run, outputs.trial_feeds(spec, shape, 0)) is not None


def _refuse_other_channels(spec: ModelSpec, reason: str) -> None:
    """Say it, where torch's words show that the first layer takes another number of channels.

    Raises:
        BadGraphError: it does.
    """
    found = _CHANNELS.search(reason)
    if found and int(found[2]) == spec.input.shape[1]:
        raise BadGraphError(
            f"the network takes images of {found[1]} channels, and is fed {found[2]}. Declare them in a spec file: "
            f"channels = {found[1]} beside its labels, and --spec instead of --labels.",
            field="channels",
        )


def of_zoo(spec: TensorSpec, options: ExportOptions, multiple: int) -> TensorSpec:
    """The zoo entry's input with the requested fixed or dynamic sizes."""
    lowest = -(-max(options.side.min, multiple) // multiple) * multiple
    highest = options.side.max // multiple * multiple
    height: int | Dim = Dim("H", lowest, highest, multiple)
    width: int | Dim = Dim("W", lowest, highest, multiple)
    if options.size_hw is not None:
        height, width = options.size_hw
        if height % multiple or width % multiple:
            raise BadShapeError(
                f"this network's height and width must be multiples of {multiple}, got {height}×{width}.",
                field="size_hw",
            )
    batch: int | Dim = options.batch or Dim("N", 1, options.largest_batch)
    return replace(spec, shape=(batch, spec.shape[1], height, width))


def requested(spec: ModelSpec, options: ExportOptions) -> ModelSpec:
    """The spec's own input with the requested fixed sizes."""
    height, width = options.size_hw or spec.input.shape[2:]
    sizes = (options.batch or spec.input.shape[0], spec.input.shape[1], height, width)
    return spec.with_input(replace(spec.input, shape=sizes))


def with_multiple(spec: ModelSpec, multiple: int) -> ModelSpec:
    """The spec with open heights and widths of this multiple, to which images are padded.

    Sliding windows have such a size themselves, whatever the image's is. Logits of padded images are not resized once.
    """

    def of_multiple(size: int | Dim) -> int | Dim:
        if isinstance(size, int):
            return size
        lowest = -(-size.min // multiple) * multiple
        return replace(size, min=lowest, max=size.max // multiple * multiple, multiple=multiple)

    batch, channels, height, width = spec.input.shape
    image: TensorSpec = replace(spec.input, shape=(batch, channels, of_multiple(height), of_multiple(width)))
    preprocess = spec.preprocess
    has_size = isinstance(preprocess.resize, PoseAffine) or spec.slide is not None
    if not has_size and preprocess.pad_multiple % multiple:
        preprocess = replace(preprocess, pad_multiple=multiple)
    spec = replace(spec.with_input(image), preprocess=preprocess)
    return spec if preprocess.surroundings() is None else resized_twice(spec)


def said(spec: ModelSpec, multiple: int, reason: str) -> str:
    """The note on a multiple that was found."""
    done = "images are padded to them" if spec.slide is None else "sliding windows are"
    return f"height and width must be multiples of {multiple}: {done} ({reason})"


def _sides(multiple: int, near: int) -> tuple[int, int]:
    """Two odd multiples of about this length."""
    times = max(1, -(-near // multiple)) | 1
    return times * multiple, (times + 2) * multiple


def shapes(spec: TensorSpec, example_size_hw: tuple[int, int]) -> list[tuple[int, ...]]:
    """The example's shape and, if sizes are dynamic, a smaller and a wider one with more images."""
    batch, channels, height, width = spec.shape
    size_of = {"H": example_size_hw[0], "W": example_size_hw[1]}

    def near(size: int | Dim, side: int) -> int:
        if isinstance(size, int):
            return size
        return min(max(side // size.multiple * size.multiple, size.min), size.max)

    def shape(images: int, share_h: float, share_w: float) -> tuple[int, ...]:
        assert isinstance(channels, int)
        h = near(height, int(size_of["H"] * share_h))
        wide = int(size_of["W"] * share_w)
        w = near(width, wide if images == 1 else max(wide, h + _WIDER_PX))
        return (batch if isinstance(batch, int) else images, channels, h, w)

    return list(dict.fromkeys([shape(1, 1.0, 1.0), shape(2, *_SECOND_SHAPE)]))
