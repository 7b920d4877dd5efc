"""What a file says of itself, read by the part of `info` that the confined process runs; counted by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import onnx.parser
import pytest
from onnx import TensorProto, helper

from densecast.errors import BadShapeError
from densecast.spec.tensor import Dim
from densecast.verbs.info import files_info, inside


def saved(folder: Path, nodes: str, signature: str = "(float[N, 3, H, 8] x) => (float[N, 2, H, 8] y)") -> Path:
    text = f'<ir_version: 8, opset_import: ["" : 17, "own" : 2]> g {signature} <float[2, 3, 1, 1] w> {{ {nodes} }}'
    model = onnx.parser.parse_model(text.replace(" <float[2, 3, 1, 1] w>", ""))
    model.graph.initializer.append(helper.make_tensor("w", TensorProto.FLOAT, [2, 3, 1, 1], [0.5] * 6))
    model.producer_name, model.producer_version = "maker", "1.2"
    onnx.save(model, folder / "a.onnx")
    return folder / "a.onnx"


def told(path: Path, size_hw: tuple[int, int] | None = None) -> dict[str, Any]:
    return inside.onnx({"path": str(path), "size_hw": size_hw}, path.parent)


def test_tensors_operators_and_where_it_comes_from(tmp_path: Path) -> None:
    path = saved(tmp_path, "a = Conv (x, w) b = Relu (a) c = Relu (b) y = Identity (c)")
    found = told(path)
    assert found["inputs"] == [{"name": "x", "dtype": "float32", "shape": ["N", 3, "H", 8]}]
    assert found["outputs"] == [{"name": "y", "dtype": "float32", "shape": ["N", 2, "H", 8]}]
    assert found["origin"] == {"opset": "ai.onnx 17, own 2", "producer": "maker 1.2"}
    assert found["notes"][0] == "4 operators: 2 Relu, 1 Conv, 1 Identity"
    assert found["parameters"] == 6 and found["at_shape"][1] == 3 and found["at_shape"][3] == 8
    sized = told(path, (20, 8))
    assert sized["at_shape"] == [1, 3, 20, 8] and sized["macs"] == 20 * 8 * 6
    assert "format" not in found


def test_metadata_is_named_and_what_a_maker_leaves_out_is(tmp_path: Path) -> None:
    path = saved(tmp_path, "y = Conv (x, w)")
    model = onnx.load(path)
    model.producer_name = model.producer_version = ""
    helper.set_model_props(model, {"names": "{}", "stride": "32"})
    onnx.save(model, path)
    assert told(path)["origin"] == {"opset": "ai.onnx 17, own 2", "metadata": "names, stride"}


def test_a_dozen_kinds_of_operators_are_listed(tmp_path: Path) -> None:
    names = ["Relu", "Neg", "Abs", "Exp", "Sqrt", "Sin", "Cos", "Tanh", "Floor", "Ceil", "Erf", "Round"]
    for count, more in ((11, ""), (12, " …")):
        steps = [f"t{place + 1} = {name} (t{place})" for place, name in enumerate(names[: count - 1])]
        path = saved(tmp_path, f"t0 = Conv (x, w) {' '.join(steps)} y = {names[count - 1]} (t{count - 1})")
        listed = ["1 Conv", *(f"1 {name}" for name in names)][: min(count + 1, 12)]
        assert told(path)["notes"][0] == f"{count + 1} operators: {', '.join(listed)}{more}"


def test_open_sizes_are_ranges_with_names_and_odd_ones_are_refused() -> None:
    value = helper.make_tensor_value_info("x", TensorProto.UINT8, ["n", 3, None, 7])
    (tensor,) = files_info.tensors_of([value])
    assert (tensor.name, tensor.dtype) == ("x", "uint8")
    assert tensor.shape == (Dim("n", 1, 65536), 3, Dim("size_2", 1, 65536), 7)
    (text,) = files_info.texts_of([value])
    assert (text.name, text.dtype, text.shape) == ("x", "uint8", ("n", 3, "?", 7))
    negative = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, -3])
    with pytest.raises(BadShapeError):
        files_info.tensors_of([negative])
