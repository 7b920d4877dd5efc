"""The graph that is shipped for installations without torch is the network of the shipped weights."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import densecast
from densecast.errors import BadGraphError, MissingExtraError
from densecast.spec.verb_options import ExportOptions


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> densecast.Artifact:
    """`unet_tiny` as an installation without torch exports it."""
    without_torch(monkeypatch)
    made = densecast.export("unet_tiny", tmp_path / "float")
    monkeypatch.undo()
    return made


def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "torch" else real(name, *rest))


@pytest.mark.torch
@pytest.mark.parametrize("size_hw", [(64, 96), (51, 77)])
def test_it_gives_what_the_network_gives_in_torch(exported: densecast.Artifact, size_hw: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    from densecast.networks import unet

    network = unet.UNet(unet.Options(base_width=8)).eval()
    weights = Path(densecast.__file__).parent / "zoo" / "weights" / "unet_tiny.safetensors"
    network.load_state_dict(load_file(weights))
    pixels = np.random.default_rng(3).random((2, 3, *size_hw), dtype=np.float32)
    session = onnxruntime.InferenceSession(exported.file("model.onnx"), providers=["CPUExecutionProvider"])
    ours = session.run(None, {"image": pixels})[0]
    with torch.inference_mode():
        wanted = network(torch.from_numpy(pixels)).numpy()
    # Sums in another order, relative to the largest logit.
    assert np.abs(ours - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_it_says_what_it_is_and_takes_own_labels(
    exported: densecast.Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = exported.manifest
    assert manifest.source == "zoo unet_tiny" and manifest.parity is not None and manifest.weights is not None
    assert any("is the one that densecast ships" in note for note in manifest.passes)
    without_torch(monkeypatch)
    again = densecast.export("unet_tiny", tmp_path / "float")
    assert again.manifest.created == manifest.created
    own = densecast.export("unet_tiny", tmp_path / "own", labels=["ground", "van"], options=ExportOptions(name="vans"))
    assert (own.spec.name, own.spec.labels) == ("vans", ("ground", "van")) and own.spec.evaluation is None
    with pytest.raises(BadGraphError, match="3 labels"):
        densecast.export("unet_tiny", tmp_path / "no", labels=3)
    for other in (ExportOptions(size_hw=(64, 96)), replace(ExportOptions(), opset=16)):
        with pytest.raises(MissingExtraError, match=r"another .* than that of the shipped graph"):
            densecast.export("unet_tiny", tmp_path / "no", options=other)


@pytest.mark.slow
@pytest.mark.torch
def test_with_torch_the_network_is_exported_anew_to_the_same_tensors(
    exported: densecast.Artifact, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    anew = densecast.export("unet_tiny", tmp_path / "anew")
    assert anew.spec == exported.spec and anew.manifest.network is not None
