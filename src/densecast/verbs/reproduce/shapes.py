"""Chooses the input shape of a run's builds: one that fits every image they will meet."""

from __future__ import annotations

from pathlib import Path

from densecast.measure.data_source import DataSource
from densecast.spec.model import ModelSpec
from densecast.spec.options import BuildOptions, InputShape


def shape_of(
    spec: ModelSpec, images: tuple[Path, ...], found: DataSource | None, build: BuildOptions, *, has_int8: bool
) -> InputShape:
    """The shape of all builds: as asked, else one that fits the images of evaluation and calibration."""
    if build.shape != InputShape():
        return build.shape
    calibration = _calibration_images(found, build) if has_int8 and found is not None else ()
    return _common_shape(spec, (*images, *calibration))


def _calibration_images(found: DataSource, build: BuildOptions) -> tuple[Path, ...]:
    """The images that int8 builds draw theirs from."""
    return tuple(sample.image for sample in found.open(build.quantize.split).samples)


def _common_shape(spec: ModelSpec, images: tuple[Path, ...]) -> InputShape:
    """A fixed input shape if all images lead to the same size, else dynamic sizes."""
    from densecast.imaging.read import size_hw

    if spec.slide is not None:
        return _window_shape(spec, images)
    sizes = {spec.preprocess.place(size_hw(path, use_exif=spec.preprocess.use_exif)).model_hw for path in images}
    if len(sizes) != 1:
        return InputShape()
    height, width = sizes.pop()
    return InputShape(height=height, width=width)


def _window_shape(spec: ModelSpec, images: tuple[Path, ...]) -> InputShape:
    """The sliding windows' size if all images have windows of one size, else dynamic sizes."""
    from densecast.imaging.read import size_hw

    assert spec.slide is not None, "the spec has sliding windows"
    wholes = {spec.preprocess.place(size_hw(path, use_exif=spec.preprocess.use_exif)).model_hw for path in images}
    sizes = {spec.slide.window_hw(whole) for whole in wholes}
    if len(sizes) != 1:
        return InputShape()
    height, width = sizes.pop()
    return InputShape(height=height, width=width)
