"""Built artifact  ->  everything on disk that its first use in a new process would otherwise wait for.

That is the model compiled for this CPU, and the kernels of preprocessing and decoding, which numba compiles once on
each machine: some seconds for the first model of a task.
"""

from __future__ import annotations

import math

import numpy as np

from densecast import plugins
from densecast.artifact import Artifact
from densecast.pipeline import Image, Pipeline
from densecast.spec.preprocess import ScaleBy
from densecast.spec.tensor import Array, Dim

# Of sides that may have any size.
_SIDE = 512


def warm_up(artifact: Artifact, *, threads: int | None = None) -> None:
    """Take a made-up image through all stages, for the first image of `infer` to be quick.

    A network for sizes that only odd images lead to is compiled and not run.

    Raises:
        BackendMissingError, MissingExtraError: its engine is not installed.
    """
    with Pipeline.open(artifact, threads=threads) as pipeline:
        image = _image(artifact)
        if image is None:
            return
        prepared = pipeline.prepare(image)
        outputs: list[Array] = [np.empty(0)] * len(prepared.arrays)
        for numbers, batch in pipeline.batches(prepared.arrays):
            output = pipeline.infer({artifact.spec.input.name: batch})[artifact.spec.output.name]
            for row, number in enumerate(numbers):
                # Whatever the network makes of a grey image, here is one thing to be found, a part of it missing.
                outputs[number] = found = np.zeros_like(output[row])
                found[1:, found.shape[1] // 2, found.shape[2] // 2] = 1
        plugins.load("tasks", artifact.spec.task).decode_views(outputs, prepared.views, artifact.spec)


def _image(artifact: Artifact) -> Image | None:
    """A grey image that leads to a size the network takes."""
    resize = artifact.spec.preprocess.resize
    height, width = (_side(size) for size in artifact.spec.input.shape[2:])
    factor = resize.factor if isinstance(resize, ScaleBy) else 1.0
    image_hw = (math.ceil(height / factor), math.ceil(width / factor))
    fits = all(
        size.admits(got) if isinstance(size, Dim) else size == got
        for got, size in zip(resize.place(image_hw).model_hw, artifact.spec.input.shape[2:], strict=True)
    )
    return np.full((*image_hw, 3), 127, np.uint8) if fits else None


def _side(size: int | Dim) -> int:
    if isinstance(size, int):
        return size
    return min(max(size.min, _SIDE // size.multiple * size.multiple), size.max)
