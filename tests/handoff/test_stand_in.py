"""The stand-in's labels are the specified ones, and it runs only graphs that end as the handoff says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import tiny_artifacts
import tiny_graphs

from densecast.errors import BadArtifactError
from densecast.spec.model import ModelSpec, SegmentationDecode
from densecast.verbs.handoff import stand_in_network
from densecast.verbs.handoff.device_graph import device_graph
from densecast.verbs.handoff.label_ending import Ending


def spec_at(size_hw: tuple[int, int], *, align_corners: bool) -> ModelSpec:
    spec = tiny_artifacts.spec()
    return replace(
        spec,
        input=replace(spec.input, shape=(2, 3, *size_hw)),
        decode=SegmentationDecode(align_corners=align_corners, to_image="nearest_labels"),
    )


def graph_at(folder: Path, spec: ModelSpec, ending: Ending) -> Path:
    model, _ = device_graph(tiny_graphs.segmentation(), spec, ending)
    onnx.save(model, folder / f"{ending}.onnx")
    return folder / f"{ending}.onnx"


@pytest.mark.torch
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("ending", ["int32", "int64"])
def test_labels_equal_torch_in_every_pixel(ending: Ending, align_corners: bool, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    spec = spec_at((96, 120), align_corners=align_corners)
    batch = np.random.default_rng(0).normal(size=(2, 3, 96, 120)).astype(np.float32)
    logits = stand_in_network.load(graph_at(tmp_path, spec, "logits"), "logits").run(batch)
    resized = torch.nn.functional.interpolate(
        torch.from_numpy(logits), (96, 120), mode="bilinear", align_corners=align_corners
    )
    found = stand_in_network.load(graph_at(tmp_path, spec, ending), ending).run(batch)
    assert found.dtype == ending and found.shape == (2, 1, 96, 120)
    assert (found == resized.argmax(1, keepdim=True).numpy()).all() and len(np.unique(found)) > 1


def test_a_graph_that_ends_otherwise_is_refused(tmp_path: Path) -> None:
    spec = spec_at((48, 48), align_corners=False)
    with pytest.raises(BadArtifactError, match="does not end in the labels"):
        stand_in_network.load(graph_at(tmp_path, spec, "logits"), "int32")
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    for path in (tmp_path / "broken.onnx", tmp_path / "missing.onnx"):
        with pytest.raises(BadArtifactError, match=r"\.onnx cannot be loaded"):
            stand_in_network.load(path, "logits")
