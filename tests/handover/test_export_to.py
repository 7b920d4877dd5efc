"""A model that is handed over gives densecast's answers in software that knows nothing of densecast."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import made_handovers
import numpy as np
import onnx
import pytest
import tiny_graphs
import tiny_specs
from command_line import densecast, failed
from made_handovers import LABELS, SIZE_HW, coarse, exported, picture, planes_of, run, spec

from densecast import BuildOptions, ExportToOptions, export_to
from densecast.artifact import Artifact
from densecast.errors import UsageError
from densecast.spec.preprocess import FitCentre, KeepRatio, Letterbox, Native
from densecast.spec.slide import Slide
from densecast.tasks.monocular_depth import MonocularDepthDecode
from densecast.tasks.multilabel import MultilabelDecode
from densecast.tasks.segmentation import SegmentationDecode
from densecast.verbs.builder import build

RGB = picture()
# Sums in another order move the last bits of a logit: labels have to be equal where the two best are further apart.
TIE = 1e-3


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    root = tmp_path_factory.mktemp("sources")
    source = exported(root, coarse(), spec(SegmentationDecode()))
    return {
        "float": source,
        "onnxruntime": build(source, root / "ort", BuildOptions("onnxruntime")),
        "openvino": build(source, root / "ov", BuildOptions("openvino")),
    }


def assert_labels(given: np.ndarray, planes: np.ndarray) -> None:
    best = np.sort(planes, axis=0)
    sure = best[-1] - best[-2] > TIE
    assert sure.mean() > 0.97 and len(np.unique(planes.argmax(axis=0))) > 1
    np.testing.assert_array_equal(given[sure], planes.argmax(axis=0)[sure])


@pytest.mark.parametrize(
    ("receiver", "kind", "file"),
    [
        ("ovms", "float", "coarse/1/model.xml"),
        ("ovms", "openvino", "coarse/1/model.xml"),
        ("ovms", "onnxruntime", "coarse/1/model.onnx"),
        ("triton", "float", "coarse/1/model.onnx"),
        ("triton", "openvino", "coarse/1/model.xml"),
        ("hf", "openvino", "openvino_model.xml"),
        ("hf", "onnxruntime", "model.onnx"),
        ("onnx-full", "float", "model.onnx"),
        ("onnx-full", "onnxruntime", "model.onnx"),
    ],
)
def test_pixels_in_and_labels_out_in_the_engine_alone(
    receiver: str, kind: str, file: str, sources: dict[str, Artifact], tmp_path: Path
) -> None:
    result = export_to(receiver, sources[kind], tmp_path / "out")
    assert result.model_file == file and result.files is not None and file in result.files
    turned = file.endswith(".xml") and kind != "openvino"
    assert any("written for OpenVINO from an ONNX graph" in each for each in result.remarks) == turned
    pixels = RGB[:, :, ::-1] if receiver == "ovms" else RGB  # that server decodes to BGR
    answer = run(tmp_path / "out" / file, np.ascontiguousarray(pixels[None]))["class_id"]
    assert answer.dtype == np.uint8 and answer.shape == (1, *SIZE_HW)
    assert_labels(answer[0], planes_of(coarse(), RGB))


@pytest.mark.parametrize("kind", ["float", "openvino"])
def test_layout_and_colours_are_as_asked(kind: str, sources: dict[str, Artifact], tmp_path: Path) -> None:
    options = ExportToOptions(layout="nchw", colour="bgr")
    result = export_to("hf", sources[kind], tmp_path / "out", options)
    pixels = np.ascontiguousarray(RGB[:, :, ::-1].transpose(2, 0, 1)[None])
    answer = run(tmp_path / "out" / result.model_file, pixels)["class_id"]
    assert_labels(answer[0], planes_of(coarse(), RGB))


@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_open_sizes_stay_open_and_labels_have_the_size_of_the_pixels(form: str, tmp_path: Path) -> None:
    source = exported(tmp_path, coarse(), spec(SegmentationDecode(), resize=Native()))
    result = export_to("hf", source, tmp_path / "out", ExportToOptions(file_format=form))  # type: ignore[arg-type]
    for size_hw in ((24, 40), (34, 18)):
        rgb = picture(size_hw)
        answer = run(tmp_path / "out" / result.model_file, np.stack([rgb, rgb]))["class_id"]
        assert answer.shape == (2, *size_hw)
        assert_labels(answer[1], planes_of(coarse(), rgb))


def test_model_api_gets_planes_and_its_own_keys(sources: dict[str, Artifact], tmp_path: Path) -> None:
    import openvino

    result = export_to("model-api", sources["openvino"], tmp_path / "out")
    model = openvino.Core().read_model(tmp_path / "out" / result.model_file)
    told = {key: each.astype(str) for key, each in model.rt_info["model_info"].items()}
    assert told["model_type"] == "Segmentation" and told["labels"] == "road traffic_light sky"
    assert told["resize_type"] == "standard" and told["interpolation_mode"] == "LINEAR"
    assert told["reverse_input_channels"] == "True" and told["input_dtype"] == "u8"
    assert [float(each) for each in told["mean_values"].split()] == list(made_handovers.MEAN)
    assert [float(each) for each in told["scale_values"].split()] == list(made_handovers.STD)
    normal = (RGB.astype(np.float32) - np.float32(made_handovers.MEAN)) / np.float32(made_handovers.STD)
    planes = run(tmp_path / "out" / result.model_file, normal.transpose(2, 0, 1)[None])["planes"]
    np.testing.assert_allclose(planes[0], planes_of(coarse(), RGB), atol=1e-4)


def test_a_binary_plane_is_compared_with_its_threshold(tmp_path: Path) -> None:
    decode = SegmentationDecode(form="binary_logits", threshold=0.7)
    source = exported(tmp_path, coarse(1), spec(decode, ("ground", "water")))
    (plane,) = planes_of(coarse(1), RGB)
    limit = np.log(0.7 / 0.3)
    sure = np.abs(plane - limit) > TIE
    for form in ("onnx", "openvino"):
        result = export_to("hf", source, tmp_path / form, ExportToOptions(file_format=form))  # type: ignore[arg-type]
        answer = run(tmp_path / form / result.model_file, RGB[None])["class_id"]
        assert answer.shape == (1, *SIZE_HW) and 0.05 < answer.mean() < 0.95
        np.testing.assert_array_equal(answer[0][sure], (plane > limit)[sure])
    two = export_to("model-api", source, tmp_path / "two")
    normal = (RGB.astype(np.float32) - np.float32(made_handovers.MEAN)) / np.float32(made_handovers.STD)
    planes = run(tmp_path / "two" / two.model_file, normal.transpose(2, 0, 1)[None])["planes"]
    np.testing.assert_array_equal(planes[0].argmax(axis=0)[sure], (plane > limit)[sure])


def test_several_labels_a_pixel_come_as_bits_of_classes(tmp_path: Path) -> None:
    source = exported(tmp_path, coarse(), spec(MultilabelDecode(thresholds=(0.3, 0.5, 0.9))))
    result = export_to("onnx-full", source, tmp_path / "out")
    answer = run(tmp_path / "out" / result.model_file, RGB[None])["classes"]
    planes = 1 / (1 + np.exp(-planes_of(coarse(), RGB).astype(np.float64)))
    limits = np.reshape((0.3, 0.5, 0.9), (3, 1, 1))
    sure = np.abs(planes - limits) > TIE
    np.testing.assert_array_equal(answer[0][sure], (planes > limits)[sure])


def test_depth_comes_in_metres_within_its_limits(tmp_path: Path) -> None:
    decode = MonocularDepthDecode(scale_m=2.0, min_m=0.5, max_m=3.0)
    source = exported(tmp_path, coarse(1), spec(decode, ()))
    wanted = np.clip(planes_of(coarse(1), RGB)[0] * 2, 0.5, 3.0)
    for form in ("onnx", "openvino"):
        result = export_to("hf", source, tmp_path / form, ExportToOptions(file_format=form))  # type: ignore[arg-type]
        answer = run(tmp_path / form / result.model_file, RGB[None])["depth_m"]
        np.testing.assert_allclose(answer[0], wanted, atol=1e-4)
    assert wanted.min() == 0.5 and wanted.max() == 3.0


def test_class_indices_of_a_graph_that_ends_in_the_argmax_are_brought_to_the_size(tmp_path: Path) -> None:
    model = coarse()
    model.graph.node.append(onnx.helper.make_node("ArgMax", ["logits"], ["found"], axis=1, keepdims=0))
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info("found", onnx.TensorProto.INT64, ["N", "h", "w"]))
    described = spec(SegmentationDecode(form="labels"))
    output = replace(described.output, name="found", dtype="int64", shape=(1, *described.output.shape[2:]))
    source = exported(tmp_path, model, replace(described, outputs=(output,)))
    result = export_to("onnx-full", source, tmp_path / "out")
    answer = run(tmp_path / "out" / result.model_file, RGB[None])["class_id"]
    low = run(source.file("model.onnx"), _normal())["found"][0]
    np.testing.assert_array_equal(answer[0], low.repeat(2, axis=0).repeat(2, axis=1))
    with pytest.raises(UsageError, match="class indices instead of planes"):
        export_to("model-api", source, tmp_path / "not")


def _normal() -> np.ndarray:
    normal = (RGB.astype(np.float32) - np.float32(made_handovers.MEAN)) / np.float32(made_handovers.STD)
    return normal.transpose(2, 0, 1)[None]


@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_further_outputs_keep_their_names_and_values(form: str, tmp_path: Path) -> None:
    model = coarse()
    model.graph.output.insert(
        0, onnx.helper.make_tensor_value_info("small", onnx.TensorProto.FLOAT, ["N", 3, "h", "w"])
    )
    described = spec(SegmentationDecode())
    outputs = (described.output, replace(described.output, name="small"))
    source = exported(tmp_path, model, replace(described, outputs=outputs))
    result = export_to("hf", source, tmp_path / "out", ExportToOptions(file_format=form))  # type: ignore[arg-type]
    answers = run(tmp_path / "out" / result.model_file, RGB[None])
    assert_labels(answers["class_id"][0], planes_of(coarse(), RGB))
    wanted = _normal().reshape(1, 3, 12, 2, 20, 2).mean(axis=(3, 5))
    np.testing.assert_allclose(answers["small"], wanted, atol=1e-5)


def test_a_graph_whose_nodes_are_in_no_order_is_taken(tmp_path: Path) -> None:
    model = coarse()
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))
    source = exported(tmp_path, model, spec(SegmentationDecode()))
    result = export_to("onnx-full", source, tmp_path / "out")
    assert_labels(run(tmp_path / "out" / result.model_file, RGB[None])["class_id"][0], planes_of(coarse(), RGB))


def test_maps_of_a_pose_network_come_out_and_the_remark_says_so(tmp_path: Path) -> None:
    built = exported(tmp_path, tiny_graphs.pose(), tiny_specs.pose())
    result = export_to("onnx-full", built, tmp_path / "out")
    assert [each.name for each in result.outputs] == ["maps"]
    assert any("maps come out" in remark for remark in result.remarks)
    rgb = picture((64, 96))
    maps = run(tmp_path / "out" / result.model_file, rgb[None])["maps"]
    normal = (rgb.astype(np.float32) / 255 - 0.5) / 0.25
    wanted = run(built.file("model.onnx"), normal.transpose(2, 0, 1)[None])["maps"]
    np.testing.assert_allclose(maps, wanted, atol=1e-5)
    with pytest.raises(UsageError, match="task pose"):
        export_to("model-api", built, tmp_path / "not")


def test_the_file_says_what_it_is(sources: dict[str, Artifact], tmp_path: Path) -> None:
    import openvino

    options = ExportToOptions(licence="CC-BY-4.0")
    export_to("onnx-full", sources["float"], tmp_path / "onnx", options)
    props = {each.key: each.value for each in onnx.load(tmp_path / "onnx" / "model.onnx").metadata_props}
    export_to("hf", sources["openvino"], tmp_path / "ir", options)
    model = openvino.Core().read_model(tmp_path / "ir" / "openvino_model.xml")
    info = {key: each.astype(str) for key, each in model.rt_info["densecast"].items()}
    for told in ({key.removeprefix("densecast "): text for key, text in props.items()}, info):
        assert json.loads(told["labels"]) == list(LABELS)
        assert told["licence"] == "CC-BY-4.0" and told["resize"] == "stretch"
        assert json.loads(told["preprocess"])["mean"] == list(made_handovers.MEAN)
        assert json.loads(told["palette"])[2] == [2, 4, 50]
        assert told["input_colour"] == "rgb" and told["version"]
    assert info["source"] == sources["openvino"].identity


def test_servers_get_what_they_are_configured_by(sources: dict[str, Artifact], tmp_path: Path) -> None:
    export_to("ovms", sources["openvino"], tmp_path / "ovms", ExportToOptions(name="roads"))
    (entry,) = json.loads((tmp_path / "ovms" / "config.json").read_text())["model_config_list"]
    assert entry["config"]["name"] == "roads" and entry["config"]["base_path"] == "/models/roads"
    assert entry["config"]["plugin_config"] == {"INFERENCE_PRECISION_HINT": "f32"}
    assert (tmp_path / "ovms" / "roads" / "1" / "model.bin").is_file()
    export_to("triton", sources["float"], tmp_path / "triton")
    config = (tmp_path / "triton" / "coarse" / "config.pbtxt").read_text()
    assert "max_batch_size: 8" in config and "dims: [24, 40, 3]" in config and "max_queue_size" in config


def test_a_second_export_replaces_the_first_and_nothing_else(sources: dict[str, Artifact], tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = export_to("onnx-full", sources["float"], out)
    assert export_to("onnx-full", sources["float"], out) == first  # the same bytes
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    for target in (tmp_path / "mine", sources["float"].folder, sources["float"].folder / "handed"):
        with pytest.raises(UsageError):
            export_to("onnx-full", sources["float"], target)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years"


@pytest.mark.parametrize("change", ["an edited file", "a file more", "a link more", "a damaged record"])
def test_an_export_that_somebody_changed_is_kept(change: str, sources: dict[str, Artifact], tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_to("triton", sources["float"], out)
    (config,) = out.rglob("config.pbtxt")
    if change == "an edited file":
        config.write_text(config.read_text() + "# of mine\n")
    elif change == "a file more":
        (config.parent / "2").mkdir()
        (config.parent / "2" / "model.onnx").write_bytes(b"of mine")
    elif change == "a link more":
        (out / "model").symlink_to(tmp_path)
    else:
        (out / "handover.json").write_text("{")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match=r"not as densecast wrote it|cannot be read") as error:
        export_to("triton", sources["float"], out)
    assert error.value.field == "out"
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_an_export_of_another_model_or_for_another_receiver_is_kept(
    sources: dict[str, Artifact], tmp_path: Path
) -> None:
    export_to("triton", sources["float"], tmp_path / "models", ExportToOptions(name="first"))
    with pytest.raises(UsageError, match="holds first for triton, not second for triton"):
        export_to("triton", sources["float"], tmp_path / "models", ExportToOptions(name="second"))
    with pytest.raises(UsageError, match="holds first for triton, not first for onnx-full"):
        export_to("onnx-full", sources["float"], tmp_path / "models", ExportToOptions(name="first"))
    assert (tmp_path / "models" / "first" / "config.pbtxt").is_file()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"slide": Slide((8, 8), (4, 4))}, "sliding windows"),
        ({"resize": FitCentre(SIZE_HW), "to_image": "nearest_labels", "mean": (120.5, 110.0, 100.0)}, "bytes cannot"),
        ({"value_range": (0.0, 4095.0)}, "more than 8 bits"),
        ({"resize": KeepRatio(64, 32)}, "--height and --width"),
        ({"resize": Letterbox(SIZE_HW)}, "shifted"),
    ],
)
def test_what_one_graph_cannot_hold_is_refused_in_words(change: dict[str, object], told: str, tmp_path: Path) -> None:
    keys = dict(change)
    decode = SegmentationDecode(to_image=keys.pop("to_image", "bilinear_logits"))  # type: ignore[arg-type]
    described = spec(decode)
    slide = keys.pop("slide", None)
    rule = replace(described.preprocess, **keys)  # type: ignore[arg-type]
    resize = Native() if slide else rule.resize
    described = replace(described, preprocess=replace(rule, resize=resize), slide=slide)  # type: ignore[arg-type]
    source = exported(tmp_path, coarse(), described)
    receiver = "model-api" if told == "shifted" else "ovms"
    with pytest.raises(UsageError, match=told):
        export_to(receiver, source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_line_says_what_goes_in_and_comes_out(sources: dict[str, Artifact], tmp_path: Path) -> None:
    out, given = tmp_path / "out", sources["openvino"].folder
    ended = densecast("export-to", "triton", given, "--out", out, "--licence", "MIT")
    assert ended.code == 0, ended.err
    assert "in: image uint8 [" in ended.out and "out: class_id uint8 [" in ended.out
    assert "--format" in failed(2, "export-to", "hf", given, "--out", tmp_path / "a", "--format", "onnx")
    assert "--precision" in failed(2, "export-to", "hf", given, "--out", tmp_path / "b", "-p", "int8")
    assert "exported artifact" in failed(2, "export-to", "onnx-full", given, "--out", tmp_path / "c")
    assert "Did you mean" in failed(2, "export-to", "tritn", given, "--out", tmp_path / "d")
    assert "'a/b'" in failed(2, "export-to", "ovms", given, "--out", tmp_path / "f", "--name", "a/b")
    assert "--height" in failed(2, "export-to", "hf", given, "--out", tmp_path / "e", "--height", "25", "--width", "40")


def test_a_build_of_bytes_is_compared_by_bytes(sources: dict[str, Artifact], tmp_path: Path) -> None:
    built = build(sources["float"], tmp_path / "bytes", BuildOptions("onnxruntime", uint8_input=True))
    found = export_to("onnx-full", built, tmp_path / "out")
    assert found.agreement.difference < 1e-3
