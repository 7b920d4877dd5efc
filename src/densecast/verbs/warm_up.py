"""Warms up a built artifact: fills the compile caches that its first use in a new process would wait for.

That is the model compiled for this CPU, and the kernels of preprocessing and decoding, which numba compiles once on
each machine: some seconds for the first model of a task.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from pathlib import Path

import numpy as np

from densecast.artifact import Artifact
from densecast.imaging.read import read_for
from densecast.imaging.read import size_hw as size_of_file
from densecast.imaging.views import ModelInputs, prepare_views
from densecast.pipeline import Image, Pipeline
from densecast.runtime.batching import Buffers
from densecast.runtime.clock import unclocked
from densecast.spec.augment import Augment
from densecast.spec.model import ModelSpec
from densecast.spec.options import CalibrationMethod
from densecast.spec.preprocess import ScaleBy
from densecast.spec.tensor import Dim, Feeds
from densecast.tasks._base import TASKS

# Of sides that may have any size.
_SIDE = 512


def warm_up(artifact: Artifact, *, threads: int | None = None) -> None:
    """Run a synthetic image through all stages, so that the first image of `infer` is fast.

    A network for sizes that only odd images lead to is compiled and not run.

    Raises:
        BackendMissingError, MissingExtraError: its engine is not installed.
    """
    with Pipeline.open(artifact, threads=threads) as pipeline:
        image = _image(artifact)
        if image is None:
            return
        inputs = pipeline.preprocess(image)
        # Whatever the network makes of a grey image: in sample outputs there is something to be found.
        outputs = [pipeline.task.sample_outputs(view, pipeline.spec) for view in pipeline.forward(inputs)]
        pipeline.postprocess(outputs, inputs)


def compile_reading(spec: ModelSpec, path: Path) -> None:
    """Take an image file through reading and preparing."""
    _prepared(spec, read_for(path, spec))


def compile_decoding(spec: ModelSpec, path: Path) -> None:
    """Decode what a network might give for an image of the file's size: its outputs are made up, and so is the image.

    Its kernels take most of the time, and are compiled while another process compiles those of reading.
    """
    size_hw = size_of_file(path, use_exif=spec.preprocess.use_exif)
    channels = spec.input.shape[1]
    image = np.zeros((*size_hw, channels if isinstance(channels, int) else 3), np.uint8)
    image.setflags(write=False)  # as what is read from files: kernels are compiled for either kind
    inputs = _prepared(spec, image)
    task = TASKS.load_trusted(spec.task)
    outputs = [task.sample_outputs(_planes(spec, feeds), spec) for feeds in inputs.feeds]
    for frame in sorted({"image", spec.evaluation.frame if spec.evaluation is not None else "image"}):
        task.postprocess(outputs, inputs.views, spec, frame, scores=False)


def _prepared(spec: ModelSpec, image: Image) -> ModelInputs:
    augment = Augment(flip=spec.needs_mirror)
    (inputs,) = prepare_views([image], spec, augment, Buffers(), unclocked)
    return inputs


def compile_counts(methods: Collection[CalibrationMethod]) -> None:
    """Take made-up values, half of them 0 as behind a layer of ReLU, through the statistics of calibration methods."""
    from densecast.backends._value_statistics import ValueStatistics

    statistics = ValueStatistics(methods, outside=0.01)
    statistics.add(np.maximum(np.linspace(-1, 1, 1 << 12, dtype=np.float32).reshape(1, 1, 64, 64), 0))
    for method in methods:
        statistics.range(method, absolute=False)


def _planes(spec: ModelSpec, feeds: Feeds) -> Feeds:
    """Outputs of zeros, as many planes as the network gives, of the size of its input."""
    size_hw = feeds[spec.inputs[0].name].shape[-2:]
    return {tensor.name: np.zeros((*tensor.typical_shape(1)[1:2], *size_hw), np.float32) for tensor in spec.outputs}


def _image(artifact: Artifact) -> Image | None:
    """A grey image that leads to an input size which the network accepts."""
    resize = artifact.spec.preprocess.resize
    height, width = artifact.spec.input.typical_shape(_SIDE)[2:]
    if artifact.spec.slide is not None:
        height, width = artifact.spec.slide.crop_hw
    factor = resize.factor if isinstance(resize, ScaleBy) else 1.0
    image_hw = (math.ceil(height / factor), math.ceil(width / factor))
    channels = artifact.spec.input.shape[1]
    bands = channels if isinstance(channels, int) and channels != 1 else 3
    return np.full((*image_hw, bands), 127, np.uint8) if _fits(artifact.spec, image_hw) else None


def _fits(spec: ModelSpec, image_hw: tuple[int, int]) -> bool:
    """Whether every input accepts an image of that height and width after preprocessing."""
    return all(
        size.admits(got) if isinstance(size, Dim) else size == got
        for tensor in spec.inputs
        for got, size in zip(_seen_hw(spec, tensor.name, image_hw), tensor.shape[2:], strict=True)
    )


def _seen_hw(spec: ModelSpec, input_name: str, image_hw: tuple[int, int]) -> tuple[int, int]:
    """The size at which the network sees an image: of its whole input, or of its sliding windows."""
    size_hw = spec.preprocess_of(input_name).place(image_hw).model_hw
    return size_hw if spec.slide is None else spec.slide.window_hw(size_hw)
