"""Planted faults are named by their layer or stage, and sound copies are not suspected."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

import planted_faults
from densecast.runtime import execution
from densecast.spec.model import ModelSpec
from densecast.spec.options import BuildOptions, InputShape
from densecast.verbs.builder.compile_plan import prepare
from densecast.verbs.compare import ChainStage, localise, localise_all, open_stage
from densecast.verbs.compare.stage import graph_stage

pytestmark = pytest.mark.torch
pytest.importorskip("torch")

# The whole set is benchmarks/planted_faults.py; these are quick, and each asks for another part of the search.
QUICK = (
    "wrong epsilon",
    "bias lost",
    "border repeated for zeros",
    "activation left out",
    "concat order swapped",
    "half-pixel shift",
    "overflow in float16",
    "BGR for RGB",
    "mean and deviation off",
    "another resampling of images",
    "align_corners flipped",
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> planted_faults.Sound:
    from densecast.spec.verb_options import ExportOptions
    from densecast.verbs.export import export_zoo

    folder = tmp_path_factory.mktemp("sound")
    artifact = export_zoo("unet_tiny", folder / "float", ExportOptions(largest_batch=1))
    plan = prepare(artifact, folder / "none", BuildOptions("onnxruntime", shape=InputShape((1,), 48, 64)))
    plan.write_graph(folder / "graph.onnx")
    graph = onnx.load(folder / "graph.onnx")
    return planted_faults.Sound(artifact, graph, graph, plan.spec)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Becomes 48x64 for the network, which sees something of either class in its blocks."""
    rng = np.random.default_rng(4)
    blocks = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    path = tmp_path_factory.mktemp("photo") / "blocks.png"
    Image.fromarray(blocks).save(path)
    return path


def stage(graph: onnx.ModelProto, spec: ModelSpec) -> ChainStage:
    return graph_stage("candidate", Path("candidate.onnx"), spec, graph, execution.configure(threads=1))


@pytest.mark.parametrize("kind", QUICK)
def test_a_planted_fault_is_named(sound: planted_faults.Sound, photo: Path, kind: str) -> None:
    planted = planted_faults.plant(kind, sound, np.random.default_rng(1))
    reference = open_stage(sound.artifact.folder, None, 1)
    if planted.reference is not None:
        reference = stage(planted.reference, sound.spec)
    location = localise(reference, stage(planted.graph, planted.spec), [photo]).location
    assert location is not None
    assert (location.stage, location.layer) == (planted.stage, planted.layer)
    assert not planted.node or location.node == planted.node


def test_the_original_network_is_a_reference_too(sound: planted_faults.Sound, photo: Path) -> None:
    reference = open_stage(sound.artifact.folder, None, 1, framework=True)
    assert reference.kind == "framework"
    right = localise(reference, stage(sound.graph, sound.spec), [photo])
    # Batch normalisation is folded into 18 convolutions: these tensors are compared all the same.
    assert right.location is None and len(right.curve) > 45
    planted = planted_faults.plant("transposed weight", sound, np.random.default_rng(2))
    location = localise(reference, stage(planted.graph, planted.spec), [photo]).location
    assert location is not None and location.layer == planted.layer


def test_a_sound_checkpoint_beside_the_float_graph_is_not_suspected(sound: planted_faults.Sound, photo: Path) -> None:
    folder = sound.artifact.folder
    reference = open_stage(folder, None, 1, framework=True)
    graph, checkpoint = (open_stage(path, sound.artifact, 1) for path in (folder, folder / "weights.safetensors"))
    assert [stage.kind for stage in (graph, checkpoint)] == ["float graph", "framework"]
    findings = localise_all(reference, [graph, checkpoint], [photo])
    assert all(each.location is None and each.curve for each in findings)


def test_little_memory_means_more_runs_and_the_same_answer(
    sound: planted_faults.Sound, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = planted_faults.plant("bias lost", sound, np.random.default_rng(5))
    monkeypatch.setattr("densecast.verbs.compare.divergence_search.BUDGET", 200_000)
    findings = localise(open_stage(sound.artifact.folder, None, 1), stage(planted.graph, planted.spec), [photo])
    assert findings.location is not None and findings.location.layer == planted.layer
    # A handful of runs, and far from all of the 53 tensors fetched.
    assert 2 < findings.runs < 9 and len(findings.curve) < 45
