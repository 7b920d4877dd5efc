"""Networks with several outputs or inputs: all outputs are kept and compared, and which is the main one is said."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
import tiny_artifacts

from densecast.artifact import Artifact
from densecast.errors import BadConfigError, BadGraphError, UsageError
from densecast.spec.preprocess import Native, Preprocess, ScaleBy
from densecast.spec.tensor import Dim
from densecast.spec.verb_options import ExportOptions
from densecast.verbs.export import SpecFile, export, export_file, export_module, export_zoo, onnx_file, parity

# torch announces the end of TorchScript.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SPEC = SpecFile(("dark", "bright"))
FEED = parity.image_like((1, 3, 24, 32), 0)


def graph(signature: str, body: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> g {signature} {{ {body} }}')


def two_outputs() -> onnx.ModelProto:
    """A depth of one channel first, then the scores of two classes, then a number an image."""
    return graph(
        "(float[N,3,H,W] image) => (float[N,1,H,W] depth, float[N,2,H,W] scores, float[N,3] mean)"
        " <float[1,3,1,1] a = {1,2,3}, float[2,3,1,1] b = {1,0,0,0,1,0}, int64[2] axes = {2,3}>",
        "depth = Conv (image, a) scores = Conv (image, b) mean = ReduceMean <keepdims = 0, axes = [2, 3]> (image)",
    )


def exported(folder: Path, model: onnx.ModelProto, spec: SpecFile = SPEC, **options: Any) -> Artifact:
    onnx.save(model, folder / "net.onnx")
    return export_file(folder / "net.onnx", spec.model("net"), folder / "float", ExportOptions(**options))


def names(artifact: Artifact) -> list[str]:
    """The artifact's outputs; its graph has the same, in the same order."""
    own = [tensor.name for tensor in artifact.spec.outputs]
    assert [value.name for value in onnx.load(artifact.file("model.onnx")).graph.output] == own
    return own


def test_the_main_output_is_the_only_one_that_fits_the_labels_and_all_are_kept(tmp_path: Path) -> None:
    artifact = exported(tmp_path, two_outputs())
    assert names(artifact) == ["scores", "depth", "mean"]
    said = "main output 'scores', the one that fits the labels; depth, mean exported as well"
    assert artifact.manifest.passes == (said,)
    mean = artifact.spec.outputs[2]
    assert mean.shape[1] == 3 and isinstance(mean.shape[0], Dim)


