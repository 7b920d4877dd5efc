"""The drop stays within the limit, by the layers that need 16 bits and no others, or it is said that it does not."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx
import pytest
import tiny_artifacts
import tiny_graphs
import whole_graphs
from made_images import carvana
from outlier_network import RUINED, outlier_network

from densecast.artifact import Artifact
from densecast.artifact.half_type_record import HalfTypeRecord
from densecast.artifact.search_record import SearchRecord
from densecast.backends import _openvino_half_type
from densecast.backends._openvino_int8 import OpenVinoQuantized
from densecast.errors import GateFailedError, UsageError
from densecast.imaging.views import ModelInputs
from densecast.pipeline import Pipeline
from densecast.report import reasons
from densecast.spec.options import BuildOptions, InputShape, QuantizeOptions
from densecast.spec.verb_options import MaxDrop
from densecast.verbs.builder import build
from densecast.verbs.builder.compile_plan import prepare
from densecast.verbs.export import export_file
from densecast.verbs.mixed_precision import build_within, search
from densecast.verbs.mixed_precision.accuracy import AccuracyEvaluator
from densecast.verbs.mixed_precision.candidates import CandidateBuilder, Speed

pytestmark = pytest.mark.quantize
pytest.importorskip("nncf")

CHOOSE = _openvino_half_type.choose
INT8 = BuildOptions("openvino", "qint8_mixed_float16", InputShape(height=24, width=32), QuantizeOptions(images=6))
# The images are smooth: many pixels lie within an int8 step of the threshold, so the harmless layer turns one in ten.
DISAGREEMENT = MaxDrop(15.0, "disagreement", images=12, split="all")


def half_type(core: Any, *job: Any) -> HalfTypeRecord | None:
    """float16 where the CPU has it, without the timing that would tell; elsewhere what is chosen there."""
    if "FP16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return HalfTypeRecord("f16", "f16", "made up", True)
    return CHOOSE(core, *job)


def made_up_times(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Every int8 layer makes the network half as fast again; nothing is cached between tests."""

    def measure_speed(candidate: Pipeline, baseline: Pipeline, inputs: ModelInputs) -> Speed:
        int8 = candidate.precision.layers.get("int8", 0)
        return Speed(1 + 0.5 * int8, 1 / (1 + 0.5 * int8))

    patch.setenv("DENSECAST_CACHE", str(folder / "cache"))
    patch.setattr(search, "measure_speed", measure_speed)
    patch.setattr(_openvino_half_type, "choose", half_type)
    patch.setattr(OpenVinoQuantized, "cost_ms", lambda self: dict.fromkeys(self.layers, 1.0))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return tiny_artifacts.exported(tmp_path_factory.mktemp("outlier"), outlier_network())


