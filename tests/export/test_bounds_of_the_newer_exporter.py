"""torch's newer exporter is told which sizes a network takes: it looks at the network's code for all of them."""

from __future__ import annotations

from typing import Any

import pytest

from densecast.errors import BadGraphError
from densecast.spec.tensor import Dim, TensorSpec
from densecast.verbs.export.to_onnx import to_onnx

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch
BATCH, HEIGHT, WIDTH = Dim("n", 1, 8), Dim("h", 1, 512), Dim("w", 32, 640, 32)


@pytest.mark.parametrize(
    ("shape", "bounds", "example"),
    [
        # A size of 1 is one that the exporter takes for fixed.
        ((BATCH, 3, HEIGHT, WIDTH), {0: ("n", 2, 8), 2: ("h", 2, 512), 3: ("w", 32, 640)}, (2, 3, 64, 96)),
        ((1, 3, Dim("s", 16, 64), Dim("s", 16, 64)), {2: ("s", 16, 64), 3: ("s", 16, 64)}, (1, 3, 64, 96)),
        ((1, 3, 64, 96), None, (1, 3, 64, 96)),
    ],
)
def test_sizes_have_their_bounds(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int | Dim, ...], bounds: Any, example: tuple[int, ...]
) -> None:
    seen: dict[str, Any] = {}

    def export(network: Any, examples: Any, **options: Any) -> None:
        seen.update(options, examples=examples)
        raise RuntimeError("seen enough")

    monkeypatch.setattr(torch.onnx, "export", export)
    image = TensorSpec("image", "float32", shape)
    with pytest.raises(BadGraphError, match="dynamo: RuntimeError: seen enough"):
        to_onnx(torch.nn.Identity(), [image], {"logits": {}, "aux": {}}, [(64, 96)], opset=17, exporter="dynamo")
    assert (seen["input_names"], seen["output_names"], seen["opset_version"]) == (["image"], ["logits", "aux"], 18)
    assert [tuple(each.shape) for each in seen["examples"]] == [example]
    if bounds is None:
        assert seen["dynamic_shapes"] is None
        return
    (found,) = seen["dynamic_shapes"]
    assert {axis: (size.__name__, size.min, size.max) for axis, size in found.items()} == bounds
    # Sizes of one name are one size.
    assert len(set(map(id, found.values()))) == len({name for name, _, _ in bounds.values()})