def test_outputs_can_be_named_and_left_out(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert names(exported(tmp_path / "a", two_outputs(), only_main_output=True)) == ["scores"]
    described = SpecFile(("dark", "bright"), outputs=("scores", "mean"))
    assert names(exported(tmp_path, two_outputs(), described)) == ["scores", "mean", "depth"]
    with pytest.raises(BadGraphError, match="'depth' has 1 channels") as caught:
        exported(tmp_path, two_outputs(), SpecFile(("dark", "dim", "bright")), output_name="depth")
    with pytest.raises(BadGraphError, match="no output 'scor'; the outputs are depth, scores, mean") as caught:
        exported(tmp_path, two_outputs(), output_name="scor")
    assert caught.value.field == "output_name"
    with pytest.raises(BadGraphError, match="no output 'labels'"):
        exported(tmp_path, two_outputs(), SpecFile(("dark", "bright"), outputs=("labels",)))


def two_inputs() -> onnx.ModelProto:
    return graph(
        "(float[N,3,h,w] small, float[N,3,H,W] image) => (float[N,2,h,w] scores)"
        " <float[2,3,2,2] a = {1,0,0,0,1,0,0,1,0,0,1,0,1,1,0,0,1,0,0,1,0,0,1,0}, float[2,3,1,1] b = {1,0,0,0,1,0}>",
        "half = Conv <strides = [2, 2]> (image, a) own = Conv (small, b) scores = Add (half, own)",
    )


def test_further_inputs_are_declared_in_the_spec(tmp_path: Path) -> None:
    with pytest.raises(BadGraphError, match=r"has 2 inputs; say .* \[input_preprocess\.image\].*optical flow"):
        exported(tmp_path, two_inputs())
    described = SpecFile(("dark", "bright"), input_preprocess={"small": Preprocess(ScaleBy(0.5))})
    spec = exported(tmp_path, two_inputs(), described).spec
    assert [tensor.name for tensor in spec.inputs] == ["image", "small"]
    assert spec.preprocess_of("small").resize == ScaleBy(0.5) and spec.preprocess.resize == Native()
    with pytest.raises(BadGraphError, match="no input 'tiny'"):
        exported(tmp_path, two_outputs(), SpecFile(SPEC.labels, input_preprocess={"tiny": Preprocess(Native())}))


def test_a_spec_file_says_outputs_and_inputs_and_options_without_a_kind(tmp_path: Path) -> None:
    from densecast.verbs.export import spec_file

    (tmp_path / "net.toml").write_text(
        'labels = ["a", "b"]\noutputs = ["scores", "mean"]\n[decode]\nalign_corners = true\n'
        "[input_preprocess.small]\nresize = { kind = 'scale_by', factor = 0.5 }\n",
        encoding="utf-8",
    )
    spec = spec_file.read(tmp_path / "net.toml").model("net")
    assert [tensor.name for tensor in spec.outputs] == ["scores", "mean"]
    assert [tensor.name for tensor in spec.inputs] == ["image", "small"]
    assert spec.decode == tiny_artifacts.spec().decode.__class__(align_corners=True)
    (tmp_path / "net.toml").write_text('task = "pose"\nlabels = ["person"]\n', encoding="utf-8")
    with pytest.raises(BadConfigError, match="pose_affine"):
        spec_file.read(tmp_path / "net.toml").model("net")


@dataclass
class Result:
    aux: Any
    logits: Any
    loss: Any = None


def module(kind: str) -> Any:
    import torch

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.aux, self.main = torch.nn.Conv2d(3, 5, 3, padding=1), torch.nn.Conv2d(3, 2, 3, padding=1)

        def forward(self, image: torch.Tensor) -> Any:
            aux, logits = self.aux(image), self.main(image)
            return {
                "dict": {"aux": aux, "out": logits},
                "dataclass": Result(aux, logits),
                "tuple": (aux, logits),
                "nested": {"out": logits, "aux": [aux, aux.mean((2, 3))]},
                "one": [logits],
            }[kind]

    torch.manual_seed(0)
    return Net()


@pytest.mark.torch
@pytest.mark.parametrize(
    ("kind", "outputs"),
    [
        ("dict", ["out", "aux"]),
        ("dataclass", ["logits", "aux"]),
        ("tuple", ["output_1", "output_0"]),
        ("nested", ["out", "aux_0", "aux_1"]),
        ("one", ["logits"]),
    ],
)
def test_a_module_in_memory_is_exported_with_all_it_returns(tmp_path: Path, kind: str, outputs: list[str]) -> None:
    torch = pytest.importorskip("torch")
    from densecast.networks._outputs import module_outputs

    network = module(kind)
    artifact = export(network, str(tmp_path / "float"), labels=["dark", "bright"], example=(40, 56))
    assert network.training
    assert names(artifact) == outputs
    assert artifact.manifest.parity is not None and artifact.manifest.parity.shapes[0] == (1, 3, 40, 56)
    assert "stored as traced" in artifact.manifest.passes[-1]
    answers = onnx_file.graph_runner(artifact.file("model.onnx").read_bytes())({"image": FEED})
    with torch.inference_mode():
        expected = network.eval().main(torch.from_numpy(FEED)).numpy()
    np.testing.assert_allclose(answers[outputs[0]], expected, atol=1e-5)
    script = torch.jit.load(artifact.file("model.pt"))(torch.from_numpy(FEED))
    main = module_outputs(script, outputs)[outputs[0]]
    np.testing.assert_allclose(main.detach().numpy(), expected, atol=1e-5)


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")  # from inside the exporter
def test_the_newer_exporter_keeps_all_outputs_too(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    options = ExportOptions(exporter="dynamo")
    artifact = export(module("dict"), tmp_path / "out", labels=["a", "b"], example=(40, 56), options=options)
    assert names(artifact) == ["out", "aux"]


@pytest.mark.torch
def test_a_module_may_take_further_inputs(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = torch.nn.Conv2d(3, 2, 2, stride=2), torch.nn.Conv2d(3, 2, 1)

        def forward(self, image: Any, small: Any) -> Any:
            return self.first(image) + self.second(small)

    described = SpecFile(("dark", "bright"), input_preprocess={"small": Preprocess(ScaleBy(0.5))})
    artifact = export_module(Net(), described.model("net"), tmp_path / "out", ExportOptions(size_hw=(32, 48)))
    assert [tensor.name for tensor in artifact.spec.inputs] == ["image", "small"]
    assert [value.name for value in onnx.load(artifact.file("model.onnx")).graph.input] == ["image", "small"]


@pytest.mark.slow
@pytest.mark.torch
def test_names_given_to_a_tuple_go_along_when_its_order_changes(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from densecast.networks._outputs import module_outputs

    path = tmp_path / "net.pt"
    torch.jit.trace(module("tuple").eval(), torch.zeros(1, 3, 16, 16)).save(path)
    described = SpecFile(("dark", "bright"), outputs=("aux", "scores")).model("net")
    artifact = export_file(path, described, tmp_path / "out", ExportOptions(output_name="scores"))
    assert names(artifact) == ["scores", "aux"]
    result = module_outputs(torch.jit.load(artifact.file("model.pt"))(torch.from_numpy(FEED)), ["scores", "aux"])
    assert [tensor.shape[1] for tensor in result.values()] == [2, 5]


@pytest.mark.torch
def test_a_module_takes_a_checkpoint_and_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    trained = module("dict")
    torch.save({"state_dict": trained.state_dict()}, tmp_path / "net.pth")
    torch.manual_seed(1)
    fresh = type(trained)()
    described = SPEC.model("net")
    artifact = export_module(fresh, described, tmp_path / "out", checkpoint=tmp_path / "net.pth", example=(32, 48))
    assert artifact.manifest.weights is not None and artifact.manifest.weights.file == "net.pth"
    answers = onnx_file.graph_runner(artifact.file("model.onnx").read_bytes())({"image": FEED})
    with torch.inference_mode():
        np.testing.assert_allclose(answers["out"], trained.eval()(torch.from_numpy(FEED))["out"].numpy(), atol=1e-5)
    with pytest.raises(BadGraphError, match="2 classes apart, but 1 labels"):
        export("unet_tiny", tmp_path / "zoo", labels=["a"])
    with pytest.raises(UsageError, match="beside it"):
        export(trained, tmp_path / "both", spec=SPEC, labels=["a"])
    with pytest.raises(BadConfigError, match="at least two labels"):
        export(trained, tmp_path / "none")


@pytest.mark.torch
def test_a_user_s_network_and_zoo_entry_are_named_by_package_and_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    (tmp_path / "my_networks.py").write_text(MINE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    import importlib

    mine = importlib.import_module("my_networks")
    torch.manual_seed(0)
    weights = mine.NETWORK.build(mine.Options()).state_dict()
    torch.save(weights, tmp_path / "net.pth")
    options = ExportOptions(size_hw=(32, 48), batch=1)
    artifact = export("my_networks:ENTRY", tmp_path / "out", checkpoint=tmp_path / "net.pth", options=options)
    assert names(artifact) == ["scores", "aux"]
    assert artifact.manifest.network is not None and artifact.manifest.network.name == "my_networks:NETWORK"
    assert export_zoo(mine.ENTRY, tmp_path / "out", options, given=tmp_path / "net.pth") == artifact


MINE = """
from dataclasses import dataclass, replace
from torch import nn
from densecast.networks._base import Network
from densecast.verbs.export.spec_file import SpecFile
from densecast.zoo._base import CheckpointSource, ZooEntry

@dataclass(frozen=True)
class Options:
    width: int = 4

class Net(nn.Module):
    def __init__(self, options):
        super().__init__()
        self.stem = nn.Conv2d(3, options.width, 3, padding=1)
        self.head, self.aux = nn.Conv2d(options.width, 2, 1), nn.Conv2d(options.width, 1, 1)

    def forward(self, image):
        x = self.stem(image)
        return {"aux": self.aux(x), "scores": self.head(x)}

NETWORK = Network(Options, Net)

ENTRY = ZooEntry(
    SpecFile(("a", "b"), outputs=("scores",)).model("mine"),
    network="my_networks:NETWORK",
    options={},
    checkpoint=CheckpointSource("net.pth", shipped=True),
    summary="mine",
    licence="mine",
)
"""
