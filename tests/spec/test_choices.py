"""Options that a program makes are held to the words and bounds of the command line."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import densecast
from densecast.errors import UnknownNameError, UsageError
from densecast.spec.data_options import DataCheckOptions
from densecast.spec.handoff_options import PrepareOptions
from densecast.spec.handover_options import ExportToOptions
from densecast.spec.infer_options import InferOptions


@pytest.mark.parametrize(
    ("kind", "name", "value", "told"),
    [
        (densecast.BuildOptions, "half_type", "bfloat16", "half_type must be auto, bf16 or f16, got 'bfloat16'"),
        (densecast.BuildOptions, "cpu", "avx-512", "cpu must be native, any, avx2"),
        (densecast.QuantizeOptions, "split", "test", "split must be train, val or all"),
        (densecast.QuantizeOptions, "weights", None, "weights must be per_channel or per_tensor, got None"),
        (densecast.QuantizeOptions, "calibration_method", "kl", "calibration_method must be auto, minmax"),
        (densecast.QuantizeOptions, "percentile", 20.0, "percentile must be at least 50"),
        (densecast.QuantizeOptions, "percentile", 101, "percentile must be at most 100"),
        (densecast.QuantizeOptions, "images", -1, "images must be at least 0"),
        (densecast.ExportOptions, "exporter", "onnx", "exporter must be auto, torchscript or dynamo"),
        (densecast.ExportOptions, "opset", 9, "opset must be at least 11"),
        (densecast.EvaluateOptions, "split", "test", "split must be train, val or all"),
        (densecast.TuneOptions, "goal", "speed", "goal must be throughput or latency"),
        (DataCheckOptions, "split", "test", "split must be train, val or all"),
        (InferOptions, "overlay_video", "avi", "overlay_video must be webm or mp4"),
    ],
)
def test_another_word_or_number_is_refused(kind: Any, name: str, value: object, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        kind(**{name: value})
    assert caught.value.field == name


@pytest.mark.parametrize("kind", [densecast.BuildOptions, densecast.QuantizeOptions, ExportToOptions, PrepareOptions])
def test_words_in_other_letters_are_put_right(kind: Any) -> None:
    for field in dataclasses.fields(kind):
        if isinstance(field.default, str) and field.default and field.name not in ("backend", "device"):
            assert getattr(kind(**{field.name: field.default.upper()}), field.name) == field.default


@pytest.mark.parametrize(
    ("short", "full"), [("fp32", "force_float32"), ("FP16", "force_float16"), ("int8", "qint8_mixed_float16")]
)
def test_short_names_of_precisions_are_taken_from_a_program(short: Any, full: str) -> None:
    assert densecast.BuildOptions(precision=short).precision == full
    assert densecast.RunOptions(precisions=[short]).precisions == (full,)  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="unknown precision 'fp8'"):
        densecast.BuildOptions(precision="fp8")  # type: ignore[arg-type]
