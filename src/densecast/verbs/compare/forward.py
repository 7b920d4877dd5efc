"""What a model makes of one image: its inputs, its outputs as float32, and the prediction from them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.imaging.views import ModelInputs
from densecast.pipeline import Pipeline
from densecast.spec.model import Frame, ModelSpec
from densecast.spec.tensor import Feeds


@dataclass(frozen=True, slots=True)
class ForwardResult:
    """One pipeline's inputs and outputs for one image: for each TTA view the outputs by name, floats as float32."""

    inputs: ModelInputs
    outputs: tuple[Feeds, ...]

    def under_names_of(self, own: ModelSpec, other: ModelSpec) -> ForwardResult:
        """The outputs renamed to those of `other`, which has the same outputs in the same order as `own`."""
        names = {left.name: right.name for left, right in zip(own.outputs, other.outputs, strict=False)}
        renamed = tuple({names[name]: array for name, array in view.items() if name in names} for view in self.outputs)
        return ForwardResult(self.inputs, renamed)


def forward(pipeline: Pipeline, path: Path) -> ForwardResult:
    """Run one image through a network."""
    inputs = pipeline.preprocess(pipeline.read(path))
    outputs = pipeline.forward(inputs)
    return ForwardResult(inputs, tuple({name: _as_float32(array) for name, array in view.items()} for view in outputs))


def postprocessed(pipeline: Pipeline, result: ForwardResult, frame: Frame) -> Any:
    """The prediction from the outputs."""
    return pipeline.postprocess(result.outputs, result.inputs, frame)


def _as_float32(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array.astype(np.float32) if np.issubdtype(array.dtype, np.floating) else array
