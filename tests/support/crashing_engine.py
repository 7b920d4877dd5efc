"""An engine that ends its process at one layer, as a fault inside of one does."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

WORKS = "f32"
LAYER = "the_one"


def compile_and_run(payload: dict[str, Any], folder: Path) -> str | None:
    """Crash in every type but float32, if the beginning of the model that is asked for has the layer."""
    return compile_nothing(payload, folder) if payload["hint"] != WORKS else None


def compile_nothing(payload: dict[str, Any], folder: Path) -> str | None:
    """Crash in every type, if the beginning of the model that is asked for has the layer."""
    import openvino as ov

    from densecast.backends import _openvino_trial

    model = ov.Core().read_model(payload["model"])
    if payload["operators"] is not None:
        model = _openvino_trial.beginning(ov, model, payload["operators"])
    if LAYER in {node.get_friendly_name() for node in model.get_ordered_ops()}:
        os.kill(os.getpid(), signal.SIGSEGV)
    return None


def show_activations(payload: dict[str, Any], folder: Path) -> str | None:
    """Crash where activations are outputs, as in calibrations, and the layer is in the beginning that is asked for."""
    return compile_nothing(payload, folder) if payload["calibrates"] else None


def run_layers_alone(payload: dict[str, Any], folder: Path) -> str | None:
    """Crash where layers are run alone, and the layer is in the beginning that is asked for."""
    return compile_nothing(payload, folder) if payload["corrects_biases"] else None


def correct_fully(payload: dict[str, Any], folder: Path) -> str | None:
    """Crash where biases are corrected in full, and the layer is in the beginning that is asked for."""
    return compile_nothing(payload, folder)


def load_and_run(payload: dict[str, Any], folder: Path) -> None:
    """Crash where the beginning of the graph that is asked for has the layer."""
    import onnx

    from densecast.backends import _ort_trial

    model = onnx.load(payload["model"])
    if payload["nodes"] is not None:
        model = _ort_trial.beginning(model, payload["nodes"])
    if LAYER in {node.name for node in model.graph.node}:
        os.kill(os.getpid(), signal.SIGSEGV)


def abort(payload: dict[str, Any], folder: Path) -> None:
    """End the process."""
    os.abort()
