"""Ranges by ONNX Runtime's own calibrator, of which no image runs twice: methods differ in what is made of extremes.

ONNX Runtime would run the network on every image anew for each method that is tried, and for the build after that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from densecast.io import files
from densecast.spec.tensor import Array, Feeds

# The hash of the graph that was calibrated last, and the extremes that images led to, by the hash of each one's feeds.
_last: tuple[str, dict[str, list[Array]]] = ("", {})


def write(source: Path, calibration: Sequence[Feeds], target: Path, *, averaged: bool) -> bool:
    """Write the ranges of all tensors of the graph in `source` to `target`, as ONNX Runtime's quantiser reads them.

    They are the extremes over all images, or with `averaged` their means. False where this version of ONNX Runtime
    has other parts than those known here: then nothing is written.
    """
    try:
        from onnxruntime.quantization import CalibrationMethod, create_calibrator
        from onnxruntime.quantization.calibrate import save_tensors_data
        from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

        calibrator: Any = create_calibrator(
            source,
            sorted({*QLinearOpsRegistry, *QDQRegistry}),
            augmented_model_path=str(target.with_suffix(".augmented.onnx")),
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"moving_average": averaged},
        )
        session, own = calibrator.infer_session, calibrator.model_original_outputs
        names = [output.name for output in session.get_outputs() if output.name not in own]
        # ONNX Runtime reads what it has collected by the place in the session's outputs, the graph's own first.
        before = [None] * (len(session.get_outputs()) - len(names))
        if calibrator.intermediate_outputs or len(before) != calibrator.num_model_outputs:
            return False
    except (ImportError, AttributeError, TypeError):
        return False
    found = _of_graph(files.sha256(source))
    for feeds in calibration:
        key = _key(feeds)
        extremes = found.get(key) or session.run(names, feeds)
        found[key] = extremes
        calibrator.intermediate_outputs.append([*before, *extremes])
    save_tensors_data(calibrator.compute_data(), target)
    return True


def _of_graph(content: str) -> dict[str, list[Array]]:
    """What was found for this graph; what was found for another is forgotten."""
    global _last
    if content != _last[0]:
        _last = (content, {})
    return _last[1]


def _key(feeds: Feeds) -> str:
    """A hash of one image's feeds."""
    told = hashlib.sha256()
    for name, array in sorted(feeds.items()):
        told.update(repr((name, array.shape, array.dtype.str)).encode())
        told.update(np.ascontiguousarray(array).data)
    return told.hexdigest()
