"""Which int8 builds other machines can help with, and what is said of the others before anything is begun."""

from __future__ import annotations

import pytest

from densecast.backends._base import BACKENDS
from densecast.errors import UsageError
from densecast.spec.options import BuildOptions, QuantizeOptions
from densecast.verbs.builder import calibration

AUTO = QuantizeOptions()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (BuildOptions("openvino", "qint8_mixed_float16", quantize=AUTO), ""),
        (BuildOptions("openvino", "qint8_mixed_float16", quantize=QuantizeOptions(calibration_method="minmax")), ""),
        (
            BuildOptions("openvino", "qint8_mixed_float16", quantize=QuantizeOptions(bias_correction="full")),
            "NNCF corrects biases in full.*other machines have nothing to do",
        ),
        (BuildOptions("onnxruntime", "qint8_mixed_float16", quantize=AUTO), "onnxruntime's quantiser gathers ranges"),
        (BuildOptions("openvino", "force_float16"), "other machines calibrate int8"),
    ],
)
def test_a_build_that_others_cannot_help_with_is_refused(options: BuildOptions, words: str) -> None:
    traits = BACKENDS.load(options.backend).traits
    if not words:
        calibration.check_division("ray:head:6379", options, traits)
        return
    with pytest.raises(UsageError, match=words) as refused:
        calibration.check_division("ray:head:6379", options, traits)
    assert refused.value.field == "on"
