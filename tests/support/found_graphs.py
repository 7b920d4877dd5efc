"""ONNX graphs as other exporters write them: one convolution between inputs and outputs of any layout and type."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Kind:
    """How a graph takes its image and gives its map; sizes are those of batch, height and width."""

    kind: int = TensorProto.FLOAT
    channels_last: bool = False
    channels: int = 3
    classes: int = 3
    has_batch: bool = True
    out_kind: int = TensorProto.FLOAT
    out_last: bool = False
    argmax: bool = False
    sizes: tuple[int | str | None, ...] = ("N", "H", "W")
    opset: int = 17
    metadata: tuple[tuple[str, str], ...] = ()
    name: str = "image.in:0"


def graph(made: Kind) -> onnx.ModelProto:
    """The graph: input -> cast, channels first -> Conv 3x3 -> channels last, argmax, cast -> output."""
    batch, height, width = made.sizes
    rng = np.random.default_rng(made.channels)
    weight = rng.normal(size=(made.classes, made.channels, 3, 3)).astype(np.float32)
    nodes, current = [], made.name
    weights = [numpy_helper.from_array(weight, "w")]

    def add(operator: str, *more: str, **attributes: object) -> None:
        nonlocal current
        nodes.append(helper.make_node(operator, [current, *more], [f"t.{len(nodes)}"], **attributes))
        current = f"t.{len(nodes) - 1}"

    if made.kind != TensorProto.FLOAT:
        add("Cast", to=TensorProto.FLOAT)
    if not made.has_batch:
        weights.append(numpy_helper.from_array(np.array([0]), "first"))
        add("Unsqueeze", "first")
    if made.channels_last:
        add("Transpose", perm=[0, 3, 1, 2])
    add("Conv", "w", pads=[1, 1, 1, 1])
    if made.out_last:
        add("Transpose", perm=[0, 2, 3, 1])
    if made.argmax:
        add("ArgMax", axis=3 if made.out_last else 1, keepdims=1)
    if made.out_kind != (TensorProto.INT64 if made.argmax else TensorProto.FLOAT):
        add("Cast", to=made.out_kind)
    if not made.has_batch:
        add("Squeeze", "first")
    add("Identity")
    sides = [height, width]
    planes = [1 if made.argmax else made.classes]
    inner = [*sides, made.channels] if made.channels_last else [made.channels, *sides]
    outer = [*sides, *planes] if made.out_last else [*planes, *sides]
    first = [batch] if made.has_batch else []
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "found",
            [helper.make_tensor_value_info(made.name, made.kind, [*first, *inner])],
            [helper.make_tensor_value_info(current, made.out_kind, [*first, *outer])],
            weights,
        ),
        opset_imports=[helper.make_opsetid("", made.opset)],
        ir_version=8,
    )
    for key, value in made.metadata:
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model, full_check=True)
    return model


def right_map(made: Kind, image: Array, divisor: float = 255.0) -> Array:
    """ONNX Runtime's own answer for an (H, W, C) image, as (classes, H, W) or, of an argmax, (H, W)."""
    session = onnxruntime.InferenceSession(graph(made).SerializeToString(), providers=["CPUExecutionProvider"])
    values = image.astype(np.float32) / np.float32(divisor)
    values = values if made.channels_last else values.transpose(2, 0, 1)
    feed = values[None] if made.has_batch else values
    feed = feed.astype(helper.tensor_dtype_to_np_dtype(made.kind))
    (answer,) = session.run(None, {made.name: feed})
    answer = np.asarray(answer)[0] if made.has_batch else np.asarray(answer)
    answer = answer.transpose(2, 0, 1) if made.out_last else answer
    return answer[0] if made.argmax else answer