@pytest.fixture
def source(exported: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Artifact:
    """The network that int8 ruins."""
    made_up_times(monkeypatch, tmp_path)
    return exported


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return carvana(tmp_path_factory.mktemp("cars"), count=40)


@dataclass(frozen=True)
class Searched:
    """One search's beginning and end."""

    source: Artifact
    built: Artifact
    written: list[frozenset[str]]
    """The layers in 16 bits of each int8 model that was written, in order; the last one is the result."""


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Searched:
    """What `INT8` and `DISAGREEMENT` lead to."""
    folder = tmp_path_factory.mktemp("searched")
    with pytest.MonkeyPatch.context() as patch:
        made_up_times(patch, folder)
        written, write = list[frozenset[str]](), OpenVinoQuantized.write

        def noted(self: OpenVinoQuantized, excluded: frozenset[str], folder: Path) -> object:
            written.append(excluded)
            return write(self, excluded, folder)

        patch.setattr(OpenVinoQuantized, "write", noted)
        source = tiny_artifacts.exported(folder, outlier_network())
        return Searched(source, build_within(source, folder / "built", INT8, DISAGREEMENT, data=data), written)


def record_of(artifact: Artifact) -> SearchRecord:
    assert artifact.manifest.search is not None
    return artifact.manifest.search


def test_only_the_layer_that_int8_ruins_is_left_in_16_bits(searched: Searched) -> None:
    built = searched.built
    record = record_of(built)
    trials = {trial.name: trial for trial in record.trials}
    assert trials["int8"].drop.value > 50 and not trials["int8"].is_within(15)
    winner = trials[record.winner]
    assert [name for name in winner.half_layers if RUINED in name] and len(winner.half_layers) == 1
    assert record.within_limit and record.finished and record.pareto_front
    assert record.metric == "disagreement" and record.images == 12 == len(record.ids)
    ran = built.manifest.precision_ran
    assert ran is not None and ran.layers["int8"] == 1 and sum(ran.layers.values()) == 2
    most = max(record.sensitivity, key=record.sensitivity.__getitem__)
    assert RUINED in most and record.sensitivity[most] > 0.9


def test_plain_int8_is_built_once_and_every_layer_for_its_sensitivity(searched: Searched) -> None:
    record = record_of(searched.built)
    *measured, result = searched.written
    assert measured.count(frozenset()) == 1 and len(record.sensitivity) == record.layers
    singles = [each for each in measured if len(each) == 1]
    assert {next(iter(each)) for each in singles} == set(record.sensitivity)
    assert [set(trial.half_layers) for trial in record.trials if trial.name == record.winner] == [set(result)]


def test_what_is_delivered_is_what_was_measured(searched: Searched, data: Path, tmp_path: Path) -> None:
    built = searched.built
    record = record_of(built)
    winner = next(trial for trial in record.trials if trial.name == record.winner)
    accuracy = AccuracyEvaluator(built.spec, data, DISAGREEMENT, calibration=built.manifest.calibration)
    accuracy.set_count(12)
    float32 = build(searched.source, tmp_path / "float32", replace(INT8, precision="force_float32"))
    with Pipeline.open(float32) as reference, Pipeline.open(built) as pipeline:
        accuracy.measure_reference(reference, lambda done, total: None)
        assert accuracy.drop(pipeline, lambda done, total: None) == winner.drop


@pytest.mark.slow
def test_the_models_own_metric_is_the_first_choice(source: Artifact, data: Path, tmp_path: Path) -> None:
    record = record_of(build_within(source, tmp_path / "a", INT8, MaxDrop(15.0, images=12, split="all"), data=data))
    assert record.metric == "dice_per_image"
    assert 0 < record.reference < 1


@pytest.mark.slow
def test_a_folder_of_images_has_no_ground_truth(source: Artifact, data: Path, tmp_path: Path) -> None:
    record = record_of(build_within(source, tmp_path / "a", INT8, MaxDrop(15.0, images=12), data=data / "imgs"))
    assert record.metric == "disagreement" and record.reference == 1.0
    with pytest.raises(UsageError, match=r"disagreement.*root of its data set"):
        build_within(source, tmp_path / "b", INT8, MaxDrop(15.0, "dice"), data=data / "imgs")


@pytest.mark.slow
def test_an_impossible_limit_gives_16_bits_or_what_was_asked_for(source: Artifact, data: Path, tmp_path: Path) -> None:
    # Any int8 layer changes some pixels.
    impossible = replace(DISAGREEMENT, points=1e-9)
    half = build_within(source, tmp_path / "a", INT8, impossible, data=data)
    assert record_of(half).winner == "16-bit" and record_of(half).within_limit
    assert "no int8 model" in record_of(half).why
    assert half.manifest.precision_ran is not None and "int8" not in half.manifest.precision_ran.layers
    best = build_within(source, tmp_path / "b", INT8, replace(impossible, otherwise="best"), data=data)
    assert "int8" in record_of(best).winner and "as requested" in record_of(best).why
    assert not record_of(best).within_limit
    with pytest.raises(GateFailedError, match="no int8 model"):
        build_within(source, tmp_path / "c", INT8, replace(impossible, otherwise="fail"), data=data)
    assert not (tmp_path / "c").exists()


@pytest.mark.slow
def test_a_search_goes_on_where_it_stopped(
    source: Artifact, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[int] = []
    drop = AccuracyEvaluator.drop

    def counted(self: AccuracyEvaluator, *arguments: object) -> object:
        measured.append(1)
        if len(measured) == 3:
            raise KeyboardInterrupt
        return drop(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(AccuracyEvaluator, "drop", counted)
    with pytest.raises(KeyboardInterrupt):
        build_within(source, tmp_path / "built", INT8, DISAGREEMENT, data=data)
    assert not (tmp_path / "built").exists()
    measured.extend([1] * 10)
    before = len(measured)
    record = record_of(build_within(source, tmp_path / "built", INT8, DISAGREEMENT, data=data))
    # The plain int8 model's trial was kept; the 16-bit one is the baseline of speed, and measured each time.
    assert len(measured) - before == len(record.trials) - 1
    done = len(measured)
    again = build_within(source, tmp_path / "built", INT8, DISAGREEMENT, data=data)
    assert record_of(again) == record and len(measured) == done


@pytest.mark.slow
def test_what_was_measured_of_another_int8_model_is_forgotten(
    source: Artifact, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = record_of(build_within(source, tmp_path / "built", INT8, DISAGREEMENT, data=data))
    (checkpoint,) = (tmp_path / "cache" / "searches").iterdir()
    text = checkpoint.read_text(encoding="utf-8").replace('"name": "int8"', '"name": "int8 of old"')
    longer = replace(DISAGREEMENT, seconds=900.0)
    checkpoint.write_text(text, encoding="utf-8")
    resumed = record_of(build_within(source, tmp_path / "built", INT8, longer, data=data))
    assert "int8 of old" in [trial.name for trial in resumed.trials]
    other = json.loads(text)
    other["errors"][""] *= 2
    checkpoint.write_text(json.dumps(other), encoding="utf-8")
    again = record_of(build_within(source, tmp_path / "other", INT8, longer, data=data))
    assert [trial.name for trial in again.trials] == [trial.name for trial in first.trials]


@pytest.mark.slow
def test_when_the_time_is_over_the_best_so_far_is_built(source: Artifact, data: Path, tmp_path: Path) -> None:
    record = record_of(build_within(source, tmp_path / "a", INT8, replace(DISAGREEMENT, seconds=0.01), data=data))
    assert not record.finished and "time was over" in record.why
    assert [trial.name for trial in record.trials] == ["16-bit"] and record.winner == "16-bit"


def test_the_table_has_a_row_for_each_trial_and_marks_the_one_taken(searched: Searched) -> None:
    record = record_of(searched.built)
    section = reasons.of_search(record)
    assert len(section.rows) == len(record.trials) and {len(row) for row in section.rows} == {len(section.header)}
    assert [row[0] for row in section.rows if "taken" in row[-1]] == [record.winner]
    assert RUINED in section.sentences[-1] and "1 of 2 layers" in section.sentences[-1]


@pytest.mark.slow
def test_without_a_folder_the_name_says_what_is_in_it(source: Artifact, data: Path) -> None:
    impossible = replace(DISAGREEMENT, points=1e-9)
    int8 = build_within(source, None, INT8, DISAGREEMENT, data=data)
    half = build_within(source, None, INT8, impossible, data=data)
    assert int8.folder == source.folder.parent / "tiny__int8__24x32__b1__openvino__drop15"
    assert half.folder == source.folder.parent / "tiny__fp16__24x32__b1__openvino__drop1e-09"
    # Found again by its options, under whichever name.
    created = [each.manifest.created for each in (int8, half)]
    again = [build_within(source, None, INT8, max_drop, data=data) for max_drop in (DISAGREEMENT, impossible)]
    assert [each.manifest.created for each in again] == created and again[1].folder == half.folder


@pytest.mark.slow
def test_what_fell_back_says_what_was_asked_and_holds_16_bits_as_they_are_built(
    source: Artifact, data: Path, tmp_path: Path
) -> None:
    half = build_within(source, tmp_path / "a", INT8, replace(DISAGREEMENT, points=1e-9), data=data)
    manifest = half.manifest
    assert manifest.precision_asked == "qint8_mixed_float16"
    assert manifest.build is not None and manifest.build.precision == "force_float16"
    assert manifest.calibration is None and manifest.fallback == record_of(half).why
    fp16 = build(source, tmp_path / "b", replace(INT8, precision="force_float16"))
    assert manifest.passes == fp16.manifest.passes
    int8 = build_within(source, tmp_path / "c", INT8, DISAGREEMENT, data=data)
    assert int8.manifest.fallback is None and int8.manifest.precision_asked == "qint8_mixed_float16"


@pytest.mark.slow
def test_the_16_bit_model_is_what_16_bits_are_built_as(tmp_path: Path) -> None:
    """A constant branch is taken out of convolutions in 16 bits, and not in int8."""
    data = carvana(tmp_path / "data", count=6, size_hw=(48, 80))
    source = tiny_artifacts.exported(tmp_path, whole_graphs.pooled())
    int8 = replace(INT8, shape=InputShape(height=24, width=40))
    fp16 = replace(int8, precision="force_float16")

    def layers(artifact: Artifact) -> int:
        return artifact.file("model.xml").read_text(encoding="utf-8").count("<layer ")

    with CandidateBuilder(prepare(source, tmp_path / "none", int8, data=data), tmp_path).half() as pipeline:
        assert pipeline.artifact is not None
        half = layers(pipeline.artifact)
    assert half == layers(build(source, tmp_path / "fp16", fp16))
    assert half != layers(build(source, tmp_path / "plain", replace(fp16, graph_passes=())))


def test_only_int8_and_backends_with_layers_can_be_searched(source: Artifact, data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="among int8"):
        build_within(source, tmp_path / "a", replace(INT8, precision="force_float16"), DISAGREEMENT, data=data)
    with pytest.raises(UsageError, match="between 0 and 100"):
        MaxDrop(0.0)


@pytest.mark.slow
def test_onnx_runtime_is_searched_node_by_node(source: Artifact, data: Path, tmp_path: Path) -> None:
    record = record_of(
        build_within(source, tmp_path / "a", replace(INT8, backend="onnxruntime"), DISAGREEMENT, data=data)
    )
    half_layers = {trial.name: set(trial.half_layers) for trial in record.trials if trial.name != "16-bit"}
    assert record.layers == 2 and half_layers["int8"] == set()
    # Its int8 convolutions write int8, so what the ruined one reads is ruined before, and only both help.
    assert record.sensitivity[RUINED] < 0.1
    assert record.winner == "16-bit" and record.within_limit


@pytest.mark.slow
def test_people_are_judged_by_their_likeness_to_float32s(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up_times(monkeypatch, tmp_path)
    onnx.save(tiny_graphs.pose(), tmp_path / "pose.onnx")
    source = export_file(tmp_path / "pose.onnx", tiny_artifacts.pose_spec(), tmp_path / "float")
    options = replace(INT8, shape=InputShape(batch=(2,), height=64, width=96))
    record = record_of(build_within(source, tmp_path / "built", options, MaxDrop(50.0, images=8), data=data / "imgs"))
    drop = {trial.name: trial.drop for trial in record.trials}
    assert record.metric == "oks" and record.reference == 1.0
    # Maps in int8 move people, but not by much.
    assert 0 <= drop["16-bit"].value < drop["int8"].value < 50
