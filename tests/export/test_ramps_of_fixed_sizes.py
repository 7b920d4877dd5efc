"""Networks that look up places on a ramp of pixels are exported for one size, too: torch writes float64 there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

torch = pytest.importorskip("torch")

from densecast.spec.verb_options import ExportOptions  # noqa: E402
from densecast.verbs.export import export, onnx_file, parity  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]


class Mirrored(torch.nn.Module):  # type: ignore[misc, name-defined]
    """Class scores of the image's mirror, which is sampled at the centres of its pixels."""

    def forward(self, image: Any) -> Any:
        height, width = image.shape[2:]
        down, across = (torch.linspace(0.5, side - 0.5, side, dtype=image.dtype) for side in (height, width))
        rows, columns = torch.meshgrid(down / height * 2 - 1, 1 - across / width * 2, indexing="ij")
        places = torch.stack((columns, rows), -1)[None].expand(image.shape[0], -1, -1, -1)
        return torch.nn.functional.grid_sample(image, places, align_corners=False)


@pytest.mark.parametrize("size_hw", [(24, 40), None])
def test_the_graph_is_the_network_in_float32(tmp_path: Path, size_hw: tuple[int, int] | None) -> None:
    options = ExportOptions(size_hw=size_hw, batch=1 if size_hw else None)
    artifact = export(Mirrored(), tmp_path / "out", labels=3, example=None if size_hw else (24, 40), options=options)
    data = artifact.file("model.onnx").read_bytes()
    feed = parity.image_like((1, 3, 24, 40), 1)
    found = onnx_file.graph_runner(data)({artifact.spec.input.name: feed})[artifact.spec.output.name]
    np.testing.assert_allclose(found, feed[..., ::-1], atol=1e-5 * float(np.abs(feed).max()))
    graph = onnx.shape_inference.infer_shapes(onnx.load_from_string(data)).graph
    assert TensorProto.DOUBLE not in {value.type.tensor_type.elem_type for value in graph.value_info}
    said = any("float64" in note for note in artifact.manifest.passes)
    assert said == (size_hw is not None)
