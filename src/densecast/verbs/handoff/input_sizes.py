"""Determines the input sizes of a device's graph: the requested one, or all that the images lead to."""

from __future__ import annotations

from dataclasses import replace

from densecast.imaging.read import size_hw as size_of_file
from densecast.spec.model import ModelSpec
from densecast.spec.options import InputShape
from densecast.spec.preprocess import FitCentre, FitInto, Letterbox, Stretch
from densecast.spec.sample import Sample
from densecast.spec.shapes import built_input

Size = tuple[int, int]


def input_sizes(spec: ModelSpec, samples: tuple[Sample, ...], size_hw: Size | None) -> list[Size]:
    """All (height, width) of the network's input, ascending; only `size_hw` if it is given.

    Raises:
        BadImageError: an image's size cannot be read.
    """
    resize = spec.preprocess.resize
    if size_hw is not None:
        return [size_hw]
    if isinstance(resize, (FitCentre, FitInto, Letterbox, Stretch)):
        return [spec.preprocess.place(resize.size_hw).model_hw]
    place = spec.preprocess.place
    return sorted({place(size_of_file(sample.image, use_exif=spec.preprocess.use_exif)).model_hw for sample in samples})


def fixed_spec(spec: ModelSpec, sizes_hw: list[Size], batch: int, *, uint8: bool) -> ModelSpec:
    """The spec with a fixed batch size and, if there is a single input size, that size.

    Raises:
        BadShapeError: a size that the float graph does not take.
        UsageError: bytes, and the preprocessing needs floats.
    """
    if uint8:
        spec.preprocess.check_bytes()
    for height, width in sizes_hw:
        built_input(spec.input, InputShape((batch,), height, width), uint8=False)
    shape = InputShape((batch,), *(sizes_hw[0] if len(sizes_hw) == 1 else (None, None)))
    tensor = built_input(spec.input, shape, uint8=uint8)
    output = replace(spec.output, shape=(tensor.shape[0], *spec.output.shape[1:]))
    return spec.with_input(tensor).with_output(output)
