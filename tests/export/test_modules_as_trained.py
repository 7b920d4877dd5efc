"""Modules as training leaves them: with history, locks, lazy layers, work in place, functions of one's own."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
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
    def __init__(self, before: Any = lambda x: x) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv, self.before = torch.nn.Conv2d(3, 2, 3, padding=1), before

    def forward(self, image: Any) -> Any:
        return self.conv(self.before(image))


def predicted(net: Any, image: np.ndarray, folder: Path, backend: str) -> np.ndarray:
    source = export(net, folder / "float", labels=["a", "b"], options=SMALL)
    built = build(source, folder / backend, BuildOptions(precision="force_float32", backend=backend))
    with Pipeline.open(built) as pipeline:
        first = pipeline(image).class_id.copy()
        np.testing.assert_array_equal(pipeline(image).class_id, first)
    return first


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)


def pixels() -> Any:
    return torch.from_numpy(picture()).permute(2, 0, 1)[None] / 255


@pytest.mark.parametrize("backend", ["onnxruntime", "torch"])
def test_a_network_that_normalises_its_image_in_place(backend: str, tmp_path: Path) -> None:
    mean = torch.tensor([0.3, 0.5, 0.7]).view(1, 3, 1, 1)
    net = Net(lambda x: x.sub_(mean).div_(0.25)).eval()
    with torch.inference_mode():
        expected = net.conv((pixels() - mean) / 0.25)[0].argmax(0).numpy()
    assert 0.01 < expected.mean() < 0.99
    assert np.mean(predicted(net, picture(), tmp_path, backend) != expected) < 1e-3


def test_tensors_of_a_training_step_are_no_part_of_the_network(tmp_path: Path) -> None:
    net = Net()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch has a newer form of it
        torch.nn.utils.weight_norm(net.conv)
    net.attention = [net(pixels())]
    with torch.inference_mode():
        expected = net.eval()(pixels())[0].argmax(0).numpy()
    assert np.mean(predicted(net, picture(), tmp_path, "onnxruntime") != expected) < 1e-3
    assert net.attention[0].grad_fn is not None


class Doubled(torch.autograd.Function):  # type: ignore[misc, name-defined]
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x.clamp(min=0.4) * 2

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        return gradient


def test_a_network_with_a_function_of_its_own_is_exported_without_the_original(tmp_path: Path) -> None:
    net = Net(Doubled.apply).eval()
    with torch.inference_mode():
        expected = net.conv(pixels().clamp(min=0.4) * 2)[0].argmax(0).numpy()
    assert np.mean(predicted(net, picture(), tmp_path, "onnxruntime") != expected) < 1e-3


class ByName(Net):
    def forward(self, *, pixel_values: Any, mask: Any = None) -> Any:
        return self.conv(pixel_values)


def unfilled() -> Any:
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.LazyConv2d(2, 1))


def locked() -> Net:
    net = Net()
    net.lock = threading.Lock()
    return net


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (unfilled, r"no image was ever given to.* \(1\)"),
        (locked, "cannot be copied.*lock"),
        (ByName, "takes pixel_values by name alone"),
    ],
)
def test_what_cannot_be_exported_is_told_in_words(make: Any, told: str, tmp_path: Path) -> None:
    with pytest.raises(BadGraphError, match=told):
        export(make(), tmp_path / "out", labels=["a", "b"], options=SMALL)
    assert not (tmp_path / "out").exists()


def test_text_with_a_tilde_says_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    export(Net().eval(), "~/float", labels=["a", "b"], options=SMALL)
    assert [each.name for each in tmp_path.iterdir()] == ["home"] and (tmp_path / "home/float/model.onnx").is_file()
