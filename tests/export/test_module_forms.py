"""Modules that end in a softmax, a sigmoid, an argmax or a threshold: decoded as what they give."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from densecast.errors import BadGraphError  # noqa: E402
from densecast.pipeline import Pipeline  # noqa: E402
from densecast.spec.options import BuildOptions  # noqa: E402
from densecast.spec.verb_options import ExportOptions  # noqa: E402
from densecast.tasks.segmentation import SegmentationDecode  # noqa: E402
from densecast.verbs.builder import build  # noqa: E402
from densecast.verbs.export import SpecFile, export_file, export_module, onnx_file  # noqa: E402

# torch announces the end of TorchScript.
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


class Answer(NamedTuple):
    """What training code returns."""

    logits: torch.Tensor  # type: ignore[name-defined]
    loss: torch.Tensor  # type: ignore[name-defined]


FIXED = ExportOptions(size_hw=(40, 56), batch=1)
ENDS: dict[str, tuple[int, str, Any]] = {
    "softmax": (3, "probabilities", lambda x: x.softmax(1)),
    "sigmoid of each": (3, "probabilities", lambda x: x.sigmoid()),
    "argmax": (3, "labels", lambda x: x.argmax(1)),
    "argmax in floats": (3, "labels", lambda x: x.argmax(1, keepdim=True).float()),
    "argmax in a dict": (3, "labels", lambda x: {"classes": x.argmax(1), "mean": x.mean((2, 3))}),
    "one plane": (1, "binary_logits", lambda x: x),
    "sigmoid": (1, "binary_probability", lambda x: x.sigmoid()),
    "written-out sigmoid": (1, "binary_probability", lambda x: 1 / (1 + torch.exp(-x))),
    "threshold": (1, "labels", lambda x: (x.sigmoid() > 0.5).float()),
    "labels of a threshold": (1, "labels", lambda x: (x > 0).long().squeeze(1)),
    "a plane without channels": (1, "binary_probability", lambda x: x.sigmoid()[:, 0]),
    "logits, channels last": (3, "logits", lambda x: x.permute(0, 2, 3, 1)),
    "softmax, channels last": (3, "probabilities", lambda x: x.permute(0, 2, 3, 1).softmax(-1)),
    "sigmoid, channels last": (1, "binary_probability", lambda x: x.sigmoid().permute(0, 2, 3, 1)),
    "a named tuple with a loss": (3, "logits", lambda x: Answer(x, x.mean())),
}


class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self, classes: int, end: Any) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.conv, self.end = torch.nn.Conv2d(3, classes, 3, padding=1), end

    def forward(self, image: Any) -> Any:
        return self.end(self.conv(image))


def image() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (40, 56, 3), np.uint8)


def right(net: Net, classes: int) -> np.ndarray:
    """torch's own logits, decided by hand."""
    with torch.inference_mode():
        logits = net.conv(torch.from_numpy(image()).permute(2, 0, 1)[None] / 255)[0]
    chosen = logits.argmax(0) if classes > 1 else torch.sigmoid(logits[0]) > 0.5
    return np.asarray(chosen.numpy())


@pytest.mark.parametrize("end", list(ENDS))
def test_a_module_is_decoded_as_what_it_gives(end: str, tmp_path: Path) -> None:
    classes, form, function = ENDS[end]
    net = Net(classes, function).eval()
    spec = SpecFile(tuple("abc"[: max(classes, 2)])).model("net")
    artifact = export_module(net, spec, tmp_path / "float", FIXED)
    assert isinstance(artifact.spec.decode, SegmentationDecode) and artifact.spec.decode.form == form
    assert form == "logits" or any(f"form '{form}'" in note for note in artifact.manifest.passes)
    built = build(artifact, tmp_path / "built", BuildOptions(precision="force_float32", backend="onnxruntime"))
    with Pipeline.open(built) as pipeline:
        predicted = pipeline(image()).class_id
    expected = right(net, classes)
    assert 0.01 < (expected == 1).mean() < 0.99
    assert np.mean(predicted != expected) < 1e-3


