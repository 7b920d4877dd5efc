"""Prepared, simulated, collected: the score is `evaluate`'s on the same artifact, to the last digit."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import made_coco
import made_label_maps
import onnx
import pytest
import tiny_artifacts
import tiny_graphs
from tiny_networks import shipped_for_voc

from densecast.artifact import Artifact
from densecast.pipeline import Pipeline
from densecast.scenes import write_carvana, write_cityscapes
from densecast.spec.handoff_options import OutputForm, PrepareOptions
from densecast.spec.options import BuildOptions, InputShape, Range
from densecast.spec.preprocess import Stretch
from densecast.spec.score import Score
from densecast.spec.verb_options import EvaluateOptions
from densecast.tasks.segmentation import SegmentationDecode
from densecast.verbs.builder import build
from densecast.verbs.evaluate import evaluate
from densecast.verbs.export import export_file, export_zoo
from densecast.verbs.handoff import collect, prepare, simulate
from densecast.verbs.handoff.tool_outputs import Tool

FORMS: tuple[OutputForm, ...] = ("logits", "int32", "int64")


def evaluated(
    source: Artifact,
    folder: Path,
    data: Path,
    batch: int,
    static_hw: tuple[int, int] | None = None,
    *,
    uint8: bool = False,
) -> Score:
    """On ONNX Runtime, which is what the simulator runs, in the same batches: equal inputs give equal outputs.

    With `static_hw` all sizes are fixed, and the last batch is filled up; else it is a shorter one.
    """
    shape = InputShape(batch=Range(1, batch)) if static_hw is None else InputShape((batch,), *static_hw)
    options = BuildOptions(backend="onnxruntime", shape=shape, uint8_input=uint8)
    artifact = build(source, folder / f"built_{batch}_{static_hw}_{uint8}", options)
    with Pipeline.open(artifact, threads=1) as pipeline:
        return evaluate(pipeline, data, EvaluateOptions(batch=batch)).score


@pytest.fixture(scope="module")
def voc(tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, Path]:
    """A shipped network in FCN-8s' own geometry, and three images a split."""
    folder = tmp_path_factory.mktemp("voc")
    return shipped_for_voc(folder, (64, 64)), made_label_maps.voc2012(folder / "data", classes=19)


