"""Protocol for reading a network's intermediate tensors, and their mapping to the original layers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from densecast.graph._base import CHANNELS_LAST, TRANSPOSED
from densecast.spec.tensor import Array

Tensors = dict[str, npt.NDArray[np.float32]]

# What a weight is stored in: decides how far an honest copy of a network may be from it.
WeightType = Literal["float32", "float16", "bfloat16", "int8"]


_SEED = 7
# Half a unit in the last place, relative to the value (IEEE 754 binary16 has 11 bits, bfloat16 8). In float32, weights
# are exact and sums are not: engines add hundreds of products in orders of their own, which moves the last two bits.
_MOVED = {"float32": 2.0**-22, "float16": 2.0**-11, "bfloat16": 2.0**-9}
# Weights of one output channel are spread over -127..127, so one is off by at most half a step.
_INT8_STEPS = 127


@dataclass(frozen=True, slots=True)
class TensorPoint:
    """An intermediate tensor and the node that computes it.

    `layer` is the module of the original network, as `backbone.layer1.0.conv1`, or "" where the names do not tell;
    `sources` are the points it is computed from, and `weights` the names of the constants. `size` counts elements.
    """

    name: str
    node: str
    kind: str
    layer: str
    sources: tuple[str, ...]
    weights: tuple[str, ...] = ()
    size: int = 0


def transposed_points(points: Iterable[TensorPoint]) -> frozenset[str]:
    """Names of tensors whose height and width a graph pass has transposed; `points` are in topological order."""
    return _marked(points, TRANSPOSED)


def with_channels_last(points: Iterable[TensorPoint]) -> frozenset[str]:
    """Names of tensors that a graph pass computes in channels-last layout."""
    return _marked(points, CHANNELS_LAST)


def _marked(points: Iterable[TensorPoint], mark: str) -> frozenset[str]:
    """Names that contain the mark, and names of all tensors computed from them up to a Transpose."""
    marked: set[str] = set()
    for point in points:
        if mark in point.name or (point.kind != "Transpose" and not marked.isdisjoint(point.sources)):
            marked.add(point.name)
    return frozenset(marked)


def upright(tensors: Tensors, transposed: frozenset[str]) -> Tensors:
    """The tensors in the network's original orientation: transposed maps are transposed back."""
    return {
        name: array.swapaxes(2, 3) if name in transposed and array.ndim == 4 else array
        for name, array in tensors.items()
    }


class Inspector(Protocol):
    """A network whose intermediate tensors can be read."""

    @property
    def points(self) -> tuple[TensorPoint, ...]:
        """All floating-point tensors that depend on the input, each after its sources; the output is the last."""

    def run(self, feed: Array, names: Sequence[str]) -> Tensors:
        """Run one input (N, 3, H, W) and return the named tensors in float32."""

    def rounded(self, kind: WeightType) -> Inspector:
        """The same network with its weights perturbed by the rounding error of the type `kind`.

        For int8, what convolutions, matrix products and sums read goes through 255 steps over its own range as well,
        where the inspector can do that. What it all does to each tensor is what rounding explains.
        """

    def weights(self) -> Tensors:
        """Weights of convolutions and matrix products by node name, output channels first."""


def layer_of(node: str) -> str:
    """The module path in a node name given by torch's tracing exporter; "" for other names.

    Children of a `ModuleList` or `Sequential` repeat their parent's name there.

    >>> layer_of("/down1/maxpool_conv/maxpool_conv.1/double_conv/double_conv.0/Conv")
    'down1.maxpool_conv.1.double_conv.0'
    >>> layer_of("/backbone/Relu_1")
    'backbone'
    >>> layer_of("Conv_12")
    ''
    """
    if not node.startswith("/"):
        return ""
    path: list[str] = []
    for part in node[1:].split("/")[:-1]:
        if path and part.startswith(f"{path[-1]}."):
            path[-1] = part
        else:
            path.append(part)
    return ".".join(path)


def layer_of_weights(names: Iterable[str]) -> str:
    """The module that owns a parameter, from its name; "" if none of the names is a parameter's.

    >>> layer_of_weights(["onnx::Conv_3", "outc.conv.weight"])
    'outc.conv'
    """
    for name in names:
        module, _, last = name.rpartition(".")
        if module and last in ("weight", "bias"):
            return module
    return ""


def moved_as_stored(weight: npt.NDArray[np.float32], kind: WeightType, seed: int) -> npt.NDArray[np.float32]:
    """`weight` (out, ...) with random noise of up to the rounding error of `kind`."""
    noise = np.random.default_rng([_SEED, seed]).uniform(-1, 1, weight.shape).astype(np.float32)
    if kind == "int8":
        axes = tuple(range(1, weight.ndim))
        step = np.abs(weight).max(axis=axes, keepdims=True) / _INT8_STEPS
        return np.asarray(weight + noise * step / 2, dtype=np.float32)
    return np.asarray(weight * (1 + noise * np.float32(_MOVED[kind])), dtype=np.float32)
