"""Int8 quantisation with NNCF, with quantisers placed where OpenVINO fuses them."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from densecast.backends import _excluded
from densecast.backends._nncf_calibrator import Calibrator, UnknownPartsError
from densecast.errors import MissingExtraError
from densecast.runtime import late_imports
from densecast.spec.options import QuantizeOptions
from densecast.spec.tensor import Feeds

# What OpenVINO calls the operators of ONNX that quantisers stand around, where it has another name.
_OPENVINO_TYPES = {
    "Conv": ("Convolution", "GroupConvolution"),
    "ConvTranspose": ("ConvolutionBackpropData", "GroupConvolutionBackpropData"),
    "Gemm": ("MatMul",),
    "Mul": ("Multiply",),
    "Sub": ("Subtract",),
    "Div": ("Divide",),
    "Sum": ("Add",),
    "Resize": ("Interpolate",),
    "AveragePool": ("AvgPool",),
    "GlobalAveragePool": ("ReduceMean",),
    "GlobalMaxPool": ("ReduceMax",),
    "LayerNormalization": ("MVN",),
    "InstanceNormalization": ("MVN",),
    "LSTM": ("LSTMSequence",),
    "GRU": ("GRUSequence",),
}


def require() -> None:
    """Raise an error that says what to install if NNCF is missing.

    Raises:
        MissingExtraError: it is.
    """
    if importlib.util.find_spec("nncf") is None:
        raise MissingExtraError.of("quantize", "int8 on OpenVINO")


def quantize(
    model: Any,
    calibration: Sequence[Feeds],
    options: QuantizeOptions,
    *,
    full_weights: bool,
    placed: Calibrator | None = None,
    seen: int = 0,
) -> tuple[Any, int]:
    """Insert fake-quantisation around convolutions and matrix products.

    Weights use all 8 bits with `full_weights`, else 7. `placed` are the model's quantisers, if they are placed already;
    `seen` is the number of the first images that they have collected.

    Returns:
        A new model of the same kind, and how many of the images its ranges are of: all, or as many as settle them.

    Raises:
        MissingExtraError: NNCF is not installed.
        UsageError: a pattern of what stays in float is found nowhere.

    """
    with quiet():
        method, bias = options.calibration_method, options.bias_correction
        made = placed if bias != "full" else None
        if made is None and bias != "full":
            made = calibrator(model, len(calibration), options, full_weights=full_weights)
        if made is not None and method != "auto":
            images = made.settle(calibration, method, with_biases=bias == "fast", seen=seen)
            return made.int8(method, corrects_biases=bias == "fast"), images
        import nncf

        int8 = nncf.quantize(
            model,
            nncf.Dataset(calibration),
            subset_size=len(calibration),
            fast_bias_correction=bias != "full",
            advanced_parameters=_advanced(options, full_weights=full_weights),
            **_where(model, options),
        )
        return int8, len(calibration)


def calibrator(model: Any, images: int, options: QuantizeOptions, *, full_weights: bool) -> Calibrator | None:
    """The model's quantisers, placed, to be given ranges of several methods; None where only NNCF itself can do it.

    Raises:
        MissingExtraError: NNCF is not installed.
        UsageError: a pattern of what stays in float is found nowhere.
    """
    with quiet():
        where = _where(model, options)
        # Placing depends on neither: the range of every method and biases can be had from one placement.
        placed = replace(options, calibration_method="minmax", bias_correction="fast")
        try:
            from nncf.quantization.algorithms.post_training.pipeline import create_ptq_pipeline

            pipeline = create_ptq_pipeline(
                subset_size=images, advanced_parameters=_advanced(placed, full_weights=full_weights, raw=True), **where
            )
            return Calibrator(model, pipeline.pipeline_steps, options)
        except (ImportError, AttributeError, TypeError, UnknownPartsError):
            return None


def _where(model: Any, options: QuantizeOptions) -> dict[str, Any]:
    """Where quantisers go: NNCF's arguments.

    Raises:
        MissingExtraError: NNCF is not installed.
        UsageError: a pattern of what stays in float is found nowhere.
    """
    names = [node.get_friendly_name() for node in model.get_ordered_ops() if node.get_type_name() != "Constant"]
    excluded = _excluded.matching(options.excluded_names, names)
    require()
    nncf: Any = late_imports.nncf()

    performance, mixed = nncf.QuantizationPreset.PERFORMANCE, nncf.QuantizationPreset.MIXED
    return {
        "preset": performance if options.activations == "symmetric" else mixed,
        "target_device": nncf.TargetDevice.CPU,
        "model_type": nncf.ModelType.TRANSFORMER if is_transformer(model) else None,
        "ignored_scope": nncf.IgnoredScope(names=excluded, types=_types(options.excluded_types), validate=False),
    }


def is_transformer(model: Any) -> bool:
    """Whether a model attends (a softmax times values) and normalises layers.

    The sums that go from block to block there, and what normalises them, stay in float: they have a few channels that
    are far larger than all others, which 8 bits for all do not hold.
    """
    nodes = list(model.get_ordered_ops())
    attends = any(node.get_type_name() == "MatMul" and _is_softmax(node.input_value(0).get_node()) for node in nodes)
    return attends and any(node.get_type_name() == "MVN" for node in nodes)


def _is_softmax(node: Any) -> bool:
    """Whether a node is a softmax, or a change of its result's shape."""
    while node.get_type_name() in ("Reshape", "Transpose", "Squeeze", "Unsqueeze"):
        node = node.input_value(0).get_node()
    return str(node.get_type_name()) == "Softmax"


