"""Loads and runs graphs with ONNX Runtime in a process of its own first, where a crash names the layer.

The engine's optimiser and kernels are C++: what fails in them may end the process, and with it a build of an hour.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from densecast.backends import _trial
from densecast.errors import BadGraphError
from densecast.io import files
from densecast.spec.tensor import TensorSpec

_SIDE = 128
FUNCTION = "densecast.backends._ort_trial:load_and_run"
_LIBRARIES = ("numpy", "onnx", "onnxruntime")
# What has been tried by this process: calibration methods are compared on one graph.
_passed: set[str] = set()


def check(path: Path, specs: Sequence[TensorSpec], doing: str) -> None:
    """Check that the graph in `path` does not end the process that loads and runs it; `doing` is what comes next.

    A graph that the engine refuses in words passes: it is refused where it is used.

    Raises:
        BadGraphError: it does.
    """
    from densecast.runtime.trial import EngineCrashError

    key = _trial.key(path, FUNCTION, specs)
    if key in _passed:
        return
    error = _tried(path, specs, None)
    if isinstance(error, EngineCrashError):
        layer = _first_that_crashes(path, specs)
        raise BadGraphError(
            f"ONNX Runtime cannot use the graph on this CPU: {doing}, it {_trial.told(error, layer)}. Build another "
            "precision, or with -b openvino.",
            field="precision",
        )
    _passed.add(key)


def load_and_run(payload: dict[str, Any], folder: Path) -> None:
    """In the process of its own: load the graph, or its first so many nodes, and run it once."""
    import onnx
    import onnxruntime

    source: Any = payload["model"]
    if payload["nodes"] is not None:
        source = beginning(onnx.load(source), payload["nodes"]).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # What it says in words it says again where the graph is used.
    with contextlib.suppress(Exception):
        session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        shapes, types = payload["shapes"], payload["types"]
        session.run(None, {name: np.zeros(shapes[name], types[name]) for name in shapes})


def beginning(model: Any, count: int) -> Any:
    """A graph of the first `count` nodes; whatever none of them reads is an output."""
    import onnx

    kept = list(model.graph.node)[:count]
    read = {name for node in kept for name in node.input}
    ends = [name for node in kept for name in node.output if name and name not in read]
    del model.graph.node[count:]
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in ends)
    return model


def _tried(path: Path, specs: Sequence[TensorSpec], nodes: int | None) -> Exception | None:
    from densecast.runtime import trial

    payload = {
        "model": str(files.real(path)),
        "nodes": nodes,
        "shapes": {spec.name: spec.typical_shape(_SIDE) for spec in specs},
        "types": {spec.name: spec.dtype for spec in specs},
    }
    readable = [files.real(path).parent]
    try:
        trial.run(FUNCTION, payload, subject="ONNX Runtime's graph", readable=readable, libraries=_LIBRARIES)
    except trial.EngineCrashError as error:
        return error
    return None


def _first_that_crashes(path: Path, specs: Sequence[TensorSpec]) -> str | None:
    """The name of the node, or of what it gives, with which a beginning of the graph first ends the process."""
    import onnx

    nodes = onnx.load(path, load_external_data=False).graph.node
    names = [node.name or next(iter(node.output), node.op_type) for node in nodes]
    return _trial.first_that_crashes(names, lambda count: _tried(path, specs, count) is not None)
