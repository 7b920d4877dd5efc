"""Fold shape arithmetic into constants, so that later passes and quantisers see only the actual layers.

Exporters write sizes as chains of Shape, Gather, Sub and Concat nodes. With fixed input sizes all of it is constant;
ONNX Runtime's basic passes fold it, and fuse nothing that other engines would not read. Operators that it has no kernel
for it takes apart, which `join_hard_swish` mends where it costs another engine its own.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx

from densecast.errors import BadGraphError
from densecast.graph import _tensors
from densecast.graph._base import PassResult
from densecast.io import files
from densecast.runtime import engine_words


def apply(model: onnx.ModelProto) -> PassResult:
    """Fold what is constant.

    Raises:
        BadGraphError: ONNX Runtime cannot load the graph.
        WriteError: the temporary folder is full.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # nothing is run but constants
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 4
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "folded.onnx"
        options.optimized_model_filepath = str(target)
        try:
            ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises several unrelated kinds
            with files.written_by_library(Path(folder), "the folded graph"):
                _refuse_unless_it_loads(model, error)
                raise
        folded = onnx.load(target)
    _tensors.drop_unneeded(folded.graph)  # ONNX Runtime leaves nodes whose results nobody reads
    gone = len(model.graph.node) - len(folded.graph.node)
    if gone <= 0:
        return PassResult(model, False, "nothing is constant but the weights")
    return PassResult(folded, True, f"{gone} nodes of constant arithmetic folded")


def _refuse_unless_it_loads(model: onnx.ModelProto, error: Exception) -> None:
    """Tell a graph that cannot be used from one that could not be written: only the first fails without a file.

    Raises:
        BadGraphError: it cannot be used.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception:  # ONNX Runtime raises several unrelated kinds; the first one's reason is what is told
        raise BadGraphError(f"the graph cannot be folded ({engine_words.reason(error)}).") from None