@pytest.mark.slow
def test_a_script_s_map_is_turned_to_channels_first(tmp_path: Path) -> None:
    net = Net(3, lambda x: x.permute(0, 2, 3, 1)).eval()
    torch.jit.trace(net, torch.zeros(1, 3, 40, 56)).save(tmp_path / "net.pt")
    artifact = export_file(tmp_path / "net.pt", SpecFile(tuple("abc")).model("net"), tmp_path / "float", FIXED)
    built = build(artifact, tmp_path / "built", BuildOptions(precision="force_float32", backend="torch"))
    with Pipeline.open(built) as pipeline:
        np.testing.assert_array_equal(pipeline(image()).class_id, right(net, 3))


def test_several_maps_channels_last_are_refused_with_what_to_do(tmp_path: Path) -> None:
    net = Net(3, lambda x: (x.permute(0, 2, 3, 1), x.permute(0, 2, 3, 1) * 2)).eval()
    with pytest.raises(BadGraphError, match="its channels are the last axis"):
        export_module(net, SpecFile(tuple("abc")).model("net"), tmp_path / "float", FIXED)


def test_of_nested_decoders_planes_the_finest_is_taken(tmp_path: Path) -> None:
    pool = torch.nn.functional.avg_pool2d
    net = Net(1, lambda x: [pool(-x, 4), pool(x, 2) - 1, x]).eval()
    artifact = export_module(net, SpecFile(tuple("ab")).model("net"), tmp_path / "float", FIXED)
    assert [tensor.name for tensor in artifact.spec.outputs] == ["output_2"]


def test_one_answer_for_the_whole_image_is_refused(tmp_path: Path) -> None:
    net = Net(3, lambda x: x.mean((2, 3), keepdim=True)).eval()
    with pytest.raises(BadGraphError, match="one answer for the whole image, as of a classifier"):
        export_module(net, SpecFile(tuple("abc")).model("net"), tmp_path / "float")


def test_a_plane_of_amounts_is_remarked(tmp_path: Path) -> None:
    said = []
    for name, end in (("amounts", lambda x: 9 * torch.relu(x)), ("logits", lambda x: 9 * x)):
        artifact = export_module(Net(1, end).eval(), SpecFile(tuple("ab")).model("net"), tmp_path / name, FIXED)
        said.append("is never below 0, as counts" in " ".join(artifact.manifest.passes))
    assert said == [True, False]


@pytest.mark.slow
def test_a_network_that_brings_its_image_to_a_size_of_its_own_is_fed_whole_images(tmp_path: Path) -> None:
    own = Net(3, None)
    shrunk = torch.nn.functional.interpolate
    net = Net(3, lambda x: own.conv(shrunk(x, (24, 32), mode="bilinear"))).eval()
    artifact = export_module(net, SpecFile(tuple("abc")).model("net"), tmp_path / "float", example=(64, 64))
    assert artifact.spec.preprocess.pad_multiple == 1
    built = build(artifact, tmp_path / "built", BuildOptions(precision="force_float32", backend="onnxruntime"))
    with Pipeline.open(built) as pipeline, torch.inference_mode():
        logits = net(torch.from_numpy(image()).permute(2, 0, 1)[None] / 255)
        expected = shrunk(logits, (40, 56), mode="bilinear").argmax(1)[0].numpy()
        assert np.mean(pipeline(image()).class_id != expected) < 2e-3


class Turned(Net):
    """Takes its image channels last, in weights of 16 bits."""

    def forward(self, image: Any) -> Any:
        return self.conv(image.permute(0, 3, 1, 2))


