"""Options that a program makes are held to the words and bounds of the command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import densecast
from densecast.errors import UnknownNameError, UsageError
from densecast.spec.data_options import DataCheckOptions
from densecast.spec.handoff_options import PrepareOptions
from densecast.spec.handover_options import ExportToOptions
from densecast.spec.infer_options import InferOptions
from densecast.verbs.reproduce import RunOptions


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


@pytest.mark.parametrize(
    ("kind", "name", "value", "told"),
    [
        (densecast.QuantizeOptions, "excluded_names", "head", r"a tuple of texts, got 'head': pass \('head',\)"),
        (densecast.QuantizeOptions, "images", "5", "images must be a whole number, got '5'"),
        (densecast.QuantizeOptions, "images", 2.5, "images must be a whole number, got 2.5"),
        (densecast.BuildOptions, "quantize", {"images": 5}, "quantize must be a QuantizeOptions"),
        (densecast.BuildOptions, "shape", (320, 480), "shape must be an InputShape"),
        (densecast.BuildOptions, "graph_passes", "none", r"graph_passes must be a tuple of texts or None.*\('none',\)"),
        (densecast.BuildOptions, "uint8_input", "no", "uint8_input must be True or False"),
        (densecast.InputShape, "batch", 4, r"batch must be a tuple of whole numbers or a Range.*: pass \(4,\)"),
        (densecast.InputShape, "height", "640", "height must be a whole number or a Range"),
        (densecast.Range, "max", 2.5, "max must be a whole number"),
        (densecast.ExportOptions, "size_hw", 320, "size_hw must be a tuple of 2 whole numbers or None, got 320"),
        (densecast.EvaluateOptions, "limit", True, "limit must be a whole number or None, got True"),
        (densecast.BenchmarkOptions, "seconds", "3", "seconds must be a number, got '3'"),
        (densecast.MaxDrop, "points", "0.5", "points must be a number, got '0.5'"),
        (densecast.DataOptions, "remap", "255=1", "remap must be a tuple of texts"),
        (densecast.ServeOptions, "port", "80", "port must be a whole number"),
        (densecast.StoreOptions, "max_errors", 5, "max_errors must be text"),
        (InferOptions, "formats", "coco", "formats must be a tuple of texts"),
        (RunOptions, "precisions", "int8", "precisions must be a tuple of .* or None"),
        (RunOptions, "benchmark", 3, "benchmark must be a BenchmarkOptions"),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused(kind: Any, name: str, value: object, told: str) -> None:
    others = {"min": 1} if kind is densecast.Range else {}
    with pytest.raises(UsageError, match=told) as caught:
        kind(**{name: value}, **others)
    assert caught.value.field == name


def test_lists_are_tuples_and_numbers_of_other_libraries_are_pythons() -> None:
    given: dict[str, Any] = {"images": np.int64(5), "percentile": np.float32(99.5), "excluded_names": ["head", "tail"]}
    options = densecast.QuantizeOptions(**given)
    assert options == densecast.QuantizeOptions(images=5, percentile=99.5, excluded_names=("head", "tail"))
    assert (type(options.images), type(options.percentile)) == (int, float)


@pytest.mark.parametrize(
    "verb",
    [
        lambda: densecast.build("there.is.none", options={"backend": "onnxruntime"}),
        lambda: densecast.export("unet_tiny", "out", options={"name": "mine"}),
        lambda: densecast.infer("none", [], "out", options={"every": 2}),
        lambda: densecast.evaluate("none", "data", "val"),
        lambda: densecast.benchmark("none", [], 50),
        lambda: densecast.reproduce("unet_tiny", "out", {"device": "cuda"}),
        lambda: densecast.check_data("none", options={"limit": 5}),
        lambda: densecast.bundle([], "out", {"python": "3.12"}),
        lambda: densecast.export_to("hf", "none", "out", {"name": "mine"}),
    ],
)
def test_a_verb_says_which_class_its_options_are_of(verb: Callable[[], object]) -> None:
    with pytest.raises(UsageError, match=r"options must be an? \w+Options\(…\), got") as caught:
        verb()
    assert caught.value.field == "options"
