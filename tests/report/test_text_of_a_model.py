"""What a model is, in lines: what is known of it, and no line of what is not."""

from __future__ import annotations

from densecast.report import info
from densecast.results.info import ModelInfo


def lines_of(**known: object) -> dict[str, str]:
    text = info.text_of(ModelInfo("a.onnx", "ONNX graph", **known))  # type: ignore[arg-type]
    first, *rest = text.splitlines()
    assert first.startswith("a.onnx: ONNX graph")
    return {line.partition(" ")[0]: line[14:] for line in rest}


def test_only_what_is_known_has_a_line() -> None:
    assert lines_of() == {}
    # Multiplications say something only with the size that they are for.
    assert "MACs" not in lines_of(macs=1_500_000_000) and "MACs" not in lines_of(at_shape=(1, 3, 8, 8))
    found = lines_of(macs=1_500_000_000, at_shape=(1, 3, 480, 640), parameters=1234567, size_bytes=2_500_000)
    assert found["MACs"].startswith("1.500 G at 1×3×480×640 ")
    assert (found["parameters"], found["size"]) == ("1,234,567", "2.5 MB")


def test_preprocessing_is_words_whatever_its_values_are() -> None:
    rule = {"fill": [0, 0, 0], "size_hw": [480, 640], "inner": None, "kind": "fit_into"}
    found = lines_of(preprocess={"resize": rule, "mean": [0.5, 0.25], "use_exif": False, "divisor": 255.0})
    assert found["preprocess"] == "resize fit_into (480, 640) (0, 0, 0), mean (0.5, 0.25), divisor 255"
