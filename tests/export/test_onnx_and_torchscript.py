"""Ready graphs and TorchScript become artifacts that say what they take, and run like their source."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
import tiny_artifacts
import tiny_graphs

from densecast.artifact import Artifact
from densecast.errors import BadCheckpointError, BadConfigError, BadGraphError, MissingFileError
from densecast.spec.tensor import Dim
from densecast.spec.verb_options import ExportOptions
from densecast.verbs.export import export_file, onnx_file, parity, spec_file


def exported(folder: Path, model: onnx.ModelProto) -> Artifact:
    return tiny_artifacts.exported(folder, model)


def test_a_ready_graph_keeps_its_open_sizes_within_the_spec(tmp_path: Path) -> None:
    artifact = exported(tmp_path, tiny_graphs.segmentation())
    assert artifact.spec.input.shape == (Dim("N", 1, 8), 3, Dim("H", 8, 512), Dim("W", 8, 512))
    assert artifact.spec.output.shape[1] == 2
    assert artifact.manifest.kind == "float" and artifact.manifest.parity is None
    assert Artifact.open(artifact.folder) == artifact
    assert set(artifact.manifest.files) == {"model.onnx"}


def test_a_ready_graph_keeps_its_fixed_sizes_and_names(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(
        """
        <ir_version: 8, opset_import: ["" : 17]>
        other (float[2, 3, 40, W] pixels) => (float[2, 2, 40, W] scores)
        <float[2, 3, 1, 1] w = {1, 2, 3, 4, 5, 6}> { scores = Conv (pixels, w) }
        """
    )
    spec = exported(tmp_path, model).spec
    assert (spec.input.name, spec.output.name) == ("pixels", "scores")
    assert spec.input.shape == (2, 3, 40, Dim("W", 8, 512))
    assert spec.output.shape[:3] == (2, 2, 40)


def graph(signature: str, body: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> g {signature} {{ {body} }}')


BAD_GRAPHS = {
    "two inputs": graph("(float[N,3,H,W] a, float[N,3,H,W] b) => (float[N,3,H,W] c)", "c = Add (a, b)"),
    "three dimensions": graph("(float[3,H,W] a) => (float[3,H,W] c)", "c = Relu (a)"),
    "four channels": graph("(float[N,4,H,W] a) => (float[N,4,H,W] c)", "c = Relu (a)"),
    "doubles": graph("(double[N,3,H,W] a) => (double[N,3,H,W] c)", "c = Relu (a)"),
    "no map": graph("(float[N,3,H,W] a) => (float c)", "c = ReduceMean <keepdims = 0> (a)"),
    "cannot run": graph(
        "(float[N,3,H,W] a) => (float[N,2,H,W] c)",
        "s = Constant <value = int64[4] {1, 2, 3, 5}> () c = Reshape (a, s)",
    ),
    "three classes": graph("(float[N,3,H,W] a) => (float[N,3,H,W] c)", "c = Relu (a)"),
}


@pytest.mark.parametrize("name", BAD_GRAPHS)
def test_graphs_that_are_no_segmentation_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadGraphError):
        exported(tmp_path, BAD_GRAPHS[name])
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.onnx"]


def test_a_graph_without_operators_is_refused() -> None:
    with pytest.raises(BadGraphError, match="no operators"):
        onnx_file.check(onnx.ModelProto(), "it")


def out_of_order(model: onnx.ModelProto) -> None:
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))


def without_shape(model: onnx.ModelProto) -> None:
    model.graph.output[0].type.tensor_type.ClearField("shape")


def branches_out_of_order(model: onnx.ModelProto) -> None:
    body = "yes = Constant <value = bool {1}> () twice = If (yes) <then_branch = a () => (float[N,2,H,W] p)"
    body += " { p = Neg (n) n = Neg (logits) }, else_branch = b () => (float[N,2,H,W] q) { q = Abs (logits) }>"
    model.graph.node.extend(graph("(float[N,2,H,W] logits) => (float[N,2,H,W] twice)", body).graph.node)
    model.graph.output[0].name = "twice"


@pytest.mark.parametrize("change", [out_of_order, without_shape, branches_out_of_order])
def test_what_engines_do_without_is_not_asked_of_a_file(change: Callable[..., None], tmp_path: Path) -> None:
    """Nodes in order and shapes of outputs: converters to float16 and tools that cut graphs write neither."""
    model = tiny_graphs.segmentation()
    change(model)
    with pytest.raises(onnx.checker.ValidationError):
        onnx.checker.check_model(model)
    artifact = exported(tmp_path, model)
    run = onnx_file.runner(artifact.file("model.onnx").read_bytes(), "image")
    wanted = onnx_file.runner(tiny_graphs.segmentation().SerializeToString(), "image")
    feed = parity.image_like((1, 3, 16, 24), 0)
    np.testing.assert_array_equal(run(feed), wanted(feed))


def with_weights_beside(folder: Path, location: str) -> Path:
    """The tiny graph with its first weights in another file."""
    model = tiny_graphs.segmentation()
    tensor = model.graph.initializer[0]
    data = np.array(tensor.float_data, np.float32).tobytes() or tensor.raw_data
    tensor.ClearField("float_data")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(len(data)))):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    (folder / "weights.bin").write_bytes(data)
    path = folder / "graphs" / "tiny.onnx"
    path.parent.mkdir()
    path.write_bytes(model.SerializeToString())
    return path


def test_weights_beside_the_graph_are_taken_in(tmp_path: Path) -> None:
    path = with_weights_beside(tmp_path, "weights.bin")
    (tmp_path / "weights.bin").rename(path.parent / "weights.bin")
    artifact = export_file(path, tiny_artifacts.spec(), tmp_path / "out")
    assert set(artifact.manifest.files) == {"model.onnx"}
    feed = parity.image_like((1, 3, 16, 24), 0)
    run = onnx_file.runner(artifact.file("model.onnx").read_bytes(), "image")
    wanted = onnx_file.runner(tiny_graphs.segmentation().SerializeToString(), "image")
    np.testing.assert_array_equal(run(feed), wanted(feed))


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/hostname", "absent.bin"])
def test_weights_outside_the_graphs_folder_are_never_read(tmp_path: Path, location: str) -> None:
    with pytest.raises(BadGraphError, match="not a readable ONNX file"):
        export_file(with_weights_beside(tmp_path, location), tiny_artifacts.spec(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_files_and_missing_ones_are_refused(tmp_path: Path) -> None:
    (tmp_path / "net.h5").write_bytes(b"")
    with pytest.raises(BadConfigError, match=r"\.onnx, TorchScript"):
        export_file(tmp_path / "net.h5", tiny_artifacts.spec(), tmp_path / "out")
    with pytest.raises(MissingFileError, match=r"absent\.onnx"):
        export_file(tmp_path / "absent.onnx", tiny_artifacts.spec(), tmp_path / "out")


@pytest.mark.torch
def test_torchscript_keeps_its_module_and_equals_it(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    import tiny_torch

    path = tiny_torch.write_script(tmp_path / "tiny.pt")
    artifact = export_file(path, tiny_artifacts.spec(), tmp_path / "out")
    assert artifact.file("model.pt").read_bytes() == path.read_bytes()
    assert artifact.manifest.parity is not None
    assert artifact.manifest.parity.relative_error <= artifact.manifest.parity.tolerance
    assert len(artifact.manifest.parity.shapes) == 2
    assert artifact.spec.input.shape == tiny_artifacts.spec().input.shape
    static = export_file(path, tiny_artifacts.spec(), tmp_path / "static", ExportOptions(size_hw=(24, 40), batch=2))
    assert static.spec.input.shape == (2, 3, 24, 40) and static.spec.output.shape == (2, 2, 24, 40)
    assert static.manifest.parity is not None and static.manifest.parity.shapes == ((2, 3, 24, 40),)


@pytest.mark.torch
@pytest.mark.parametrize("content", ["state dict", "text", "empty"])
def test_what_is_no_torchscript_is_refused(tmp_path: Path, content: str) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "net.pt"
    if content == "state dict":
        torch.save({"a": torch.zeros(2)}, path)
    else:
        path.write_bytes(b"text" if content == "text" else b"")
    words = "holds 1 tensors, no network.*--module" if content == "state dict" else "no network that export can read"
    with pytest.raises(BadCheckpointError, match=words) as caught:
        export_file(path, tiny_artifacts.spec(), tmp_path / "out")
    assert "corrupt" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize("exporter", ["auto", pytest.param("dynamo", marks=pytest.mark.slow)])
def test_zoo_model_exports_with_open_and_with_fixed_sizes(tmp_path: Path, exporter: str) -> None:
    pytest.importorskip("torch")
    import tiny_torch

    from densecast.verbs.export import export_zoo

    path = tiny_torch.write_checkpoint(tmp_path / "weights.pth")
    artifact = export_zoo("unet_tiny", tmp_path / "open", ExportOptions(exporter=exporter), given=path)  # type: ignore[arg-type]
    batch, channels, height, width = artifact.spec.input.shape
    assert isinstance(batch, Dim) and isinstance(height, Dim) and isinstance(width, Dim) and channels == 3
    assert artifact.spec.output.shape[1] == 2
    run = onnx_file.runner(artifact.file("model.onnx").read_bytes(), artifact.spec.input.name)
    assert run(parity.image_like((3, 3, 33, 50), 1)).shape == (3, 2, 33, 50)
    assert artifact.manifest.weights is not None and artifact.manifest.weights.file == "weights.pth"


@pytest.mark.parametrize("text", ["nativ", "scale", "scale:0", "scale:-1", "stretch:512", "keep:axb", "native:2", ""])
def test_resizes_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(BadConfigError, match="must be native, scale:FACTOR"):
        spec_file.parse_resize(text)


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"size_hw": (0, 4)}, {"tolerance": -1.0}, {"tolerance": float("nan")}])
def test_options_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    from densecast.errors import UsageError

    with pytest.raises(UsageError):
        dataclasses.replace(ExportOptions(), **wrong)  # type: ignore[arg-type]