class Scripted(torch.nn.Module):  # type: ignore[misc, name-defined]
    """What `torch.jit.script` makes a named tuple of."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, image: torch.Tensor) -> Answer:
        scores = self.conv(image)
        return Answer(scores, scores.mean())


@pytest.mark.parametrize("is_script", [False, True])
def test_half_weights_and_channels_last_are_brought_to_float32_and_channels_first(
    is_script: bool, tmp_path: Path
) -> None:
    net = Turned(3, None).half().eval()
    spec = SpecFile(tuple("abc")).model("net")
    if is_script:
        torch.jit.trace(net, torch.zeros(1, 40, 56, 3).half()).save(tmp_path / "net.pt")
        artifact = export_file(tmp_path / "net.pt", spec, tmp_path / "float", FIXED)
    else:
        artifact = export_module(net, spec, tmp_path / "float", FIXED)
        assert net.conv.weight.dtype == torch.float16
    said = " ".join(artifact.manifest.passes)
    assert "float16 became float32" in said and "channels last" in said
    built = build(artifact, tmp_path / "built", BuildOptions(precision="force_float32", backend="torch"))
    with Pipeline.open(built) as pipeline:
        np.testing.assert_array_equal(pipeline(image()).class_id, right(net.float(), 3))


def test_a_scripted_named_tuple_gives_its_map(tmp_path: Path) -> None:
    net = Scripted().eval()
    torch.jit.script(net).save(tmp_path / "net.pt")
    artifact = export_file(tmp_path / "net.pt", SpecFile(tuple("abc")).model("net"), tmp_path / "float", FIXED)
    assert [tensor.name for tensor in artifact.spec.outputs] == ["logits"]


class Enlarging(torch.nn.Module):  # type: ignore[misc, name-defined]
    """Enlarges its scores to the image's size, as decoders do."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.conv = torch.nn.Conv2d(3, 3, 3, stride=2, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        scores = self.conv(image)
        return torch.nn.functional.interpolate(scores, size=image.shape[-2:], mode="bilinear", align_corners=False)


class AsDict(Enlarging):
    """Fills a dict in a loop."""

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = {}
        for name in ("out", "aux"):
            found[name] = self.conv(image)
        return found


def test_a_script_that_enlarges_its_scores_to_the_image_keeps_its_sizes_open(tmp_path: Path) -> None:
    net = Enlarging().eval()
    torch.jit.script(net).save(tmp_path / "net.pt")
    artifact = export_file(tmp_path / "net.pt", SpecFile(tuple("abc")).model("net"), tmp_path / "float")
    graph = onnx_file.graph_runner(artifact.file("model.onnx").read_bytes())
    for size_hw in ((40, 56), (73, 91)):
        feed = np.random.default_rng(1).uniform(0, 1, (1, 3, *size_hw)).astype(np.float32)
        with torch.inference_mode():
            wanted = net(torch.from_numpy(feed)).numpy()
        found = graph({artifact.spec.input.name: feed})[artifact.spec.output.name]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


def test_a_script_that_the_exporter_does_not_know_is_refused_with_what_to_do(tmp_path: Path) -> None:
    torch.jit.script(AsDict().eval()).save(tmp_path / "net.pt")
    with pytest.raises(BadGraphError, match=r"It is a script.*torch\.jit\.trace"):
        export_file(tmp_path / "net.pt", SpecFile(tuple("abc")).model("net"), tmp_path / "float", FIXED)


def test_a_network_of_two_tensors_is_refused_by_their_names(tmp_path: Path) -> None:
    class Two(Net):
        def forward(self, image: Any, depth: Any) -> Any:
            return self.conv(image + depth)

    with pytest.raises(BadGraphError, match="takes image, depth"):
        export_module(Two(3, None), SpecFile(tuple("abc")).model("net"), tmp_path / "float", FIXED)


@pytest.mark.parametrize("end", ["argmax", "sigmoid"])
def test_so_is_a_torchscript_file(end: str, tmp_path: Path) -> None:
    classes, form, function = ENDS[end]
    torch.jit.trace(Net(classes, function).eval(), torch.zeros(1, 3, 40, 56)).save(tmp_path / "net.pt")
    spec = SpecFile(tuple("abc"[: max(classes, 2)])).model("net")
    artifact = export_file(tmp_path / "net.pt", spec, tmp_path / "float", FIXED)
    assert isinstance(artifact.spec.decode, SegmentationDecode) and artifact.spec.decode.form == form


def test_a_form_that_is_declared_for_a_module_is_kept(tmp_path: Path) -> None:
    said = SegmentationDecode(form="binary_logits", threshold=0.25)
    spec = SpecFile(("a", "b"), decode=said).model("net")
    assert export_module(Net(1, lambda x: x.sigmoid()), spec, tmp_path / "float", FIXED).spec.decode == said
