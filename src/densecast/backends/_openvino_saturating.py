"""What an OpenVINO int8 model computes on CPUs whose int8 sums saturate, emulated on any CPU: exact, and slow.

Every convolution whose activations and weights are quantised is replaced by one that sums as those CPUs do, all else
runs in float32, as it does there. Matrix products are left exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.backends import _openvino_model
from densecast.backends._saturating_sums import Slides, convolution
from densecast.spec.tensor import Feeds, TensorSpec

# What hands values on as they are, so that they stay on the steps of the quantiser before.
_HANDS_ON = ("MaxPool", "Concat", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "StridedSlice", "Pad", "Split")
_KINDS = ("Convolution", "GroupConvolution")


@dataclass(frozen=True)
class _Layer:
    """One convolution: its weights as whole numbers, the size of a step of both, and how it slides."""

    weights: npt.NDArray[np.int8]
    weight_scale: npt.NDArray[np.float64]
    scale: float
    zero: int
    groups: int
    slides: Slides

    def __call__(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        steps = np.clip(np.rint(values.astype(np.float64) / self.scale) + self.zero, 0, 255).astype(np.int32)
        sums = convolution(steps, self.weights, self.slides, zero=self.zero, groups=self.groups)
        return (sums * (self.scale * self.weight_scale)[None, :, None, None]).astype(np.float32)


def outputs(path: Path, specs: Sequence[TensorSpec], feeds: Feeds, names: Sequence[str]) -> dict[str, Any]:
    """The model's outputs by name, for feeds, as a CPU gives them whose int8 sums saturate."""
    ov = _openvino_model.imported()
    core = ov.Core()
    model = core.read_model(path)
    model.reshape({spec.name: feeds[spec.name].shape for spec in specs})
    found = [(node, layer) for node in model.get_ordered_ops() if (layer := _layer(node)) is not None]
    kept = []
    for number, (node, layer) in enumerate(found):
        replaced = _replacement(ov, layer, node, number)
        kept.append(replaced)  # Python's part of it has to outlive the model
        node.output(0).replace(replaced.output(0))
    model.validate_nodes_and_infer_types()
    request = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
    request.infer([feeds[spec.name] for spec in specs])
    return {name: request.get_output_tensor(place).data.copy() for place, name in enumerate(names)}


def _replacement(ov: Any, layer: Callable[[Any], Any], node: Any, number: int) -> Any:
    shape, kind = node.get_output_partial_shape(0), node.get_output_element_type(0)

    class Saturating(ov.Op):  # type: ignore[misc]
        """A convolution in Python."""

        def __init__(self, inputs: Any = None) -> None:
            super().__init__(self)
            if inputs is not None:
                self.set_arguments(inputs)
                self.constructor_validate_and_infer_types()

        def validate_and_infer_types(self) -> None:
            """The output of the convolution that it replaces."""
            self.set_output_type(0, kind, shape)

        def clone_with_new_inputs(self, inputs: Any) -> Any:
            """The same on other inputs."""
            return Saturating(inputs)

        def has_evaluate(self) -> bool:
            """It has."""
            return True

        def evaluate(self, results: Any, arguments: Any) -> bool:
            """Compute it."""
            results[0].data[...] = layer(arguments[0].data)
            return True

    # OpenVINO tells operators apart by the name of their class.
    Saturating.__name__ = f"Saturating{number}"
    return Saturating([node.input_value(0)])


def _layer(node: Any) -> _Layer | None:
    """A convolution that runs in int8; None for anything else."""
    if node.get_type_name() not in _KINDS:
        return None
    quantised = _range(node.input_value(0).get_node())
    held = _weights(node.input_value(1).get_node())
    if quantised is None or held is None:
        return None
    weights, weight_scale = held
    groups = 1
    if node.get_type_name() == "GroupConvolution":
        groups = weights.shape[0]
        weights = weights.reshape(-1, *weights.shape[2:])
    low, high, levels = quantised
    scale = (high - low) / (levels - 1)
    given = node.get_attributes()
    slides = Slides(*(_pair(given[name]) for name in ("strides", "pads_begin", "pads_end", "dilations")))
    scales = np.broadcast_to(weight_scale.reshape(-1), (len(weights),)).astype(np.float64)
    return _Layer(weights, scales, scale, round(-low / scale), groups, slides)


def _pair(values: Sequence[int]) -> tuple[int, int]:
    return int(values[0]), int(values[1])


def _range(node: Any) -> tuple[float, float, int] | None:
    """The least and largest value and the number of steps of quantised activations; None where they are not, or of
    several ranges.
    """
    if node.get_type_name() == "FakeQuantize":
        ends = [node.input_value(place).get_node() for place in (3, 4)]
        if any(each.get_type_name() != "Constant" or each.data.size != 1 for each in ends):
            return None
        return float(ends[0].data.reshape(-1)[0]), float(ends[1].data.reshape(-1)[0]), node.get_attributes()["levels"]
    if node.get_type_name() not in _HANDS_ON:
        return None
    count = node.get_input_size() if node.get_type_name() == "Concat" else 1
    found = {_range(node.input_value(place).get_node()) for place in range(count)}
    return found.pop() if len(found) == 1 else None


def _weights(node: Any) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]] | None:
    """Whole-number weights and their scales; None of weights in floats, or with a zero point."""
    scale: npt.NDArray[np.float32] = np.ones(1, np.float32)
    while node.get_type_name() in ("Multiply", "Convert", "Reshape"):
        if node.get_type_name() == "Multiply":
            factor = node.input_value(1).get_node()
            if factor.get_type_name() == "Convert":
                factor = factor.input_value(0).get_node()
            if factor.get_type_name() != "Constant":
                return None
            scale = np.asarray(factor.data, np.float32)
        node = node.input_value(0).get_node()
    if node.get_type_name() != "Constant" or node.data.dtype != np.int8:
        return None
    return np.array(node.data), scale
