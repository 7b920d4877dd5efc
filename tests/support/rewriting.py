"""Networks as graphs in float64, and whether a rewritten graph still says what the network does."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

# In float64, where the order of a sum moves it by some 1e-16 of its terms.
EXACT = {"rtol": 0, "atol": 1e-12}


def exported(network: Any, shape: tuple[int, ...], open_axes: tuple[str, ...] = ("N",)) -> onnx.ModelProto:
    """In float64; `open_axes` of N, H and W have any size."""
    import torch

    axes = {"NCHW".index(axis): axis for axis in open_axes}
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracing exporter warns of its deprecation
        torch.onnx.export(
            network.double().eval(),
            (torch.zeros(shape, dtype=torch.float64),),
            stream,
            dynamo=False,
            opset_version=17,
            input_names=["image"],
            output_names=["y"],
            dynamic_axes={"image": axes, "y": axes},
        )
    return onnx.load_from_string(stream.getvalue())


def agrees(model: onnx.ModelProto, network: Any, shape: tuple[int, ...]) -> None:
    """The same outputs, to float64's rounding."""
    import torch

    onnx.checker.check_model(model, full_check=True)
    image = torch.from_numpy(np.random.default_rng(0).normal(size=shape))
    with torch.no_grad():
        wanted = network(image).numpy()
    np.testing.assert_allclose(ReferenceEvaluator(model).run(None, {"image": image.numpy()})[0], wanted, **EXACT)


def kinds(model: onnx.ModelProto) -> list[str]:
    """The operators, in order."""
    return [node.op_type for node in model.graph.node]
