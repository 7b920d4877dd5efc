"""Compares a built model with its float graph, so that a build that computes something else is never written.

Float32 may differ by the order of sums alone. What 16 bits may change is measured on the graph itself: its weights are
rounded to the type that runs, and the engine, which rounds activations as well, may be off by a few times as much.
Int8 is judged on calibration images, whose ranges it has seen: by correlation and labels, and by what rounding weights
and activations to 8 bits changes in the graph itself. What an engine misreads is seen by `float_check`, in float32.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from densecast.artifact.stored_answer import least_scale, relative_l2
from densecast.errors import ParityError
from densecast.spec.model import ModelSpec
from densecast.spec.precision import Precision, short
from densecast.spec.tensor import Array, Feeds
from densecast.tasks._base import TASKS, WeighsOutputs
from densecast.tasks.segmentation import SegmentationDecode
from densecast.verbs.builder._float_graph import FloatGraph

_LOG = logging.getLogger(__name__)

F32 = npt.NDArray[np.float32]

# Of the relative L2 difference. Sums in another order move the last of 24 bits, by 1e-6 and, through deep networks, to
# 1e-4; a resize or a padding of another kind moves a percent.
FLOAT32 = 1e-3
# Of a graph that is quantised already, engines round values between two steps otherwise, layer by layer.
_OWN_STEPS = 0.05
# Activations are rounded as well as weights, layer by layer, and errors add up: with the shipped networks both engines
# are off by 1.0 to 2.0 times what rounded weights alone are. The floor is for networks whose weights are few or round.
_TIMES_WEIGHTS = 4.0
_HALF_FLOOR, _HALF_CEILING = 1e-2, 0.35
# Between int8 and float on images that were calibrated on. Sound builds of the shipped networks correlate by 0.995 and
# more and change up to 6 % of the labels.
_LEAST_CORRELATION = 0.9
_MOST_LABELS = 0.35
# Of what 8 bits change with the ranges of the image itself; ranges of a calibration are wider, and the layers between
# run in 16 bits. The floor is what sound builds of the shipped networks stay below: a correlation of 0.995 is 0.1.
_TIMES_8_BITS, _INT8_FLOOR = 4.0, 0.15
# Of probabilities: below it engines do not agree.
_SMALLEST = np.float32(1e-5)
_SIGNIFICANT_BITS = {"bf16": 8, "f16": 11}


def check(
    float_graph: Path,
    spec: ModelSpec,
    pairs: Sequence[tuple[Feeds, Sequence[Array]]],
    precision: Precision,
    backend: str,
    half_type: str = "",
    *,
    asked: Precision | None = None,
) -> None:
    """Compare the outputs that an engine gave for some feeds with those of the float graph.

    `asked` is the precision of the build that they are compared for, where it is another than theirs.

    Raises:
        ParityError: they are further apart than rounding explains.
    """
    graph = FloatGraph(float_graph, [tensor.name for tensor in spec.outputs])
    rounded = graph.rounded(precision, _SIGNIFICANT_BITS.get(half_type, 8))
    for feeds, outputs in pairs:
        expected = graph(feeds)
        assert expected is not None, "only a rounded form may be missing"
        with_rounding = rounded(feeds) if rounded is not None else None
        weighted = with_rounding if with_rounding is not None else expected
        for tensor, want, got, of_weights in zip(spec.outputs, expected, outputs, weighted, strict=True):
            is_main = tensor.name == spec.output.name
            if want.shape != got.shape:
                raise _wrong(precision, backend, f"gives {got.shape} for {tensor.name!r} instead of {want.shape}")
            if want.dtype.kind != "f" or (is_main and _holds_labels(spec)):
                _check_labels(want, got, precision, backend, tensor.name)
            elif precision == "qint8_mixed_float16":
                _check_coarse(want, np.asarray(got, np.float32), spec if is_main else None, backend)
                if with_rounding is not None:
                    _check_noise(want, of_weights, got, backend)
            else:
                own = relative_l2(want, np.asarray(of_weights, np.float32))
                most = FLOAT32 if with_rounding is None else min(max(_HALF_FLOOR, _TIMES_WEIGHTS * own), _HALF_CEILING)
                apart = _apart(want, np.asarray(got, np.float32), precision)
                if not apart <= most and precision == "force_float32" and graph.is_quantised:
                    most = _OWN_STEPS
                if not apart <= most:
                    how = f"is off by {apart:.2g} of the float graph's output (at most {most:.2g})"
                    how = f"{how} even in float32, where nothing is rounded," if asked else how
                    raise _wrong(asked or precision, backend, how)


def _apart(want: Array, got: F32, precision: Precision) -> float:
    """The relative L2 difference; in float32 of small probabilities, too, which tell how far their logits are apart."""
    apart = relative_l2(want, got)
    least = least_scale(want, got)
    if precision != "force_float32" or not least or float(np.sqrt(np.mean(np.square(want)))) >= least:
        return apart
    left, right = (np.log(np.asarray(each, np.float32) + _SMALLEST) for each in (want, got))
    return max(apart, relative_l2(left, right))


def correlation(expected: Array, output: Array) -> float:
    """Pearson's correlation of all values; 1 where nothing varies in either, 0 where nothing varies in one of them."""
    left, right = (np.asarray(each, np.float64).reshape(-1) for each in (expected, output))
    left, right = left - left.mean(), right - right.mean()
    norms = float(np.linalg.norm(left)) * float(np.linalg.norm(right))
    if norms:
        return float(left @ right) / norms
    return float(not left.any() and not right.any())


