"""The program for GPU machines runs on a CPU as a stand-in: its labels are those of the network in float32 there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.torch


@pytest.mark.slow
def test_every_variant_that_a_cpu_has_gives_the_labels_of_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    import gpu

    monkeypatch.setitem(gpu.SIZES, "unet_tiny", ((96, 112), (64, 80)))
    monkeypatch.setattr(gpu, "LEAST_RUNS", 1)
    found = gpu.run(["unet_tiny"], torch.device("cpu"), 0.0, 60.0, compiled=False)["unet_tiny"]
    assert found["eager float32"]["labels_as_cpu"] == 1.0
    assert found["channels last float32"]["labels_as_cpu"] > 0.9999
    assert found["channels last bfloat16"]["labels_as_cpu"] > 0.95
    assert found["CUDA graph float16"] == {"left_out": "no CUDA"}
    assert set(found["eager float32"]["stages_ms"]) == set(gpu.STAGES)
    del sys.modules["gpu"]


def test_weights_are_read_without_the_package_that_wrote_them(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    import gpu

    path = Path(gpu.weights.__path__[0]) / "fcn_tiny.safetensors"
    own, theirs = gpu.read_safetensors(path), safetensors.load_file(path)
    assert set(own) == set(theirs) and all(torch.equal(own[name], theirs[name]) for name in own)
    del sys.modules["gpu"]
