"""Reads graphs as OpenVINO's models, with the sizes of a spec."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from densecast.backends._base import BuildJob
from densecast.errors import BackendMissingError, BadGraphError
from densecast.runtime import engine_words, late_imports
from densecast.spec.tensor import Dim, TensorSpec

# Values of one tensor, whatever the input's size; and how many times the input's values one may have: the widest layers
# of networks have some twenty times as many.
_LEAST_ALLOWED, _TIMES_THE_INPUT = 1 << 28, 4096
# In OpenVINO a size without a largest one.
_ANY = -1


def imported() -> Any:
    """The package `openvino`.

    Raises:
        BackendMissingError: it is not installed, or cannot be loaded.
    """
    try:
        return late_imports.openvino()
    except ImportError as error:
        raise BackendMissingError(f"OpenVINO cannot be imported ({error}): pip install openvino.") from None


def read(job: BuildJob) -> Any:
    """The graph of a job as OpenVINO's model, of the job's sizes.

    Raises:
        BadGraphError: OpenVINO does not take it.
    """
    ov = imported()
    try:
        model = ov.Core().read_model(job.graph)
        model.reshape({spec.name: _partial_shape(ov, spec) for spec in job.spec.inputs})
    except RuntimeError as error:
        raise BadGraphError(
            f"OpenVINO cannot use the graph ({engine_words.reason(error)}). Build with -b onnxruntime."
        ) from None
    return model


def folded(model: Any) -> Any:
    """`model` with constants folded.

    As read from ONNX, a bias is a constant reshaped to the rank of what it is added to; NNCF knows a bias, and corrects
    it, only where it is a constant itself.
    """
    from openvino import passes

    manager = passes.Manager()
    manager.register_pass(passes.ConstantFolding())
    manager.run_passes(model)
    return model


def _partial_shape(ov: Any, spec: TensorSpec) -> Any:
    """The sizes of a spec, without the largest of open ones, which the session checks itself.

    OpenVINO (2026.4) takes a result for constant that is the same at the smallest and at the largest size: -H % 32 is 0
    at 32 and at 4096, and a network's own padding to whole windows was left out for all sizes between.
    """
    return ov.PartialShape([ov.Dimension(size.min, _ANY) if isinstance(size, Dim) else size for size in spec.shape])


def check_sizes(model: Any) -> None:
    """Check a model, whose inputs have their sizes, for tensors that no network of such inputs has.

    Raises:
        ValueError: names the operator, and the least that its output takes.
    """

    def least(shape: Any) -> int:
        return math.prod(axis.get_min_length() for axis in shape) if shape.rank.is_static else 0

    largest_input = max((least(tensor.get_partial_shape()) for tensor in model.inputs), default=0)
    allowed = max(_LEAST_ALLOWED, _TIMES_THE_INPUT * largest_input)
    for node in model.get_ops():
        for tensor in node.outputs():
            if least(tensor.get_partial_shape()) > allowed:
                raise ValueError(f"{node.get_friendly_name()} makes a tensor of {tensor.get_partial_shape()}")


def with_sizes(ov: Any, model: Any, specs: Sequence[TensorSpec], batch: int | None) -> Any:
    """`model` reshaped to the specs, with a fixed batch size if one is given."""
    shapes = {}
    for spec in specs:
        shapes[spec.name] = _partial_shape(ov, spec)
        if batch is not None:
            shapes[spec.name][0] = batch
    model.reshape(shapes)
    return model