@pytest.fixture(scope="module")
def wanted(voc: tuple[Artifact, Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Score]:
    """The score of `evaluate` in batches of so many, with open and with fixed sizes: one for every form of outputs."""
    source, data = voc
    return functools.cache(functools.partial(evaluated, source, tmp_path_factory.mktemp("wanted"), data))


@pytest.mark.torch
@pytest.mark.parametrize(
    ("form", "batch", "tool"),
    [  # every form with every batch; each form, and each batch, with both tools
        ("logits", 1, "benchmark"),
        ("logits", 2, "ais_bench"),
        pytest.param("logits", 16, "benchmark", marks=pytest.mark.slow),
        ("int32", 1, "ais_bench"),
        ("int32", 2, "benchmark"),
        ("int32", 16, "ais_bench"),
        pytest.param("int64", 1, "benchmark", marks=pytest.mark.slow),
        pytest.param("int64", 2, "ais_bench", marks=pytest.mark.slow),
        ("int64", 16, "benchmark"),
    ],
)
def test_the_score_is_that_of_evaluate(
    form: OutputForm,
    batch: int,
    tool: Tool,
    voc: tuple[Artifact, Path],
    wanted: Callable[..., Score],
    tmp_path: Path,
) -> None:
    source, data = voc
    options = PrepareOptions(output_form=form, batch=batch, processes=1)
    prepare(source, tmp_path / "handoff", options, data=data)
    simulate(tmp_path / "handoff", tmp_path / "result", tool)
    found = collect(tmp_path / "handoff", tmp_path / "result", data=data)
    assert found.score == wanted(batch)
    assert found.score == wanted(batch, (64, 64))
    assert found.score.count == 3  # 2 do not divide it and 16 are more: short batches are in it


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The shipped network at FCN-8s' own size."""
    return shipped_for_voc(tmp_path_factory.mktemp("shipped"), (500, 500))


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize(("batch", "form"), [(1, "logits"), (16, "int32")])
def test_the_score_is_that_of_evaluate_on_real_photographs(
    batch: int, form: OutputForm, shipped: Artifact, test_data: Path, tmp_path: Path
) -> None:
    data = test_data / "VOCdevkit"
    # Nine photographs: a batch of 16 is filled up on the device, and in one of the two ways of evaluating.
    expected = evaluated(shipped, tmp_path, data, batch)
    assert expected == evaluated(shipped, tmp_path, data, batch, (500, 500)) and expected.count == 9
    folder = tmp_path / form
    prepare(shipped, folder, PrepareOptions(output_form=form, batch=batch, processes=1), data=data)
    simulate(folder, folder.with_suffix(".result"))
    score = collect(folder, folder.with_suffix(".result"), data=data).score
    assert score == expected


@pytest.fixture(scope="module")
def cars(tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, Path, Score]:
    """The shipped UNet, procedural cars, and the score of `evaluate` in batches of 16."""
    folder = tmp_path_factory.mktemp("cars")
    write_carvana.write(folder / "data", 24, size_hw=(96, 144), workers=1)
    source = export_zoo("unet_tiny", folder / "float")
    return source, folder / "data", evaluated(source, folder, folder / "data", 16)


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, Path, Score]:
    """The shipped FCN, procedural streets, and the score of `evaluate` in batches of 3."""
    folder = tmp_path_factory.mktemp("streets")
    write_cityscapes.write(folder / "data", 31, size_hw=(64, 128), workers=1)
    shipped = export_zoo("fcn_tiny", folder / "shipped")
    preprocess = replace(shipped.spec.preprocess, resize=Stretch((64, 128)))
    spec = replace(shipped.spec, preprocess=preprocess, decode=SegmentationDecode(to_image="nearest_labels"))
    source = export_file(shipped.file("model.onnx"), spec, folder / "float")
    return source, folder / "data", evaluated(source, folder, folder / "data", 3)


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize(
    ("scenes", "batch", "tool", "form"),
    [("cars", 16, "benchmark", "logits"), ("cars", 16, "benchmark", "int32"), ("streets", 3, "ais_bench", "int64")],
)
def test_the_score_is_that_of_evaluate_on_procedural_scenes(
    scenes: str, batch: int, tool: Tool, form: OutputForm, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    source, data, expected = request.getfixturevalue(scenes)
    prepare(source, tmp_path / "handoff", PrepareOptions(output_form=form, batch=batch, processes=1), data=data)
    simulate(tmp_path / "handoff", tmp_path / "result", tool)
    found = collect(tmp_path / "handoff", tmp_path / "result", data=data).score
    assert found == expected and found.count > 1


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize("form", FORMS)
def test_bytes_are_a_quarter_and_lead_to_the_score_of_evaluate(
    form: OutputForm, streets: tuple[Artifact, Path, Score], tmp_path: Path
) -> None:
    source, data, of_floats = streets
    options = PrepareOptions(output_form=form, batch=3, uint8_input=True, processes=1)
    made = prepare(source, tmp_path / "handoff", options, data=data)
    assert {path.stat().st_size for path in (tmp_path / "handoff/inputs").iterdir()} == {3 * 64 * 128}
    assert '--input_shape="image:3,3,64,128"' in made.commands["atc"]
    assert (
        onnx.load(tmp_path / "handoff/model.onnx").graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    )
    simulate(tmp_path / "handoff", tmp_path / "result")
    found = collect(tmp_path / "handoff", tmp_path / "result", data=data).score
    assert found == evaluated(source, tmp_path, data, 3, uint8=True)
    # The graph subtracts and divides as `prepare` does: the network sees the same floats.
    assert found == of_floats


@pytest.mark.slow
def test_people_need_two_views_of_an_image_and_several_sizes(tmp_path: Path) -> None:
    data = made_coco.folder(tmp_path / "data", ("val",))
    path = tmp_path / "tiny_pose.onnx"
    onnx.save(tiny_graphs.pose(), path)
    source = export_file(path, tiny_artifacts.pose_spec(), tmp_path / "float")
    made = prepare(source, tmp_path / "handoff", PrepareOptions(processes=1), data=data)
    assert len(made.output_shapes) > 1
    assert "--dynamic_dims=" in made.commands["atc"]
    simulate(tmp_path / "handoff", tmp_path / "result")
    assert collect(tmp_path / "handoff", tmp_path / "result", data=data).score == evaluated(source, tmp_path, data, 1)


@pytest.mark.torch
def test_blended_labels_are_another_score(
    voc: tuple[Artifact, Path], wanted: Callable[..., Score], tmp_path: Path
) -> None:
    source, data = voc
    spec = replace(source.spec, decode=replace(source.spec.decode, to_image="blended_labels"))
    blended = export_file(source.file("model.onnx"), spec, tmp_path / "blended")
    prepare(blended, tmp_path / "handoff", PrepareOptions(output_form="int32", processes=1), data=data)
    simulate(tmp_path / "handoff", tmp_path / "result")
    score = collect(tmp_path / "handoff", tmp_path / "result", data=data).score
    assert score == evaluated(blended, tmp_path, data, 1)
    assert score.value != wanted(1).value
