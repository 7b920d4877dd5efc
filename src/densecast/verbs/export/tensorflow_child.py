"""TensorFlow's part of an export: freezes a graph, converts it to ONNX, and runs it for comparison.

It is imported in a confined process only: TensorFlow's libraries are large, log on their own, and a crash in them takes
nothing along.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import sys
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

# Of what TensorFlow says, which may have a whole constant in it.
_MOST = 300
# A graph is a program. These operators of it read or write files, call back into Python, or wait for other machines;
# no network needs them.
_REFUSED = (
    "File",
    "PyFunc",
    "Reader",
    "Queue",
    "Save",
    "Dataset",
    "RemoteCall",
    "Rpc",
    "Send",
    "Recv",
    "Print",
    "Debug",
    "Restore",
    "Checkpoint",
    "ImmutableConst",
    "Summary",
    "Iterator",
    "Collective",
    "XlaLaunch",
    "Abort",
)
# How a SavedModel saves and reads its own variables; never in the frozen graph, which is what runs.
_OF_SAVED_MODELS = ("SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename")
_SHOWN = 8
# With a batch and without.
_IMAGE_RANKS = (3, 4)


class RefusedError(Exception):
    """The graph cannot be used; the text says why."""


def answer(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run a job in `folder`, "convert" or "run" as its `task` says; the reply has `refused` where it cannot be done."""
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "TF_ENABLE_ONEDNN_OPTS": "1"}
    warnings.simplefilter("ignore")
    try:
        return {"convert": convert, "run": run}[job["task"]](job, folder)
    except RefusedError as error:
        return {"refused": str(error)}
    except MemoryError:
        raise
    except Exception as error:  # TensorFlow and tf2onnx raise many unrelated kinds
        lines = str(error).strip().splitlines() or [""]
        return {"refused": f"{type(error).__name__}: {lines[0][:_MOST]}"}


