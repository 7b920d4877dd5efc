"""A search's passes over data give the same counts and the same record wherever they are computed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import tiny_artifacts
import tiny_graphs
from command_line import failed
from made_images import carvana

from densecast.artifact import CompiledArtifact
from densecast.artifact.search_record import SearchRecord
from densecast.errors import UsageError
from densecast.measure.ground_truth import GroundTruth
from densecast.pipeline import Pipeline
from densecast.spec.options import BuildOptions, InputShape, QuantizeOptions
from densecast.spec.verb_options import MaxDrop
from densecast.verbs.mixed_precision import build_within
from densecast.verbs.stored.counting import counts_on

pytest.importorskip("pyarrow")
pytestmark = pytest.mark.store
INT8 = BuildOptions("onnxruntime", "qint8_mixed_float16", InputShape(height=24, width=32), QuantizeOptions(images=6))
DICE = MaxDrop(50.0, "dice", images=12, split="all")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return carvana(tmp_path_factory.mktemp("cars"), count=24)


@pytest.mark.slow
def test_another_process_counts_what_this_one_does(data: Path, tmp_path: Path) -> None:
    fixed = BuildOptions("reference", shape=InputShape(height=24, width=32))
    artifact = tiny_artifacts.compiled(tmp_path, fixed, tiny_graphs.brightness())
    assert isinstance(artifact, CompiledArtifact)
    truth = GroundTruth.open(artifact.spec, data, split="all")
    some = tuple(reversed(truth.samples[3:9]))
    with Pipeline.open(artifact, threads=1) as pipeline:
        here = []
        for sample in some:
            inputs = pipeline.preprocess(pipeline.read(sample.image))
            here.append(truth.count(sample, pipeline.predict(inputs, truth.frame), inputs.placement))
    seen: list[int] = []
    there = counts_on(
        "local", artifact, truth, some, data, "all", tmp_path / "counts", lambda done, total: seen.append(done)
    )
    assert there == here and len({repr(each) for each in here}) > 1
    assert seen[-1] == len(some)


def test_other_machines_need_ground_truth_and_a_drop(data: Path, tmp_path: Path) -> None:
    source = tiny_artifacts.exported(tmp_path)
    with pytest.raises(UsageError, match="ground truth"):
        build_within(source, tmp_path / "a", INT8, replace(DICE, metric=None), data=data / "imgs", on="ray")
    with pytest.raises(UsageError, match="ray:ADDRESS"):
        build_within(source, tmp_path / "a", INT8, DICE, data=data, on="moon")
    told = failed(2, "build", source.folder, "-b", "onnxruntime", "--on", "ray", "--out", tmp_path / "a", "-q")
    assert "--max-drop" in told
    assert not (tmp_path / "a").exists() and not list(tmp_path.glob("densecast-search-*"))


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")
def test_a_cluster_finds_what_this_process_finds(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    source = tiny_artifacts.exported(tmp_path)
    found = []
    for on in ("local", "ray:local"):
        built = build_within(source, tmp_path / on.replace(":", "_"), INT8, DICE, data=data, on=on)
        assert isinstance(built.manifest.search, SearchRecord)
        found.append(built.manifest.search)
    assert found[0].reference == found[1].reference and found[0].ids == found[1].ids
    assert [each.drop for each in found[0].trials] == [each.drop for each in found[1].trials]
    assert not list(tmp_path.glob("densecast-search-*"))