def _holds_labels(spec: ModelSpec) -> bool:
    """Whether the main output is a decision already, be it in floats."""
    return isinstance(spec.decode, SegmentationDecode) and spec.decode.form == "labels"


def _check_labels(want: Array, got: Array, precision: Precision, backend: str, name: str) -> None:
    most = {"force_float32": 1e-2, "force_float16": 0.2}.get(precision, _MOST_LABELS)
    changed = float(np.mean(want != got))
    if not changed <= most:
        raise _wrong(precision, backend, f"gives other whole numbers at {changed:.1%} of {name!r} (at most {most:.0%})")


def _check_coarse(want: Array, got: F32, spec: ModelSpec | None, backend: str) -> None:
    """Int8: whether the values follow the float graph's, and its decisions are mostly the same."""
    precision: Precision = "qint8_mixed_float16"
    # Where all probabilities are next to nothing, or to 1, they follow nothing.
    is_flat = least_scale(want, got) > max(float(want.std()), float(got.std()), abs(float(want.mean() - got.mean())))
    if is_flat:
        _LOG.warning(
            "The network answers alike for all of a calibration image, as where there is nothing to be found: the int8 "
            "build was not judged by it, and its ranges know nothing of what is to be found. Calibrate on images that "
            "show it."
        )
    follows = 1.0 if is_flat else correlation(want, got)
    if not follows >= _LEAST_CORRELATION:
        raise _wrong(
            precision,
            backend,
            f"correlates by {follows:.2f} with the float graph's output (at least {_LEAST_CORRELATION:g})",
        )
    if spec is None:
        return
    task: object = TASKS.load_trusted(spec.task)
    if not isinstance(task, WeighsOutputs) or task.output_measure != "labels_changed":
        return
    changed = task.output_change([np.asarray(want, np.float32)], [got], spec)
    if not changed <= _MOST_LABELS:
        raise _wrong(precision, backend, f"changes {changed:.0%} of the labels (at most {_MOST_LABELS:.0%})")


def _check_noise(want: Array, rounded: Array, got: Array, backend: str) -> None:
    """Int8: whether the values differ by no more than some times of what 8 bits change."""
    own, apart = relative_l2(want, rounded), relative_l2(want, got)
    most = max(_INT8_FLOOR, _TIMES_8_BITS * own)
    if not apart <= most:
        how = f"is off by {apart:.2g} of the float graph's output, where rounding to 8 bits explains {most:.2g}"
        raise _wrong("qint8_mixed_float16", backend, how)


def _wrong(precision: Precision, backend: str, how: str) -> ParityError:
    cure = (
        "Let `compare` locate the layer."
        if backend == "onnxruntime"
        else "Build with -b onnxruntime, or let `compare` locate the layer."
    )
    return ParityError(
        f"the {short(precision)} model built for {backend} {how} on a test image: the build is wrong. {cure}"
    )
