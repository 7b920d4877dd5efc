"""The eight published networks have the original packages' state-dict keys, shapes and types."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from published_networks import PUBLISHED

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "openmmlab_keys.json").read_text())


def test_golden_names_all_eight():
    assert sorted(GOLDEN) == sorted(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_keys_shapes_and_types_equal_the_original(name):
    with torch.device("meta"):
        network = PUBLISHED[name].build()
    state = network.state_dict()
    entries = sorted(
        f"{key} {tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}" for key, tensor in state.items()
    )
    assert len(entries) == GOLDEN[name]["keys"]
    assert sum(parameter.numel() for parameter in network.parameters()) == GOLDEN[name]["parameters"]
    assert hashlib.sha256("\n".join(entries).encode()).hexdigest() == GOLDEN[name]["sha256"]
