"""Weights that a network holds under two names are stored under both."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from densecast.verbs.export import torch_module  # noqa: E402

pytestmark = pytest.mark.torch


def test_weights_under_two_names_are_stored_under_both(tmp_path: Path) -> None:
    from types import SimpleNamespace

    from safetensors.torch import load_file
    from torch import nn

    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(2, 3, 1)
            self.second = self.first

    network = Shared()
    keep = torch_module.keep_weights(network, "shared")
    keep(tmp_path, SimpleNamespace(places=None))  # type: ignore[arg-type]
    stored = load_file(tmp_path / "weights.safetensors")
    assert set(stored) == set(network.state_dict())
    assert torch.equal(stored["second.weight"], network.first.weight)
