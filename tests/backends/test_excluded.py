"""What is to stay in float stays there, and what names nothing is said."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_artifacts
from made_images import write_jpeg

from densecast.backends import _excluded
from densecast.errors import UsageError
from densecast.spec.options import BuildOptions, InputShape, QuantizeOptions
from densecast.verbs.builder import build

NAMES = ["encoder/stem/conv", "encoder/stage1/conv", "decoder/up/conv"]


def test_a_pattern_may_be_found_anywhere_in_a_name() -> None:
    assert _excluded.matching(["stage1", "^decoder"], NAMES) == NAMES[1:]
    assert _excluded.matching([".*conv"], NAMES) == NAMES
    assert _excluded.matching([], NAMES) == []


def test_a_pattern_that_is_found_nowhere_is_an_error_that_names_near_ones() -> None:
    with pytest.raises(UsageError, match=r"'encoder/stage9/conv' is found in no node's name.*'encoder/stage1/conv'"):
        _excluded.matching(["stem", "encoder/stage9/conv"], NAMES)


def test_a_broken_expression_is_an_error() -> None:
    with pytest.raises(UsageError, match="no regular expression"):
        _excluded.matching(["stage("], NAMES)


@pytest.mark.quantize
@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_every_quantiser_refuses_a_pattern_that_names_nothing(backend: str, tmp_path: Path) -> None:
    pytest.importorskip("nncf")
    (tmp_path / "images").mkdir()
    write_jpeg(tmp_path / "images/0.jpg", seed=0)
    quantize = QuantizeOptions(calibration_method="minmax", excluded_names=("stage9",))
    options = BuildOptions(backend, "qint8_mixed_float16", InputShape(height=24, width=32), quantize)
    with pytest.raises(UsageError, match="'stage9' is found in no node's name"):
        build(tiny_artifacts.exported(tmp_path), tmp_path / "built", options, data=tmp_path / "images")
    assert not (tmp_path / "built").exists()
