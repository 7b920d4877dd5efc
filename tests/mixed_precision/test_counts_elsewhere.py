"""A search's passes over data give the same counts and the same record wherever they are computed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import tiny_artifacts
import tiny_graphs
from command_line import failed
from made_images import carvana

from densecast.artifact import CompiledArtifact
from densecast.artifact.search_record import SearchRecord
from densecast.errors import BadImageError, UsageError
from densecast.measure.ground_truth import GroundTruth
from densecast.pipeline import Pipeline
from densecast.spec.options import BuildOptions, InputShape, QuantizeOptions
from densecast.spec.tensor import Feeds
from densecast.spec.verb_options import MaxDrop
from densecast.verbs.builder import build
from densecast.verbs.builder.calibration import CalibrationFeeds, Item
from densecast.verbs.builder.divided import DividedFeeds
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


def test_other_machines_need_ground_truth_or_something_to_calibrate(data: Path, tmp_path: Path) -> None:
    source = tiny_artifacts.exported(tmp_path)
    with pytest.raises(UsageError, match="ground truth"):
        build_within(source, tmp_path / "a", INT8, replace(DICE, metric=None), data=data / "imgs", on="ray")
    with pytest.raises(UsageError, match="ray:ADDRESS"):
        build_within(source, tmp_path / "a", INT8, DICE, data=data, on="moon")
    common = ("build", source.folder, "--on", "ray", "--out", tmp_path / "a", "-q")
    int8 = (*common, "-p", "int8", "--data", data)
    for words, why in (
        ((*common, "-b", "onnxruntime"), "calibrate int8, or measure a drop"),
        ((*common, "--tune", "--data", data), "tuning times this machine"),
        ((*int8, "-b", "onnxruntime"), "onnxruntime's quantiser gathers ranges in one process"),
        ((*int8, "--calibration-method", "histogram"), "depend on the order"),
        ((*int8, "--bias-correction", "full"), "biases in full"),
        ((*common[:2], "--on", "moon", *common[4:], "-p", "int8", "--data", data), "ray:ADDRESS"),
    ):
        told = failed(2, *words)
        assert why in told
    assert not (tmp_path / "a").exists() and not list(tmp_path.glob("densecast-search-*"))


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.quantize
@pytest.mark.filterwarnings("ignore")
def test_a_cluster_calibrates_as_this_process_does(data: Path, tmp_path: Path) -> None:
    """The same weights and quantisers to the last bit; of an image that cannot be read, the same error."""
    pytest.importorskip("ray")
    pytest.importorskip("nncf")
    source = tiny_artifacts.exported(tmp_path)
    quantize = QuantizeOptions(images=20, split="all", bias_correction="fast", calibration_method="mean_minmax")
    options = replace(INT8, backend="openvino", quantize=quantize)
    built = [build(source, tmp_path / on.replace(":", "_"), options, data=data, on=on) for on in ("local", "ray:local")]
    assert len({each.file("model.bin").read_bytes() for each in built}) == 1
    assert built[0].manifest.calibration == built[1].manifest.calibration
    assert not list(tmp_path.glob("densecast-calibration-*"))
    broken = shutil.copytree(data / "imgs", tmp_path / "broken")
    (some := sorted(broken.iterdir())[7]).write_bytes(b"no picture")
    with pytest.raises(BadImageError, match=some.name):
        build(source, tmp_path / "never", options, data=broken, on="ray:local")


@pytest.mark.slow
@pytest.mark.quantize
def test_another_process_calibrates_some_windows_as_this_one_does(data: Path, tmp_path: Path) -> None:
    """Each image as it is among all, where some are taken."""
    source = tiny_artifacts.exported(tmp_path)
    items = [Item(path.name, path) for path in sorted((data / "imgs").iterdir())]
    feeds = DividedFeeds(items, source.spec, on="local", beside=tmp_path / "new")
    answers = feeds.picked([5, 2, 9]).each(lambda folder: Sums(str(folder)))
    here = CalibrationFeeds(items, source.spec)
    assert [float(each) for each in answers] == [sum_of(here[place]) for place in (5, 2, 9)]
    assert not list((tmp_path / "new").iterdir())


def sum_of(feeds: Feeds) -> float:
    return float(sum(array.astype(np.float64).sum() for array in feeds.values()))


@dataclass(frozen=True)
class Sums:
    """Work of a test: the sum of all values."""

    folder: str

    def open(self, threads: int | None) -> Callable[[Feeds], bytes]:
        assert Path(self.folder).is_dir()
        return lambda feeds: repr(sum_of(feeds)).encode()


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
