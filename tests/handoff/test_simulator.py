"""The simulator's labels are the specified ones, and it runs only graphs of the output form that the handoff says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import tiny_artifacts
import tiny_graphs

from densecast.errors import BadArtifactError
from densecast.spec.handoff_options import OutputForm
from densecast.spec.model import ModelSpec
from densecast.tasks.segmentation import SegmentationDecode
from densecast.verbs.handoff import simulator
from densecast.verbs.handoff.device_graph import device_graph


def spec_at(size_hw: tuple[int, int], *, align_corners: bool) -> ModelSpec:
    spec = tiny_artifacts.spec()
    return replace(
        spec.with_input(replace(spec.input, shape=(2, 3, *size_hw))),
        decode=SegmentationDecode(align_corners=align_corners, to_image="nearest_labels"),
    )


def graph_at(folder: Path, spec: ModelSpec, form: OutputForm) -> Path:
    model, _ = device_graph(tiny_graphs.segmentation(), spec, form)
    onnx.save(model, folder / f"{form}.onnx")
    return folder / f"{form}.onnx"


@pytest.mark.torch
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("form", ["int32", "int64"])
def test_labels_equal_torch_in_every_pixel(form: OutputForm, align_corners: bool, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    spec = spec_at((96, 120), align_corners=align_corners)
    batch = np.random.default_rng(0).normal(size=(2, 3, 96, 120)).astype(np.float32)
    logits = simulator.load(graph_at(tmp_path, spec, "logits"), "logits").run(batch)
    resized = torch.nn.functional.interpolate(
        torch.from_numpy(logits), (96, 120), mode="bilinear", align_corners=align_corners
    )
    labels = simulator.load(graph_at(tmp_path, spec, form), form).run(batch)
    assert labels.dtype == form and labels.shape == (2, 1, 96, 120)
    assert (labels == resized.argmax(1, keepdim=True).numpy()).all() and len(np.unique(labels)) > 1


def test_a_graph_of_another_output_form_is_refused(tmp_path: Path) -> None:
    spec = spec_at((48, 48), align_corners=False)
    with pytest.raises(BadArtifactError, match="does not end in the labels"):
        simulator.load(graph_at(tmp_path, spec, "logits"), "int32")
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    for path in (tmp_path / "broken.onnx", tmp_path / "missing.onnx"):
        with pytest.raises(BadArtifactError, match=r"\.onnx cannot be loaded"):
            simulator.load(path, "logits")
