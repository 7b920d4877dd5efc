"""Modules that are another network for another image, or another time, are refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch")

from densecast.errors import BadGraphError  # noqa: E402
from densecast.pipeline import Pipeline  # noqa: E402
from densecast.spec.options import BuildOptions  # noqa: E402
from densecast.spec.verb_options import ExportOptions  # noqa: E402
from densecast.verbs.builder import build  # noqa: E402
from densecast.verbs.export import export  # noqa: E402

# torch announces the end of TorchScript.
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

SMALL = ExportOptions(size_hw=(32, 48), batch=1)


class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self, way: Any) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv, self.way, self.calls = torch.nn.Conv2d(3, 2, 3, padding=1), way, 0

    def forward(self, image: Any) -> Any:
        self.calls += 1
        return self.way(self, image)


WAYS = {
    "through numpy": (
        lambda net, x: net.conv(torch.from_numpy(np.clip(x.numpy(), 0, 0.5))),
        "does not read the image: on its way it left PyTorch",
    ),
    "random": (lambda net, x: net.conv(x) + torch.randn_like(x[:, :2]), "otherwise each time it is run on one image"),
    "dropout": (
        lambda net, x: net.conv(torch.nn.functional.dropout(x, 0.5, training=True)),
        "otherwise each time it is run on one image",
    ),
    "calls": (
        lambda net, x: net.conv(x) + net.calls * torch.tensor([0.0, 9.0]).view(1, 2, 1, 1),
        "otherwise each time it is run on one image",
    ),
    "a branch": (
        lambda net, x: net.conv(x) * (1 if x.mean().item() > 1 else -1),
        "for a brighter image the exported graph answers otherwise.*torch.where",
    ),
}


@pytest.mark.parametrize("name", WAYS)
def test_what_no_graph_can_be_is_refused_with_the_reason(name: str, tmp_path: Path) -> None:
    way, told = WAYS[name]
    with pytest.raises(BadGraphError, match=told):
        export(Net(way).eval(), tmp_path / "out", labels=["a", "b"], options=SMALL)
    assert not (tmp_path / "out").exists()


def test_a_network_that_decides_inside_of_torch_is_exported(tmp_path: Path) -> None:
    def way(net: Net, x: Any) -> Any:
        return torch.where(x.mean() > 1, net.conv(x), -net.conv(x))

    export(Net(way).eval(), tmp_path / "out", labels=["a", "b"], options=SMALL)


def test_a_network_that_fails_at_other_sizes_says_what_it_said(tmp_path: Path) -> None:
    def way(net: Net, x: Any) -> Any:
        if x.shape[2] != x.shape[3]:
            raise ValueError("squares only")
        return net.conv(x)

    with pytest.raises(BadGraphError, match=r"squares only.*--static 1xHEIGHTxWIDTH"):
        export(Net(way).eval(), tmp_path / "out", labels=["a", "b"], example=(64, 64))


@pytest.mark.parametrize("ends_in_sigmoid", [True, False])
def test_several_labels_of_a_network_with_its_own_sigmoid_are_not_decided_twice(
    ends_in_sigmoid: bool, tmp_path: Path
) -> None:
    net = Net(lambda net, x: net.conv(x).sigmoid() if ends_in_sigmoid else net.conv(x)).eval()
    source = export(net, tmp_path / "out", labels=["wet", "road"], task="multilabel", options=SMALL)
    assert any("activation 'none'" in note for note in source.manifest.passes) == ends_in_sigmoid
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    with torch.inference_mode():
        logits = net.conv(torch.from_numpy(image).permute(2, 0, 1)[None] / 255)[0].numpy()
    built = build(source, tmp_path / "built", BuildOptions(backend="onnxruntime"))
    with Pipeline.open(built) as pipeline:
        found = pipeline(image).classes
    assert 0.01 < (logits > 0).mean() < 0.99
    assert np.mean(found != (logits > 0)) < 1e-3


def test_a_network_that_computes_in_bfloat16_is_told_to_leave_that_to_the_build(tmp_path: Path) -> None:
    def lowered(net: Any, image: Any) -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return net.conv(image).float()

    with pytest.raises(BadGraphError, match=r"bfloat16 by itself.*torch\.autocast.*--precision"):
        export(Net(lowered), tmp_path / "float", labels=["a", "b"], options=SMALL)


@pytest.mark.filterwarnings("ignore")  # torch announces another package
def test_a_network_prepared_for_training_with_quantisation_is_refused_in_words(tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1)).train()
    net.qconfig = torch.ao.quantization.get_default_qat_qconfig("x86")
    with pytest.raises(BadGraphError, match=r"quantisation-aware training.*Make the plain network"):
        export(torch.ao.quantization.prepare_qat(net), tmp_path / "float", labels=["a", "b"], options=SMALL)


def quantised(how: str) -> torch.nn.Module:
    from torch.ao import quantization

    mapping = quantization.get_default_qconfig_mapping("x86")
    if how == "layers":
        linear = torch.nn.Sequential(torch.nn.Flatten(2), torch.nn.Linear(64, 64)).eval()
        return quantization.quantize_dynamic(linear, {torch.nn.Linear}, dtype=torch.qint8)
    stubs = (quantization.QuantStub(), torch.nn.Conv2d(3, 2, 1), quantization.DeQuantStub())
    net = torch.nn.Sequential(*stubs).eval()
    if how == "graph":
        from torch.ao.quantization import quantize_fx

        image = torch.zeros(1, 3, 8, 8)
        return quantize_fx.convert_fx(quantize_fx.prepare_fx(net[1:2], mapping, (image,)))
    net.qconfig = quantization.get_default_qconfig("x86")
    quantization.prepare(net, inplace=True)(torch.rand(1, 3, 8, 8))
    return quantization.convert(net, inplace=True)


@pytest.mark.filterwarnings("ignore")  # torch announces another package
@pytest.mark.parametrize("how", ["stubs", "layers", "graph"])
def test_a_quantised_network_is_refused_in_words(how: str, tmp_path: Path) -> None:
    with pytest.raises(BadGraphError, match=r"is quantised in PyTorch.*Export the float network"):
        export(quantised(how), tmp_path / "float", labels=["a", "b"], options=SMALL)


@pytest.mark.filterwarnings("ignore")  # as above
def test_a_quantised_script_is_refused_in_words(tmp_path: Path) -> None:
    torch.jit.trace(quantised("stubs"), torch.zeros(1, 3, 8, 8)).save(tmp_path / "net.pt")
    with pytest.raises(BadGraphError, match=r"net\.pt is quantised in PyTorch.*Export the float network"):
        export(tmp_path / "net.pt", tmp_path / "float", labels=["a", "b"], options=SMALL)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of torch's own copy of a program
def test_a_program_of_torch_export_is_its_module(tmp_path: Path) -> None:
    net = torch.nn.Conv2d(3, 2, 3, padding=1).eval()
    size = {axis: torch.export.Dim(name, min=8, max=1024) for axis, name in ((2, "height"), (3, "width"))}
    program = torch.export.export(net, (torch.zeros(1, 3, 32, 48),), dynamic_shapes=(size,))
    artifact = export(program, tmp_path / "float", labels=["a", "b"], options=SMALL)
    image = np.random.default_rng(0).normal(size=(1, 3, 32, 48)).astype(np.float32)
    (found,) = onnxruntime.InferenceSession(artifact.folder / "model.onnx").run(None, {artifact.spec.input.name: image})
    np.testing.assert_allclose(found, net(torch.from_numpy(image)).detach().numpy(), atol=1e-5)


def test_unnamed_maps_of_one_size_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING"):
        export(Net(lambda net, x: [net.conv(x), 2 * net.conv(x)]), tmp_path / "two", labels=["a", "b"], options=SMALL)
        assert "output_0, output_1 are maps of one size" in caplog.text and "--output-name output_1" in caplog.text
        caplog.clear()
        other = Net(lambda net, x: [net.conv(x), net.conv(x)[:, :, ::2, ::2]])
        export(other, tmp_path / "finer", labels=["a", "b"], options=SMALL)
    assert not caplog.text


def test_a_network_that_finds_nothing_in_the_test_images_is_no_other_one(tmp_path: Path) -> None:
    """Of probabilities of 1e-8 engines and torch differ by as much."""
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 1, 3, padding=1), torch.nn.Sigmoid())
    torch.nn.init.constant_(network[0].bias, -18.0)
    made = export(network, tmp_path / "float", labels=["ground", "car"], options=SMALL)
    assert made.spec.decode.form == "binary_probability"