def _types(excluded: Sequence[str]) -> list[str]:
    """OpenVINO's names of operators that options name as ONNX does."""
    return [each for name in excluded for each in _OPENVINO_TYPES.get(name, (name,))]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without NNCF's messages, and the progress bars that it draws on standard output, where only results belong."""
    # Not `nncf.set_log_level`, which also raises the level of whatever handlers a program has given to that logger.
    logging.getLogger("nncf").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _advanced(options: QuantizeOptions, *, full_weights: bool, raw: bool = False) -> Any:
    """NNCF's other arguments; with `raw` its statistics are given whole tensors."""
    import nncf
    from nncf.quantization.advanced_parameters import AdvancedSmoothQuantParameters, QuantizationParameters
    from nncf.quantization.range_estimator import (
        AggregatorType,
        RangeEstimatorParameters,
        RangeEstimatorParametersSet,
        StatisticsCollectorParameters,
        StatisticsType,
    )

    named = {
        "minmax": RangeEstimatorParametersSet.MINMAX,
        "mean_minmax": RangeEstimatorParametersSet.MEAN_MINMAX,
        "histogram": RangeEstimatorParametersSet.HISTOGRAM,
    }
    if options.calibration_method == "percentile":
        side = StatisticsCollectorParameters(
            statistics_type=StatisticsType.QUANTILE,
            aggregator_type=AggregatorType.MEAN,
            quantile_outlier_prob=1 - options.percentile / 100,
        )
        calibration_method = RangeEstimatorParameters(min=side, max=side)
    else:
        calibration_method = named[options.calibration_method]
    return nncf.AdvancedQuantizationParameters(
        # The fix halves weight ranges, of all layers, so that pairs of products fit into 16 bits.
        overflow_fix=nncf.OverflowFix.DISABLE if full_weights else nncf.OverflowFix.ENABLE,
        disable_bias_correction=options.bias_correction not in ("fast", "full"),
        activations_range_estimator_params=calibration_method,
        inplace_statistics=not raw,
        # What a transformer would be given besides: it moves scales between layers by one more pass over all images.
        smooth_quant_alphas=AdvancedSmoothQuantParameters(convolution=-1, matmul=-1),
        weights_quantization_params=QuantizationParameters(per_channel=options.weights == "per_channel"),
    )
