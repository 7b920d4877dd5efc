"""Command lines for the vendors' tools, as the reference deployments used them."""

from __future__ import annotations

from typing import Any

from densecast.errors import UsageError
from densecast.io import vendor_formats as compiler
from densecast.spec.model import ModelSpec
from densecast.spec.precision import Precision
from densecast.verbs.handoff.package import CALIBRATION, GRAPH, INPUT_LIST, INPUTS

Sizes = list[tuple[int, int]]
CALIBRATION_CONFIG = "amct_config.json"


def atc(spec: ModelSpec, precision: Precision, soc: str, sizes_hw: Sizes) -> str:
    """The command of Ascend's compiler."""
    name = om_name(spec, precision)
    graph = f"amct/{name}_deploy_model.onnx" if precision == "qint8_mixed_float16" else GRAPH
    return " ".join(["atc", *map(_quoted, compiler.arguments(graph, name, spec.input, precision, soc, sizes_hw))])


def amct(spec: ModelSpec, precision: Precision, sizes_hw: Sizes) -> str:
    """The command of Ascend's quantiser, on the bins of `calibration/`.

    Raises:
        UsageError: inputs of several sizes, which it does not take.
    """
    if len(sizes_hw) > 1:
        raise UsageError(
            "amct_onnx calibrates one size: say height and width, or export with a variant of a fixed size.",
            field="height",
        )
    shape = ",".join(map(str, (_batch(spec), 3, *sizes_hw[0])))
    return (
        f"amct_onnx calibration --model={GRAPH} --save_path=amct/{om_name(spec, precision)} "
        f'--input_shape="{spec.input.name}:{shape}" --data_dir={CALIBRATION} --data_types={spec.input.dtype} '
        f"--calibration_config={CALIBRATION_CONFIG}"
    )


def amct_config(batches: int) -> dict[str, Any]:
    """AMCT's configuration: the number of batches of bins to read."""
    return {"version": 1, "batch_num": batches, "activation_offset": True}


def benchmark_tool(spec: ModelSpec, precision: Precision, sizes_hw: Sizes, device: int = 0) -> str:
    """Ascend's benchmark tool over the list of inputs: `result/dumpOutput_device<D>` and the five-line file."""
    height, width = sizes_hw[0]
    return (
        f"./benchmark.$(uname -m) -model_type=vision -om_path={om_name(spec, precision)}.om -device_id={device} "
        f"-batch_size={_batch(spec)} -input_text_path={INPUT_LIST} -input_width={width} -input_height={height} "
        "-useDvpp=false -output_binary=true"
    )


def pure_inference(spec: ModelSpec, precision: Precision, device: int = 0) -> str:
    """The benchmark tool on random data, 20 rounds."""
    name = om_name(spec, precision)
    return f"./benchmark.$(uname -m) -round=20 -om_path={name}.om -device_id={device} -batch_size={_batch(spec)}"


def ais_bench(spec: ModelSpec, precision: Precision, sizes_hw: Sizes, device: int = 0) -> str:
    """The benchmark tool's successor: `result/<date>/<stem>_<k>.bin`, k from 0."""
    gears = " --auto_set_dymdims_mode 1" if len(sizes_hw) > 1 else ""
    return (
        f"python3 -m ais_bench --model {om_name(spec, precision)}.om --input {INPUTS} --output result --outfmt BIN "
        f"--batchsize {_batch(spec)} --device {device}{gears}"
    )


def mm_run(spec: ModelSpec, precision: Precision, sizes_hw: Sizes, device: int = 0) -> str:
    """Cambricon's benchmark tool, as in the reference deployments: a thousand iterations."""
    dims = ",".join(map(str, (_batch(spec), 3, *sizes_hw[0])))
    return (
        f"mm_run --magicmind_model {om_name(spec, precision)}.mm --iterations 1000 --batch_size {_batch(spec)} "
        f"--input_dims {dims} --devices {device}"
    )


def om_name(spec: ModelSpec, precision: Precision) -> str:
    """The compiled file's name without suffix: `<model>_<precision>_bs<batch>`."""
    return f"{spec.name}_{precision}_bs{_batch(spec)}"


def _batch(spec: ModelSpec) -> int:
    batch = spec.input.shape[0]
    assert isinstance(batch, int), "a handoff has one batch size"
    return batch


def _quoted(argument: str) -> str:
    """The value in double quotes if a shell would interpret it."""
    name, _, value = argument.partition("=")
    return f'{name}="{value}"' if ":" in value or ";" in value else argument