def convert(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Freeze the job's graph to `graph.pb` and convert it to `graph.onnx`; returns its input and output names."""
    import tensorflow as tf
    import tf2onnx

    tf.get_logger().setLevel("ERROR")
    source = Path(job["graph"])
    graph = _frozen(source, job) if source.is_dir() else _parsed(source)
    _check_operators(graph)
    feed = _named(graph, job["input"], "input")
    fetch = _named(graph, job["output"], "output")
    (folder / "graph.pb").write_bytes(graph.SerializeToString())
    with contextlib.redirect_stdout(sys.stderr):
        model, _ = tf2onnx.convert.from_graph_def(graph, input_names=[feed], output_names=[fetch], opset=job["opset"])
    foreign = sorted({node.op_type for node in model.graph.node if node.domain not in ("", "ai.onnx")})
    if foreign:
        raise RefusedError(f"it holds operators that ONNX does not have: {', '.join(foreign[:_SHOWN])}")
    (folder / "graph.onnx").write_bytes(model.SerializeToString())
    weights = sum(node.op == "Const" for node in graph.node)
    versions = {"tensorflow": tf.__version__, "tf2onnx": tf2onnx.__version__}
    notes = job.get("notes", [])
    return {"input": feed, "output": fetch, "constants": weights, "versions": versions, "notes": notes}


def run(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run TensorFlow on each array of `inputs.npz`; writes `<name>` and `<name>_logits` to `outputs.npz`.

    `logits` in the job is a tensor inside the graph, which conversion may have fused away: then it is left out.
    """
    import numpy as np
    import tensorflow as tf

    graph = _parsed(folder / "graph.pb")
    known = {node.name for node in graph.node}
    has_logits = (job.get("logits") or "").partition(":")[0] in known
    arrays = {}
    with tf.Graph().as_default() as scope, np.load(folder / "inputs.npz") as inputs:
        tf.import_graph_def(graph, name="")
        with tf.compat.v1.Session(graph=scope) as session:
            for name in inputs.files:
                fetches = [job["output"], *([job["logits"]] if has_logits else [])]
                values = session.run(fetches, {job["input"]: inputs[name]})
                arrays[name] = values[0]
                if has_logits:
                    arrays[f"{name}_logits"] = values[1]
    np.savez(folder / "outputs.npz", **arrays)
    return {"logits": has_logits}


def _parsed(path: Path) -> Any:
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    graph = tf.compat.v1.GraphDef()
    try:
        graph.ParseFromString(path.read_bytes())
    except DecodeError:
        raise RefusedError("it is no TensorFlow GraphDef; it is damaged or cut off, or of another format") from None
    if not graph.node:
        raise RefusedError("it holds no operators")
    return graph


def _frozen(folder: Path, job: dict[str, Any]) -> Any:
    """Freeze a SavedModel's serving signature: variables become constants."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    except DecodeError:
        raise RefusedError("its saved_model.pb is damaged or cut off") from None
    for meta in saved.meta_graphs:
        _check_operators(meta.graph_def, _OF_SAVED_MODELS)
    # Its variables live as long as it does.
    loaded = tf.saved_model.load(str(folder))
    chosen, job["notes"] = _chosen(loaded.signatures)
    frozen = convert_variables_to_constants_v2(chosen)
    graph = frozen.graph.as_graph_def()
    if job["input"] is None and len(frozen.inputs) == 1:
        job["input"] = frozen.inputs[0].name
    if job["output"] is None and len(frozen.outputs) == 1:
        job["output"] = frozen.outputs[0].name
    return graph


def _chosen(signatures: Any) -> tuple[Any, list[str]]:
    """The first signature that takes an image of numbers, `serving_default` before others; and what to note of it."""
    if not signatures:
        raise RefusedError("this SavedModel has no signature; save it with signatures={'serving_default': …}")
    names = sorted(signatures, key=lambda name: (name != "serving_default", name))
    taken = {name: list(signatures[name].structured_input_signature[1].values()) for name in names}
    fitting = [name for name in names if any(_is_image(each) for each in taken[name])]
    if not fitting:
        listed = "; ".join(f"{name} takes {', '.join(map(_described, taken[name]))}" for name in names[:_SHOWN])
        raise RefusedError(
            f"no signature of it takes an image (N, H, W, 3) of numbers: {listed}. Save one that does, as "
            "signatures={'serving_default': …}"
        )
    note = f"the signature {fitting[0]!r} of {', '.join(sorted(names))}"
    return signatures[fitting[0]], [note] if len(names) > 1 else []


def _is_image(value: Any) -> bool:
    rank = value.shape.rank
    return (value.dtype.is_floating or value.dtype.is_integer) and (rank is None or rank in _IMAGE_RANKS)


def _described(value: Any) -> str:
    return f"{value.name} ({value.dtype.name}, {value.shape})"


def _check_operators(graph: Any, allowed: Collection[str] = ()) -> None:
    """Refuse operators with side effects outside the graph but those `allowed`, and unknown ones."""
    from tensorflow.python.framework import op_def_registry

    functions = {function.signature.name for function in graph.library.function}
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    operators = {node.op for node in nodes} - functions
    reaching = sorted(name for name in operators if name not in allowed and any(part in name for part in _REFUSED))
    if reaching:
        raise RefusedError(f"it holds operators that no network needs: {', '.join(reaching[:_SHOWN])}")
    unknown = sorted(name for name in operators if op_def_registry.get(name) is None)
    if unknown:
        where = next(node.name for node in nodes if node.op == unknown[0])
        raise RefusedError(f"TensorFlow has no operator {', '.join(unknown[:_SHOWN])} (node {where!r})")


def _named(graph: Any, given: str | None, role: str) -> str:
    """The tensor of that name; without a name, the only possible one."""
    nodes = {node.name: node for node in graph.node}
    if given is None:
        read = {name.lstrip("^").partition(":")[0] for node in graph.node for name in node.input}
        passive = ("Assert", "NoOp", "Const")
        candidates = (
            [name for name, node in nodes.items() if node.op == "Placeholder"]
            if role == "input"
            else [name for name, node in nodes.items() if name not in read and node.op not in passive]
        )
        if len(candidates) != 1:
            listed = ", ".join(candidates[:_SHOWN]) or "none"
            raise RefusedError(f"its {role} is one of {listed}: say which by {role}_name")
        return f"{candidates[0]}:0"
    name, _, port = given.partition(":")
    if name not in nodes:
        near = difflib.get_close_matches(name, nodes, n=5, cutoff=0.3)
        tips = [node.name for node in graph.node if node.op == "Placeholder"] if role == "input" else []
        listed = ", ".join(dict.fromkeys([*near, *tips])) or ", ".join(list(nodes)[-_SHOWN:])
        raise RefusedError(f"it has no node {name!r} for its {role}; the nearest are {listed}")
    return f"{name}:{port or 0}"
