"""The page for those who come from other tools: complete, and every command and option it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
import typer

from densecast.cli import app

PAGE = Path(__file__).parents[2] / "docs" / "migrating.md"

# The references' own argument lists: python_common's README, mm_run's help, the tools' documentation.
ARGUMENTS = {
    "gen_model": """input_dims batch_size rgb2bgr mlu_arch cluster_num precision means vars toolchain_path input_layout
        output_layout dim_range_min dim_range_max build_config dynamic_shape computation_preference
        type64to32_conversion conv_scale_fold device_id random_calib_range file_list
        calibration_data_path calibration rpc_server
        calibration_algo
        weight_quant_granularity activation_quant_algo symmetric_quant input_dtypes output_dtypes magicmind_model
        plugin_path tf_mode pt_model input_width input_height
        output_model calib_data_path device device_type tf_pb input_names
        output_names pytorch_pt pt_input_dtypes onnx prototxt caffemodel image_dir""",
    "infer_python": """magicmind_model eval out device_id batch_size backend img_num image_dir output_dir file_list
        image_num shape_mutable save_img data_folder ref_folder
        output_folder classes scale validation mask-threshold""",
    "mm_run": """magicmind_model input_dims batch_size run_config input_files output_path plugin devices threads
        bind_cluster warmup duration iterations disable_data_copy host_async buffer_depth infer_depth kernel_capture
        trace_path debug_path perf_path trace_pmu trace_time avg_runs""",
    "atc": """framework model output input_format input_shape soc_version log out_nodes output_type insert_op_conf
        precision_mode precision_mode_v2 dynamic_batch_size dynamic_image_size dynamic_dims op_select_implmode
        optypelist_for_implmode keep_dtype modify_mixlist customize_dtypes fusion_switch_file enable_small_channel
        save_path data_dir data_types calibration_config""",
    "benchmark": """model_type om_path device_id batch_size input_text_path input_width input_height useDvpp
        output_binary round image_folder_path split bin_folder_path bin_data_path test_annotation img_dir ann_dir
        net_input_width net_input_height file_type file_path info_name width height""",
    "test": """config checkpoint work-dir aug-test out format-only eval show show-dir gpu-collect gpu-id tmpdir options
        cfg-options eval-options launcher opacity local_rank type data_root img_dir ann_dir seg_map_suffix split
        reduce_zero_label ignore_index""",
    "pytorch2onnx": """config checkpoint input-img show verify output-file opset-version shape rescale_shape cfg-options
        dynamic-export""",
    "deploy": """deploy_cfg model_cfg checkpoint img test-img work-dir calib-dataset-cfg device log-level show dump-info
        quant quant-image-dir uri""",
}


def sections() -> dict[str, dict[str, str]]:
    """By the tool's name, densecast's cell of every argument."""
    found: dict[str, dict[str, str]] = {}
    for block in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        rows = [line.strip("| ").split(" | ") for line in block.splitlines() if line.startswith("| `")]
        found[re.findall(r"`(\w+)`", block)[0]] = {row[0].strip("`").lstrip("-"): row[-1] for row in rows}
    return found


def commands() -> dict[str, set[str]]:
    """Every command's options, by its words."""

    def walk(command: click.Command, words: str) -> dict[str, set[str]]:
        subs = getattr(command, "commands", None)
        if subs is None:
            return {words: {each for parameter in command.params for each in parameter.opts}}
        found: dict[str, set[str]] = {}
        for name, each in subs.items():
            found |= walk(each, f"{words} {name}".strip())
        return found

    return walk(typer.main.get_command(app), "")


@pytest.mark.parametrize("tool", ARGUMENTS)
def test_every_argument_of_the_references_is_on_the_page(tool: str) -> None:
    assert not set(ARGUMENTS[tool].split()) - set(sections()[tool])


def test_every_name_of_densecast_on_the_page_exists() -> None:
    known = commands()
    checked = 0
    for tool, rows in sections().items():
        for argument, cell in rows.items():
            said = re.findall(r"`(densecast [^`]+)`", cell)
            assert said or cell.startswith("–"), f"{tool} {argument}: neither a command nor a reason"
            for command in said:
                words = command.split()[1:]
                verb = " ".join(words[: 2 if words[0] == "handoff" else 1])
                assert verb in known, command
                missing = {word for word in words if word.startswith("-")} - known[verb]
                assert not missing, f"{tool} {argument}: {verb} has no {missing}"
                checked += 1
    assert checked > 60
