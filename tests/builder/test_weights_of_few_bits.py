"""What 16 bits may change goes by what rounded weights change: to 8 significant bits, or 11 for float16."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
import tiny_artifacts

from densecast.errors import ParityError
from densecast.verbs.builder import build_check

IMAGE = np.random.default_rng(0).uniform(0.5, 1.0, (1, 3, 10, 10)).astype(np.float32)


@pytest.mark.parametrize(
    ("weight", "half_type", "off", "is_taken"),
    [
        # 8 bits round 1 + 2^-8 to 1, which is off by 0.0039: four times as much may be.
        (1 + 2**-8, "bf16", 0.015, True), (1 + 2**-8, "bf16", 0.017, False), (1 + 2**-8, "", 0.015, True),
        (1 + 2**-8, "f32", 0.015, True), (1 + 2**-8, "f32", 0.017, False),
        # 11 bits hold it: the floor of a hundredth is left.
        (1 + 2**-8, "f16", 0.009, True), (1 + 2**-8, "f16", 0.015, False),
        # And so do 8 bits hold 1 + 2^-7.
        (1 + 2**-7, "bf16", 0.009, True), (1 + 2**-7, "bf16", 0.015, False),
    ],
)  # fmt: skip
def test_an_engine_may_be_off_by_four_times_what_its_types_weights_are(
    weight: float, half_type: str, off: float, is_taken: bool, tmp_path: Path
) -> None:
    spec = tiny_artifacts.spec()
    spec = spec.with_output(replace(spec.output, name="y"))
    name = spec.input.name
    text = f"g (float[N, 3, H, W] {name}) => (float[N, 3, H, W] y) {{ y = Mul ({name}, w) }}"
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {text}')
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32([weight]), "w"))
    onnx.save(model, tmp_path / "graph.onnx")
    pairs = [({name: IMAGE}, [IMAGE * np.float32(weight) * np.float32(1 + off)])]
    try:
        build_check.check(tmp_path / "graph.onnx", spec, pairs, "force_float16", "openvino", half_type)
    except ParityError:
        assert not is_taken
    else:
        assert is_taken


@pytest.mark.parametrize(("off", "is_taken"), [(0.34, True), (0.36, False)])
def test_an_engine_may_never_be_off_by_more_than_a_third_or_so(off: float, is_taken: bool, tmp_path: Path) -> None:
    """Of 257/256 - 251/256 bfloat16's weights leave five sixths: four times that is more than is ever allowed."""
    spec = tiny_artifacts.spec()
    spec = spec.with_output(replace(spec.output, name="y"))
    name = spec.input.name
    text = f"g (float[N, 3, H, W] {name}) => (float[N, 3, H, W] y) {{ a = Mul ({name}, w) b = Mul ({name}, v) "
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {text} y = Sub (a, b) }}')
    for key, value in (("w", 257 / 256), ("v", 251 / 256)):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32([value]), key))
    onnx.save(model, tmp_path / "graph.onnx")
    right = IMAGE * np.float32(257 / 256) - IMAGE * np.float32(251 / 256)
    pairs = [({name: IMAGE}, [right * np.float32(1 + off)])]
    try:
        build_check.check(tmp_path / "graph.onnx", spec, pairs, "force_float16", "openvino", "bf16")
    except ParityError:
        assert not is_taken
    else:
        assert is_taken
