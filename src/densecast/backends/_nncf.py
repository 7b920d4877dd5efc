"""Int8 quantisation with NNCF, with quantisers placed where OpenVINO fuses them."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Sequence
from typing import Any

from densecast.backends import _excluded
from densecast.errors import MissingExtraError
from densecast.spec.options import QuantizeOptions
from densecast.spec.tensor import Feeds


def require() -> None:
    """Raise an error that says what to install if NNCF is missing.

    Raises:
        MissingExtraError: it is.
    """
    if importlib.util.find_spec("nncf") is None:
        raise MissingExtraError.of("quantize", "int8 on OpenVINO")


def quantize(model: Any, calibration: Sequence[Feeds], options: QuantizeOptions, *, full_weights: bool) -> Any:
    """Insert fake-quantisation around convolutions and matrix products; returns a new model of the same kind.

    Weights use all 8 bits with `full_weights`, else 7.

    Raises:
        MissingExtraError: NNCF is not installed.
        UsageError: a pattern of what stays in float is found nowhere.
    """
    names = [node.get_friendly_name() for node in model.get_ordered_ops() if node.get_type_name() != "Constant"]
    excluded = _excluded.matching(options.excluded_names, names)
    require()
    import nncf

    # Not `nncf.set_log_level`, which also raises the level of whatever handlers a program has given to that logger.
    logging.getLogger("nncf").setLevel(logging.ERROR)
    # NNCF draws progress bars on standard output, where only results belong.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return nncf.quantize(
            model,
            nncf.Dataset(calibration),
            preset=nncf.QuantizationPreset.PERFORMANCE
            if options.activations == "symmetric"
            else nncf.QuantizationPreset.MIXED,
            target_device=nncf.TargetDevice.CPU,
            subset_size=len(calibration),
            fast_bias_correction=options.bias_correction != "full",
            ignored_scope=nncf.IgnoredScope(names=excluded, types=list(options.excluded_types), validate=False),
            advanced_parameters=_advanced(options, full_weights=full_weights),
        )


def _advanced(options: QuantizeOptions, *, full_weights: bool) -> Any:
    import nncf
    from nncf.quantization.advanced_parameters import QuantizationParameters
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
        weights_quantization_params=QuantizationParameters(per_channel=options.weights == "per_channel"),
    )
