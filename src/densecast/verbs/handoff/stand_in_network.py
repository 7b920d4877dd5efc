"""The network on the stand-in for a device: ONNX Runtime up to the logits, labels by this package's own arithmetic.

A device's compiler gets a graph that ends in Resize and ArgMax. How a resize rounds its products is every engine's own
affair, and where two classes are tied to the last bit another label wins. ONNX Runtime's Resize rounds otherwise than
PyTorch's, whose labels are those of `evaluate`. The stand-in is a device whose resize rounds as PyTorch's does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from densecast.errors import BackendMissingError, BadArtifactError
from densecast.runtime import machine
from densecast.spec.tensor import Array
from densecast.verbs.handoff import label_ending
from densecast.verbs.handoff.label_ending import LabelEnding


@dataclass(frozen=True, slots=True)
class Network:
    """A handoff's graph, loaded."""

    session: Any
    input: str
    labels: LabelEnding | None
    threads: int

    def run(self, batch: Array) -> Array:
        """What the graph gives for (N, 3, H, W): logits, or (N, 1, H, W) labels.

        Raises:
            BadInputError: labels are wanted, and a logit is NaN or infinite.
        """
        (output,) = self.session.run(None, {self.input: batch})
        found: Array = output
        if self.labels is None:
            return found
        from densecast.kernels.labels import upsample_argmax

        classes = upsample_argmax(
            found.astype(np.float32, copy=False),
            [self.labels.size_hw],
            align_corners=self.labels.align_corners,
            threads=self.threads,
        )
        return classes[:, None].astype(self.labels.dtype)


def load(graph: Path, ending: label_ending.Ending) -> Network:
    """The network of `graph`, which ends as `ending` says.

    Raises:
        BadArtifactError: the graph cannot be loaded, or ends otherwise.
        BackendMissingError: no ONNX Runtime.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise BackendMissingError(f"ONNX Runtime cannot be imported ({error}): pip install onnxruntime.") from None
    threads = machine.usable_cpus()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        model = onnx.load(graph)
        model, labels = (model, None) if ending == "logits" else label_ending.split(model)
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        (name,) = [value.name for value in session.get_inputs()]
    except BadArtifactError:
        raise
    except Exception as error:  # protobuf's, ONNX Runtime's and the system's kinds have no base in common
        raise BadArtifactError(f"damaged handoff: {graph} cannot be loaded ({error}).") from None
    return Network(session, name, labels, threads)
