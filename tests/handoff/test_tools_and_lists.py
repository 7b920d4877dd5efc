"""The vendors' tools: their folders, figures and commands, and the lists and sizes that a handoff is made of."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx.parser
import pytest
import tiny_specs
from made_images import write_jpeg

from densecast.errors import BadArtifactError, BadDatasetError, BadGraphError, BadInputError, UsageError
from densecast.io import vendor_formats
from densecast.spec.preprocess import FitInto, Preprocess, Stretch
from densecast.spec.sample import Sample
from densecast.spec.tensor import TensorSpec
from densecast.verbs.handoff import commands, device_graph, info_file, input_sizes, output_stage, package, tool_outputs

DATED = "2024_01_02-03_04_05"


def folders(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).mkdir(parents=True)
    return root


@pytest.mark.parametrize(
    ("below", "named", "found", "tool"),
    [
        ((), "benchmark", "", "benchmark"),
        (("dumpOutput_device0",), None, "dumpOutput_device0", "benchmark"),
        ((DATED, "other"), None, DATED, "ais_bench"),
        ((DATED, "dumpOutput_device12"), "ais_bench", DATED, "ais_bench"),
        ((DATED, "dumpOutput_device12"), "benchmark", "dumpOutput_device12", "benchmark"),
        ((f"{DATED}_7",), None, f"{DATED}_7", "ais_bench"),
        (("other",), "ais_bench", "", "ais_bench"),
    ],
)
def test_outputs_are_found_by_how_their_tool_names_them(
    tmp_path: Path, below: tuple[str, ...], named: str | None, found: str, tool: str
) -> None:
    outputs = tool_outputs.find(folders(tmp_path, *below), named)
    assert (outputs.folder, outputs.tool) == (tmp_path / found, tool)
    assert outputs.path("a") == tmp_path / found / f"a_{1 if tool == 'benchmark' else 0}.bin"


def test_a_folder_of_its_tools_own_name_is_taken_as_it_is(tmp_path: Path) -> None:
    own = folders(tmp_path, f"{DATED}/dumpOutput_device0") / DATED
    assert tool_outputs.find(own) == tool_outputs.ToolOutputs(own, "ais_bench")
    assert tool_outputs.find(own, "benchmark").tool == "benchmark"
    assert not tool_outputs.find(own).is_simulated and "whatever the tool ran on" in tool_outputs.find(own).hardware
    (own / "SIMULATED").touch()
    assert tool_outputs.find(own).is_simulated and "neither a device's outputs" in tool_outputs.find(own).hardware


@pytest.mark.parametrize(
    ("below", "named", "words"),
    [
        ((), None, "Name the tool that wrote it"),
        (("dumpOutput_device", "2024_1_2-03_04_05"), None, "Name the tool that wrote it"),
        (("dumpOutput_device0", DATED), None, f"holds several outputs: {DATED}, dumpOutput_device0. Name one"),
        (("dumpOutput_device0", "dumpOutput_device1"), "benchmark", "holds several outputs"),
        ((), "trtexec", "trtexec"),
    ],
)
def test_what_tells_no_tool_or_several_is_refused(
    tmp_path: Path, below: tuple[str, ...], named: str | None, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        tool_outputs.find(folders(tmp_path, *below), named)
    with pytest.raises(UsageError, match="is no folder"):
        tool_outputs.find(tmp_path / "none", None)


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("int64", 8), ("uint8", 1)])
def test_an_output_is_read_in_its_type_and_shape_or_not_at_all(tmp_path: Path, dtype: str, size: int) -> None:
    values = np.arange(6, dtype=dtype).reshape(1, 2, 3)
    path = tmp_path / "a.bin"
    path.write_bytes(values.astype(np.dtype(dtype).newbyteorder("<")).tobytes())
    spec = TensorSpec("y", dtype, (1, 2, 3))  # type: ignore[arg-type]
    found = tool_outputs.read(path, spec, (1, 2, 3))
    np.testing.assert_array_equal(found, values)
    assert found.dtype == np.dtype(dtype)
    for wrong in ((1, 2, 4), (1, 2)):
        with pytest.raises(
            BadInputError, match=rf"a\.bin: {6 * size} bytes; {dtype} .* has {int(np.prod(wrong)) * size}\."
        ):
            tool_outputs.read(path, spec, wrong)
    with pytest.raises(BadInputError, match="cannot be read"):
        tool_outputs.read(tmp_path / "none.bin", spec, (1, 2, 3))


def test_figures_of_summaries_are_numbers_and_nothing_else(tmp_path: Path) -> None:
    summary = {"throughput": 12.5, "NPU_compute_time": {"mean": 3, "median": 2.5, "max": 9}, "other": 1}
    written = {
        "a.json": json.dumps(summary),
        "b.json": json.dumps({**summary, "throughput": "fast", "NPU_compute_time": [1]}),
        "c.json": "[1]",
        "d.json": "{",
        "e.txt": "Throughput (qps): 7.5",
        "f.txt": "nothing",
    }
    for name, text in written.items():
        (tmp_path / name).write_text(text)
    found = tool_outputs.performance([tmp_path / name for name in written])
    assert found == {
        "a.json": {"compute_per_s": 12.5, "npu_compute_mean_ms": 3.0, "npu_compute_median_ms": 2.5},
        "e.txt": {"mm_run_qps": 7.5},
    }
    with pytest.raises(BadInputError, match="cannot be read"):
        tool_outputs.performance([tmp_path / "none.txt"])


def test_files_of_figures_beside_outputs_are_those_of_the_tools(tmp_path: Path) -> None:
    own = folders(tmp_path, DATED) / DATED
    # Made in no order of names: a system lists what is in a folder as it likes.
    devices = [f"perf_vision_batchsize_1_device_{number}.txt" for number in (4, 0, 7, 2, 6, 1, 5, 3)]
    for name in (*devices, "PureInfer_perf_of_m.txt", f"{DATED}_summary.json", "x.txt"):
        (tmp_path / name).touch()
    (tmp_path / f"{DATED}_sumary.json").mkdir()
    names = [path.name for path in tool_outputs.performance_files(tool_outputs.find(own))]
    assert names == [*sorted(devices), "PureInfer_perf_of_m.txt", f"{DATED}_summary.json"]


def test_items_are_read_in_order_and_a_line_that_is_cut_off_ends_them(tmp_path: Path) -> None:
    assert list(package.items(tmp_path)) == []
    items = [package.Item("a b", "a_b", (4, 6)), package.Item("c", "c", (1, 2))]
    text = "".join(map(package.item_line, items))
    (tmp_path / package.ITEMS).write_text(text + '["d", "d", [1')
    assert list(package.items(tmp_path)) == items
    for wrong in ("x", "[1]", '["a", "b", 3]', '["a", "../b", [1, 2]]', '[1, "b", [1, 2]]', '["a", 2, [1, 2]]'):
        (tmp_path / package.ITEMS).write_text(f"{text}{wrong}\n")
        with pytest.raises(BadArtifactError, match=r"items\.jsonl:3 is no image of it"):
            list(package.items(tmp_path))


def test_file_names_are_unique_or_refused() -> None:
    assert package.stems(["a/b c", "x.1-2_3"]) == ["a_b_c", "x.1-2_3"]
    with pytest.raises(BadDatasetError, match="differ only in characters"):
        package.stems(["a/b", "a_b"])


def test_a_folder_that_is_no_finished_handoff_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(BadArtifactError, match="is no handoff: make one"):
        package.open_handoff(tmp_path)
    (tmp_path / package.ITEMS).touch()
    with pytest.raises(BadArtifactError, match="is not finished; run the same"):
        package.open_handoff(tmp_path)
    for text, words in (
        ('{"format": 3}', "has handoff format 3, this densecast reads 2"),
        ("{", "damaged handoff"),
        ("{}", "damaged"),
    ):
        (tmp_path / package.MANIFEST).write_text(text)
        with pytest.raises(BadArtifactError, match=words):
            package.open_handoff(tmp_path)


@pytest.mark.parametrize("line", ["0 a 1", "0 a 1 2 3", "x a 1 2", "0 a -1 2", "0 a 1 2.0", "\u0663 a 1 2"])
def test_a_line_of_a_list_has_four_parts(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.info").write_text(f"0 b 6 4\n{line}\n", encoding="utf-8")
    entries = info_file.read(tmp_path / "a.info")
    assert next(entries) == info_file.Entry("b", (4, 6))
    with pytest.raises(BadInputError, match=r"a\.info:2: not"):
        next(entries)


def test_lists_that_are_no_text_or_not_there_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.info").write_bytes(b"\xff\xfe\x00")
    for name, words in (("a.info", "not a text"), ("none.info", "cannot be read")):
        with pytest.raises(BadInputError, match=words):
            list(info_file.read(tmp_path / name))


def test_inputs_have_the_sizes_that_were_asked_for_or_that_images_lead_to(tmp_path: Path) -> None:
    images = [write_jpeg(tmp_path / f"{k}.jpg", size) for k, size in enumerate(((40, 24), (16, 32), (40, 25)))]
    samples = tuple(Sample(path.stem, path, path) for path in images)
    half = tiny_specs.segmentation()
    assert input_sizes.input_sizes(half, samples, None) == [(8, 16), (20, 12)]
    assert input_sizes.input_sizes(half, samples, (9, 9)) == [(9, 9)]
    for resize, size in ((Stretch((7, 9)), (7, 9)), (FitInto((8, 8), (0.0, 0.0, 0.0)), (8, 8))):
        fixed = replace(half, preprocess=Preprocess(resize))
        assert input_sizes.input_sizes(fixed, samples, None) == [size]
    one = input_sizes.fixed_spec(half, [(8, 16)], 4, uint8=True)
    assert (one.input.shape, one.input.dtype, one.output.shape[0]) == ((4, 3, 8, 16), "uint8", 4)
    several = input_sizes.fixed_spec(half, [(8, 16), (16, 8)], 2, uint8=False)
    assert several.input.shape[0] == 2 == several.output.shape[0] and not several.input.is_static
    assert several.input.dtype == "float32"


SPEC = input_sizes.fixed_spec(tiny_specs.segmentation(), [(8, 16)], 4, uint8=False)


def test_commands_name_the_batch_the_sizes_and_the_device() -> None:
    sizes = [(8, 16)]
    assert commands.om_name(SPEC, "force_float16") == "tiny_force_float16_bs4"
    assert "--model=amct/tiny_qint8_mixed_float16_bs4_deploy_model.onnx" in commands.atc(
        SPEC, "qint8_mixed_float16", "Ascend310", sizes
    )
    assert "--model=model.onnx" in commands.atc(SPEC, "force_float16", "Ascend310", sizes)
    assert '--input_shape="image:4,3,8,16"' in commands.amct(SPEC, "qint8_mixed_float16", sizes)
    with pytest.raises(UsageError, match="calibrates one size") as raised:
        commands.amct(SPEC, "qint8_mixed_float16", [(8, 16), (16, 8)])
    assert raised.value.field == "height"
    tool = commands.benchmark_tool(SPEC, "force_float16", sizes, 2)
    assert "-device_id=2" in tool and "-batch_size=4" in tool and "-input_width=16 -input_height=8" in tool
    assert "-device_id=0" in commands.benchmark_tool(SPEC, "force_float16", sizes)
    assert "-round=20" in commands.pure_inference(
        SPEC, "force_float16", 3
    ) and "-device_id=3" in commands.pure_inference(SPEC, "force_float16", 3)
    assert commands.ais_bench(SPEC, "force_float16", sizes, 1).endswith("--batchsize 4 --device 1")
    assert commands.ais_bench(SPEC, "force_float16", [*sizes, (16, 8)]).endswith("--device 0 --auto_set_dymdims_mode 1")
    assert "--input_dims 4,3,8,16 --devices 0" in commands.mm_run(SPEC, "force_float16", sizes)
    assert commands.amct_config(7) == {"version": 1, "batch_num": 7, "activation_offset": True}


def test_several_sizes_are_gears_of_one_model_and_a_range_of_the_other() -> None:
    sizes = [(8, 16), (16, 8), (12, 12)]
    arguments = vendor_formats.arguments("m", "o", SPEC.input, "force_float32", "Ascend310", sizes)
    assert "--input_format=ND" in arguments and "--input_shape=image:4,3,-1,-1" in arguments
    assert "--dynamic_dims=8,16;16,8;12,12" in arguments and "--precision_mode=must_keep_origin_dtype" in arguments
    config = vendor_formats.builder_config(SPEC.input, "force_float16", sizes)
    assert config["dim_range"] == {"0": {"min": [4, 3, 8, 8], "max": [4, 3, 16, 16]}} and config["graph_shape_mutable"]
    one: dict[str, Any] = vendor_formats.builder_config(SPEC.input, "qint8_mixed_float16", sizes[:1], "tp_322")
    assert "dim_range" not in one and not one["graph_shape_mutable"] and one["archs"] == [{"tp_322": [1]}]
    assert one["precision_config"]["activation_quant_algo"] == "symmetric"


def graph(outputs: str = "float[n, 2, h, w] y") -> onnx.ModelProto:
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> g (float[n, 3, H, W] image) => ({outputs}) '
        "{ y = Conv <strides = [2, 2]> (image, w) z = Relu (y) f = Flatten (y) }"
    )
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((2, 3, 1, 1), np.float32), "w"))
    return model


def test_the_devices_output_is_known_by_name_type_and_shape() -> None:
    assert device_graph.output_at(graph(), SPEC.input, (8, 16)) == TensorSpec("y", "float32", (2, 4, 8))
    for outputs, words in (
        ("float[n, 2, h, w] y, float[n, 2, h, w] z", "has 2 outputs"),
        ("float[n, m] f", r"must be \(4, C, h, w\)"),
    ):
        with pytest.raises(BadGraphError, match=words):
            device_graph.output_at(graph(outputs), SPEC.input, (8, 16))


@pytest.mark.parametrize("form", ["int32", "int64"])
@pytest.mark.parametrize("aligned", [False, True])
def test_the_stage_that_makes_labels_is_taken_off_as_it_was_put_on(form: Any, aligned: bool) -> None:
    spec = replace(SPEC, decode=replace(SPEC.decode, align_corners=aligned))  # type: ignore[type-var]
    made = output_stage.add(graph(), spec, form)
    (value,) = made.graph.output
    assert [dim.dim_value for dim in value.type.tensor_type.shape.dim] == [4, 1, 8, 16]
    before, stage = output_stage.remove(made)
    assert stage == output_stage.ArgmaxStage((8, 16), aligned, form)
    assert [node.op_type for node in before.graph.node] == [node.op_type for node in graph().graph.node]
    with pytest.raises(BadArtifactError, match="does not end in the labels"):
        output_stage.remove(before)


def test_labels_are_of_segmentations_of_a_fixed_size() -> None:
    for spec, words in (
        (tiny_specs.multilabel(), "only segmentation has labels"),
        (tiny_specs.segmentation(), "labels need fixed sizes"),
    ):
        with pytest.raises(UsageError, match=words) as raised:
            output_stage.add(graph(), spec, "int32")
        assert raised.value.field == "output_form"


def test_notes_tell_only_what_was_changed() -> None:
    _, plain = device_graph.device_graph(graph(), SPEC, "logits")
    _, labels = device_graph.device_graph(graph(), SPEC, "int32")
    assert (
        not any("argmax" in note for note in plain)
        and "bilinear resize to the input's size and argmax as int32" in labels
    )
    assert not any("already" in note or note.startswith("no ") for note in plain), plain
