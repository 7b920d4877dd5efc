"""Reads intermediate tensors of an OpenVINO model by adding them as outputs, which reduces fusion around them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from densecast.backends._inspection import (
    TensorPoint,
    Tensors,
    WeightType,
    layer_of,
    moved_as_stored,
    transposed_points,
    upright,
)
from densecast.spec.tensor import Array

_WEIGHTED = {"Convolution", "ConvolutionBackpropData", "GroupConvolution", "MatMul"}
# OpenVINO's names of operators for ONNX's.
_KINDS = {
    "Convolution": "Conv",
    "GroupConvolution": "Conv",
    "ConvolutionBackpropData": "ConvTranspose",
    "Interpolate": "Resize",
    "ReLU": "Relu",
}
_FLOATS = {"f32", "f16", "bf16"}


class OpenVinoInspector:
    """A model file at one input shape, run with an artifact's own settings."""

    def __init__(self, path: Path, feed_shape: Sequence[int], settings: Mapping[str, object]) -> None:
        self._path, self._shape, self._settings = path, tuple(feed_shape), dict(settings)
        self._moved: WeightType | None = None
        self._points = tuple(_points(self._model()))
        self._transposed = transposed_points(self._points)

    @property
    def points(self) -> tuple[TensorPoint, ...]:
        """Tensors under their names in the ONNX graph; those that OpenVINO inserted have new names."""
        return self._points

    def run(self, feed: Array, names: Sequence[str]) -> Tensors:
        """Run the model once with `names` as additional outputs."""
        import openvino as ov

        model = self._model()
        output_by_name = {point_name: output for output, point_name in _outputs(model)}
        extra_outputs = [output_by_name[name] for name in names]
        results = [ov.opset13.result(output) for output in extra_outputs]
        changed = ov.Model(results, model.get_parameters(), "inspected")
        compiled = ov.Core().compile_model(changed, "CPU", self._settings)
        arrays = compiled.create_infer_request().infer({0: np.ascontiguousarray(feed)})
        tensors = {name: np.array(arrays[place], dtype=np.float32) for place, name in enumerate(names)}
        return upright(tensors, self._transposed)

    def rounded(self, kind: WeightType) -> OpenVinoInspector:
        """The model with perturbed weights."""
        moved = copy.copy(self)
        moved._moved = kind
        return moved

    def weights(self) -> Tensors:
        """Constants of convolutions and matrix products; quantised ones are left out."""
        weights = {}
        for op in self._model().get_ordered_ops():
            if op.get_type_name() in _WEIGHTED:
                source = op.input_value(1).get_node()
                if source.get_type_name() == "Constant":
                    weights[op.get_friendly_name()] = np.asarray(source.data, dtype=np.float32)
        return weights

    def _model(self) -> Any:
        import openvino as ov

        model = ov.Core().read_model(self._path)
        model.reshape(list(self._shape))
        if self._moved is None:
            return model
        for seed, op in enumerate(model.get_ordered_ops()):
            if op.get_type_name() in _WEIGHTED:
                source = op.input_value(1)
                if source.get_node().get_type_name() == "Constant":
                    array = moved_as_stored(np.array(source.get_node().data, dtype=np.float32), self._moved, seed)
                    op.input(1).replace_source_output(ov.opset13.constant(array).output(0))
        return model


def _outputs(model: Any) -> Iterator[tuple[Any, str]]:
    """Every floating-point output that depends on the input, with its name."""
    for op in model.get_ordered_ops():
        if op.get_type_name() in ("Constant", "Parameter", "Result"):
            continue
        for output in op.outputs():
            if output.get_element_type().get_type_name() in _FLOATS:
                names = sorted(output.get_names())
                yield output, names[0] if names else f"{op.get_friendly_name()}:{output.get_index()}"


def _points(model: Any) -> Iterator[TensorPoint]:
    """Tensors in topological order; those that depend only on constants are left out."""
    (parameter,) = model.get_parameters()
    reach: dict[tuple[str, int], tuple[str, ...]] = {
        (parameter.get_name(), 0): (sorted(parameter.output(0).get_names() or {"input"})[0],)
    }
    named = {(output.get_node().get_name(), output.get_index()): name for output, name in _outputs(model)}
    for op in model.get_ordered_ops():
        kind = op.get_type_name()
        if kind in ("Constant", "Parameter", "Result"):
            continue
        places = [(value.get_node().get_name(), value.get_index()) for value in op.input_values()]
        sources = tuple(dict.fromkeys(name for place in places for name in reach.get(place, ())))
        if not sources:
            continue
        for output in op.outputs():
            place = (op.get_name(), output.get_index())
            if place not in named:
                if kind not in ("ShapeOf",):
                    reach[place] = sources
                continue
            reach[place] = (named[place],)
            shape = output.get_partial_shape()
            size = int(np.prod(list(output.get_shape()))) if shape.is_static else 0
            node = op.get_friendly_name()
            layer = layer_of(node.partition("/fq_")[0]) or layer_of(named[place])  # quantisers: <node>/fq_output_0
            yield TensorPoint(named[place], node, _KINDS.get(kind, kind), layer, sources, (), size)
