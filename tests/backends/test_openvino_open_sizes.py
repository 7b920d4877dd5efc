"""A network that pads its image to whole windows itself does so at every open size, in every engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
import tiny_artifacts

from densecast.artifact import CompiledArtifact
from densecast.runtime import execution
from densecast.session import Session
from densecast.spec.options import BuildOptions
from densecast.spec.tensor import Dim
from densecast.verbs.builder import build

# What is padded counts in the mean that is taken off. At 32 and 512, the bounds, it is nothing.
PADS_ITSELF = """
<ir_version: 8, opset_import: ["" : 17]>
windows (float[N, 3, H, W] image) => (float[N, 2, H, W] logits)
<float[2, 3, 1, 1] w = {1, -2, 3, -1, 2, 1}, int64 two = {2}, int64 three = {3}, int64[1] axis = {0},
 int64 side = {SIDE}, int64[6] none = {0, 0, 0, 0, 0, 0}>
{
    sizes = Shape (image)
    h = Gather (sizes, two)
    w_ = Gather (sizes, three)
    minus_h = Neg (h)
    minus_w = Neg (w_)
    below = Mod (minus_h, side)
    right = Mod (minus_w, side)
    below_1 = Unsqueeze (below, axis)
    right_1 = Unsqueeze (right, axis)
    pads = Concat <axis = 0> (none, below_1, right_1)
    whole = Pad (image, pads)
    mean = GlobalAveragePool (whole)
    rest = Sub (image, mean)
    logits = Conv (rest, w)
}
"""


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("side", [2, 8])
def test_padding_to_whole_windows_is_kept_at_sizes_between_the_bounds(backend: str, side: int, tmp_path: Path) -> None:
    model = onnx.parser.parse_model(PADS_ITSELF.replace("SIDE", str(side)))
    artifact = tiny_artifacts.exported(tmp_path, model)
    bounds = [
        bound for size in artifact.spec.input.shape[2:] if isinstance(size, Dim) for bound in (size.min, size.max)
    ]
    assert len(bounds) == 4 and not any(bound % side for bound in bounds)
    built = build(artifact, tmp_path / "built", BuildOptions(backend=backend))
    reference = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    with Session.open(CompiledArtifact.open(built.folder), execution.configure("latency")) as session:
        for size_hw in ((33, 47), (64, 64)):
            feed = np.random.default_rng(0).uniform(0, 1, (1, 3, *size_hw)).astype(np.float32)
            given = session.forward({"image": feed})["logits"].copy()
            np.testing.assert_allclose(given, reference.run(None, {"image": feed})[0], rtol=0, atol=1e-4)
