"""Int8 quantisation for ONNX Runtime: Q/DQ pairs around every operator that its int8 kernels can chain.

NNCF places quantisers where OpenVINO fuses them; ONNX Runtime then runs most convolutions of such a graph in
float (8 of UNet's 23 ran in int8, against 19 with the placement used here).
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from densecast.backends import _excluded, _ort_ranges, _ort_ready
from densecast.spec.options import QuantizeOptions
from densecast.spec.tensor import Feeds

# Histogram estimators keep whole activations: this many images' at a time.
_IMAGES_HELD = 8
# ONNX Runtime's own numbers; it starts with warnings, of which every calibration prints dozens.
_WARNINGS, _ERRORS = 2, 3
# ONNX Runtime lays the 256 steps of a softmax's output over 0 to 1. One over the pixels of an image, as OCRNet's, has
# nothing but values below the first step: all would be 0.
_NEVER = {"Softmax"}
_LAYERS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}


@dataclass(frozen=True, slots=True)
class Ranges:
    """The ranges of a calibration, as ONNX Runtime's quantiser reads them, and how many images they are of."""

    contents: bytes
    images: int


def quantize(
    graph: Path,
    calibration: Sequence[Feeds],
    options: QuantizeOptions,
    excluded: frozenset[str] = frozenset(),
    ranges: Ranges | None = None,
    *,
    full_weights: bool,
) -> tuple[Any, Ranges]:
    """Quantise to unsigned 8-bit activations and signed 8-bit weights; returns the model and the calibrated ranges.

    Weights use all 8 bits with `full_weights`, else 7. Nodes in `excluded` stay in float, as do those that the options
    exclude. With `ranges` of an earlier call nothing is calibrated.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    with tempfile.TemporaryDirectory() as folder, _quiet():
        target, ranges_file = Path(folder) / "int8.onnx", Path(folder) / "ranges.json"
        if ranges is not None:
            ranges_file.write_bytes(ranges.contents)
        model = _ort_ready.ready(onnx.load(graph))
        source = Path(folder) / "float.onnx"
        onnx.save(model, source)
        method, method_options = _calibration_method(options)
        images = ranges.images if ranges else len(calibration)
        if ranges is None and method is CalibrationMethod.MinMax:
            averaged = options.calibration_method == "mean_minmax"
            images = _ort_ranges.write(source, calibration, ranges_file, averaged=averaged) or images
        quantize_static(
            source,
            target,
            _Reader(calibration),
            quant_format=QuantFormat.QDQ,
            per_channel=options.weights == "per_channel",
            reduce_range=not full_weights,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=sorted({*_left_out(model, options), *excluded}),
            calibrate_method=method,
            calibration_cache_path=ranges_file,
            extra_options={"ActivationSymmetric": options.activations == "symmetric", **method_options},
        )
        return onnx.load(target), Ranges(ranges_file.read_bytes(), images)


def layers(graph: Path, options: QuantizeOptions) -> tuple[str, ...]:
    """The nodes with nearly all of the arithmetic that the options do not exclude."""
    import onnx

    model = _ort_ready.named(onnx.load(graph, load_external_data=False))
    excluded = set(_left_out(model, options))
    return tuple(node.name for node in model.graph.node if node.op_type in _LAYERS and node.name not in excluded)


class _Reader:
    """Calibration data reader for ONNX Runtime: returns the next feeds, or None at the end."""

    def __init__(self, calibration: Sequence[Feeds]) -> None:
        self._feeds = calibration
        self._rest: Iterator[Feeds] = iter(calibration)

    def get_next(self) -> Feeds | None:
        return next(self._rest, None)

    def rewind(self) -> None:
        self._rest = iter(self._feeds)

    def __iter__(self) -> Iterator[Feeds]:
        return iter(self._feeds)

    def __len__(self) -> int:
        return len(self._feeds)


def _calibration_method(options: QuantizeOptions) -> tuple[Any, dict[str, object]]:
    from onnxruntime.quantization import CalibrationMethod

    if options.calibration_method == "minmax":
        return CalibrationMethod.MinMax, {}
    if options.calibration_method == "mean_minmax":
        return CalibrationMethod.MinMax, {"CalibMovingAverage": True}
    held: dict[str, object] = {"CalibMaxIntermediateOutputs": _IMAGES_HELD}
    if options.calibration_method == "percentile":
        return CalibrationMethod.Percentile, {**held, "CalibPercentile": options.percentile}
    return CalibrationMethod.Entropy, held


def _left_out(model: Any, options: QuantizeOptions) -> list[str]:
    """Names of the excluded nodes, which stay in float."""
    excluded = set(_excluded.matching(options.excluded_names, [node.name for node in model.graph.node]))
    types = {*_NEVER, *options.excluded_types}
    return [node.name for node in model.graph.node if node.op_type in types or node.name in excluded]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the quantiser's prints and its messages on the root logger."""
    import onnxruntime

    thread = threading.get_ident()

    # A filter of the root logger sees only what is logged on that logger itself; other threads keep theirs.
    def is_kept(record: logging.LogRecord) -> bool:
        return record.thread != thread or record.levelno > logging.WARNING

    logging.root.addFilter(is_kept)
    onnxruntime.set_default_logger_severity(_ERRORS)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.root.removeFilter(is_kept)
        onnxruntime.set_default_logger_severity(_WARNINGS)
