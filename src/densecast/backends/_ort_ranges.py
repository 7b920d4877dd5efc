"""Ranges by ONNX Runtime's own calibrator, of which no image runs twice: methods differ in what is made of extremes.

ONNX Runtime would run the network on every image anew for each method that is tried, and for the build after that; and
one image after another, of whose time the reductions to extremes, on one thread each, are a good part. Here several are
in work at a time.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from densecast.backends import _settled
from densecast.io import files
from densecast.runtime.machine import usable_cpus
from densecast.runtime.ordered_map import ordered_parallel_map
from densecast.spec.tensor import Array, Feeds, feeds_sha256

# The hash of the graph that was calibrated last, and the extremes that images led to, by the hash of each one's feeds.
_last: tuple[str, dict[str, list[Array]]] = ("", {})
# More images at a time gain little, and the activations of each are in memory at once.
_MOST_AT_A_TIME, _MOST_VALUES_AT_A_TIME = 4, 6 << 20


def write(source: Path, calibration: Sequence[Feeds], target: Path, *, averaged: bool) -> int:
    """Write the ranges of all tensors of the graph in `source` to `target`, as ONNX Runtime's quantiser reads them.

    They are the extremes over as many of the first images as it takes for them to settle, or with `averaged` their
    means. Returns the number of these images; 0 where this version of ONNX Runtime has other parts than those known
    here: then nothing is written.
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
        outputs, own = calibrator.infer_session.get_outputs(), calibrator.model_original_outputs
        names = [output.name for output in outputs if output.name not in own]
        # ONNX Runtime reads what it has collected by the place in the session's outputs, the graph's own first.
        before = [None] * (len(outputs) - len(names))
        if calibrator.intermediate_outputs or len(before) != calibrator.num_model_outputs:
            return 0
    except (ImportError, AttributeError, TypeError):
        return 0
    at_a_time = _at_a_time(calibration)
    session = _session(calibrator.augmented_model_path, at_a_time)
    found, images = _of_graph(files.sha256(source)), iter(calibration)

    def extremes(worker: int, feeds: Feeds) -> list[Array]:
        key = feeds_sha256(feeds)
        found[key] = found.get(key) or session.run(names, feeds)
        return found[key]

    taken: list[list[Array]] = []
    earlier: list[_settled.Range] | None = None
    for count in _settled.rounds(len(calibration)):
        next_ones = itertools.islice(images, count - len(taken))
        taken += ordered_parallel_map(extremes, next_ones, at_a_time, ahead=at_a_time)
        now = _ranges(taken, averaged=averaged)
        is_settled = earlier is not None and _settled.are_settled(earlier, now)
        if is_settled or _settled.are_enough(len(taken), "mean_minmax" if averaged else "minmax"):
            break
        earlier = now
    calibrator.intermediate_outputs += [[*before, *each] for each in taken]
    save_tensors_data(calibrator.compute_data(), target)
    return len(taken)


def _at_a_time(calibration: Sequence[Feeds]) -> int:
    """How many images are in work at a time: fewer of large ones."""
    values = max(array.size for array in calibration[0].values())
    return max(1, min(usable_cpus(), len(calibration), _MOST_AT_A_TIME, _MOST_VALUES_AT_A_TIME // values))


def _session(path: str, at_a_time: int) -> Any:
    """The graph with its extremes as ONNX Runtime calibrates it: not optimised, so that every tensor is there."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = max(1, usable_cpus() // at_a_time)
    # Threads that wait for the next piece of work would take the other images' CPUs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _ranges(taken: Sequence[list[Array]], *, averaged: bool) -> list[_settled.Range]:
    """The range of each tensor, whose least and greatest values follow one another in what each image has led to."""
    stacked = [np.stack(each) for each in zip(*taken, strict=True)]
    lows, highs = stacked[0::2], stacked[1::2]
    if averaged:
        return [(low.mean(axis=0), high.mean(axis=0)) for low, high in zip(lows, highs, strict=True)]
    return [(low.min(axis=0), high.max(axis=0)) for low, high in zip(lows, highs, strict=True)]


def _of_graph(content: str) -> dict[str, list[Array]]:
    """What was found for this graph; what was found for another is forgotten."""
    global _last
    if content != _last[0]:
        _last = (content, {})
    return _last[1]
