"""`info` tells what a model is: counted by hand, or by torch, never by the code under test."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import tiny_artifacts
import tiny_graphs
from command_line import densecast, failed
from made_images import carvana

import densecast as package
from densecast.errors import BadShapeError
from densecast.spec.options import BuildOptions, InputShape

# Of the tiny graph: 8 filters of 3x3x3 and 2 of 8, with the first one's biases.
WEIGHTS, PARAMETERS = (8 * 27, 2 * 8), 8 * 27 + 8 + 2 * 8


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> package.Artifact:
    return tiny_artifacts.exported(tmp_path_factory.mktemp("tiny"))


def test_an_onnx_file_is_told_of_by_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_graphs.segmentation()
    onnx.helper.set_model_props(model, {"names": json.dumps({0: "road", 1: "car"})})
    onnx.save(model, tmp_path / "net.onnx")
    monkeypatch.chdir(tmp_path)
    found = package.info("net.onnx", size_hw=(40, 60))
    assert (found.path, found.size_bytes) == ("net.onnx", (tmp_path / "net.onnx").stat().st_size)
    assert found.kind == "ONNX file" and found.labels == ("road", "car") and found.at_shape == (1, 3, 40, 60)
    assert [(layer.operator, layer.macs) for layer in found.layers] == [("Conv", 2400 * each) for each in WEIGHTS]
    assert found.parameters == PARAMETERS and found.macs == 2400 * sum(WEIGHTS)
    assert [layer.output_shape for layer in found.layers] == [(1, 8, 40, 60), (1, 2, 40, 60)]
    assert str(found.inputs[0]) == "image float32 (N, 3, H, W)" and found.origin["opset"] == "ai.onnx 17"


def test_the_command_prints_what_its_json_holds(tmp_path: Path, exported: package.Artifact) -> None:
    ended = densecast("info", exported.folder, "--size", "40x60", "--json", tmp_path / "i.json")
    assert ended.code == 0, ended.err
    plain = json.loads((tmp_path / "i.json").read_text(encoding="utf-8"))
    assert plain["kind"] == "exported artifact" and plain["macs"] == 2400 * sum(WEIGHTS) and plain["format"] == 1
    assert plain["labels"] == list(exported.spec.labels) and plain["preprocess"]["colour"] == "RGB"
    for words in (f"{PARAMETERS:,}", "0.001 G at 1×3×40×60", "Conv", "labels", "source"):
        assert words in ended.out
    assert "the network takes" in failed(3, "info", exported.folder, "--size", "40x100000")
    assert "--size" in failed(2, "info", exported.folder, "--size", "forty")


@pytest.mark.parametrize(
    ("backend", "precision"),
    [
        ("onnxruntime", "force_float32"),
        ("onnxruntime", "qint8_mixed_float16"),
        ("openvino", "force_float32"),
        pytest.param("openvino", "qint8_mixed_float16", marks=(pytest.mark.quantize, pytest.mark.slow)),
    ],
)
def test_a_built_model_tells_the_type_that_each_layer_runs_in(
    backend: str, precision: str, exported: package.Artifact, tmp_path: Path
) -> None:
    if backend == "openvino" and precision.startswith("q"):
        pytest.importorskip("nncf")
    options = BuildOptions(backend, precision, shape=InputShape(height=48, width=64))  # type: ignore[arg-type]
    data = carvana(tmp_path / "data", count=3, size_hw=(96, 128)) / "imgs" if precision.startswith("q") else None
    quick = package.QuantizeOptions(calibration_method="minmax", bias_correction="none")
    built = package.build(exported, tmp_path / "built", replace(options, quantize=quick), data=data)
    found = package.info(built)
    assert found.kind == "built artifact" and found.asked == precision and found.backend == backend
    assert found.macs == 48 * 64 * sum(WEIGHTS) and found.at_shape == (1, 3, 48, 64)
    assert [layer.parameters - (8 if layer.parameters == 224 else 0) for layer in found.layers] == list(WEIGHTS)
    counted: dict[str, int] = {}
    for layer in found.layers:
        counted[layer.precision] = counted.get(layer.precision, 0) + 1
    assert counted == built.manifest.precision_ran.layers


@pytest.mark.slow
@pytest.mark.torch
def test_a_network_has_the_multiplications_that_torch_counts(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=2, padding=1, groups=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=4),
        torch.nn.ConvTranspose2d(8, 4, 2, stride=2),
        torch.nn.Conv2d(4, 2, 1),
    ).eval()
    made = package.export(network, tmp_path / "float", labels=2, example=(32, 48))
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, 64, 96))
    found = package.info(made, size_hw=(64, 96))
    # It counts a multiplication and its addition as two.
    assert found.macs == counter.get_total_flops() // 2
    assert found.parameters == sum(each.numel() for each in network.parameters())
    script = tmp_path / "net.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces the end of TorchScript
        torch.jit.trace(network, torch.zeros(1, 3, 32, 48)).save(script)
    assert package.info(script).parameters == found.parameters
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    weights = package.info(tmp_path / "weights.pth")
    assert weights.kind == "weights" and weights.parameters == found.parameters
    assert len(weights.layers) == len(network.state_dict())


def test_shipped_weights_and_zoo_names_need_no_torch() -> None:
    entry = package.info("unet_tiny")
    assert entry.kind == "zoo model" and entry.labels == ("background", "car")
    path = Path(package.__file__).parent / "zoo" / "weights" / "unet_tiny.safetensors"
    with path.open("rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    header.pop("__metadata__", None)
    found = package.info(path)
    assert found.parameters == sum(int(np.prod(each["shape"], dtype=np.int64)) for each in header.values())


def test_what_is_no_model_is_said_in_one_line(tmp_path: Path, exported: package.Artifact) -> None:
    (tmp_path / "a.onnx").write_bytes(b"no graph")
    (tmp_path / "a.safetensors").write_bytes(b"\xff" * 20)
    (tmp_path / "folder").mkdir()
    assert "not a readable ONNX file" in failed(3, "info", tmp_path / "a.onnx", "-q")
    assert "no safetensors file" in failed(3, "info", tmp_path / "a.safetensors", "-q")
    assert "is no artifact" in failed(3, "info", tmp_path / "folder", "-q")
    assert "does not exist" in failed(3, "info", tmp_path / "b.onnx", "-q")
    assert "Did you mean 'unet_tiny'" in failed(2, "info", "unet_tin", "-q")
    assert "no effect" in failed(2, "info", "unet_tiny", "--size", "64", "-q")
    with pytest.raises(BadShapeError):
        package.info(exported, size_hw=(0, 5))
