"""Arguments and report formats of vendor tools: Ascend's `atc` and benchmark, Cambricon's builder and `mm_run`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from densecast.spec.handoff_options import MluArch
from densecast.spec.precision import Precision
from densecast.spec.tensor import TensorSpec

# ATC's name of each precision; int8 layers come with the graph that AMCT has written, the rest is as in float16.
PRECISION_MODES: dict[Precision, str] = {
    "force_float32": "must_keep_origin_dtype",
    "force_float16": "force_fp16",
    "qint8_mixed_float16": "force_fp16",
}
_ONNX = 5


def arguments(
    model: str, output: str, spec: TensorSpec, precision: Precision, soc: str, sizes_hw: Sequence[tuple[int, int]]
) -> list[str]:
    """All arguments of `atc`; `output` is without `.om`. Several input sizes become gears of `--dynamic_dims`.

    >>> spec = TensorSpec("input", "float32", (1, 3, 500, 500))
    >>> arguments("m.onnx", "m_bs1", spec, "force_float16", "Ascend310", [(500, 500)])[4]
    '--input_shape=input:1,3,500,500'
    """
    one = len(sizes_hw) == 1
    size = ",".join(map(str, sizes_hw[0] if one else (-1, -1)))
    gears = [f"--dynamic_dims={';'.join(f'{height},{width}' for height, width in sizes_hw)}"]
    return [
        f"--framework={_ONNX}",
        f"--model={model}",
        f"--output={output}",
        f"--input_format={'NCHW' if one else 'ND'}",
        f"--input_shape={spec.name}:{spec.shape[0]},{spec.shape[1]},{size}",
        *([] if one else gears),
        f"--precision_mode={PRECISION_MODES[precision]}",
        "--log=error",
        f"--soc_version={soc}",
    ]


# Visible clusters by architecture, as `gen_model` sets them; mtp_372 is the MLU370.
MLU_CLUSTERS: dict[MluArch, list[int]] = {"mtp_372": [2, 6, 8], "tp_322": [1], "mtp_592": [1]}


def builder_config(
    spec: TensorSpec, precision: Precision, sizes_hw: Sequence[tuple[int, int]], arch: MluArch = "mtp_372"
) -> dict[str, Any]:
    """The keys of `gen_model`'s configuration; several sizes become a dynamic shape that spans them.

    There is no `insert_bn_before_firstnode`: a network that takes bytes has its normalisation in its graph already, and
    would be normalised twice.
    """
    precision_config = {"precision_mode": str(precision)}
    if precision == "qint8_mixed_float16":
        precision_config |= {"weight_quant_granularity": "per_tensor", "activation_quant_algo": "symmetric"}
    config: dict[str, Any] = {
        "archs": [{arch: MLU_CLUSTERS[arch]}],
        "precision_config": precision_config,
        "graph_shape_mutable": len(sizes_hw) > 1,
        "computation_preference": "fast",
        "opt_config": {"type64to32_conversion": True, "conv_scale_fold": True},
    }
    if len(sizes_hw) > 1:
        heights, widths = zip(*sizes_hw, strict=True)
        low, high = ([spec.shape[0], 3, side(heights), side(widths)] for side in (min, max))
        config["dim_range"] = {"0": {"min": low, "max": high}}
    return config


_RULE = "-" * 64
_NUMBER = r"([-+0-9.eE]+)"
_STAGES = {
    "e2e": ("e2e_per_s", None, "e2e_total_ms"),
    "data read": ("read_per_s", None, "read_ms"),
    "preprocess": ("preprocess_per_s", None, "preprocess_ms"),
    "infer": ("infer_per_s", "interface_per_s", "infer_ms"),
    "post": ("post_per_s", None, "post_ms"),
}
_LINE = re.compile(
    # FCN-8s' own README has `[[e2e]` in its example of batch 16.
    rf"^\[\[?(?P<stage>[a-z0-9 ]+)\] throughputRate: {_NUMBER}(?:, Interface throughputRate: {_NUMBER})?,? "
    rf"(?:latency|moduleLatency): ?{_NUMBER}\s*$",
    re.MULTILINE,
)
_PURE = re.compile(rf"ave_throughputRate(?::|\s=) {_NUMBER}samples/s, ave_latency(?::|\s=) {_NUMBER}ms")
_QPS = re.compile(rf"Throughput \(qps\):\s*{_NUMBER}")
_AIS = re.compile(rf"NPU_compute_time \(ms\): min = {_NUMBER}, max = {_NUMBER}, mean = {_NUMBER}, median = {_NUMBER}")
_AIS_RATE = re.compile(rf"^.*throughput \(?1000\*batchsize[^:]*: {_NUMBER}\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class AscendStages:
    """Figures of Ascend's benchmark tool over a data set: rates per second, and milliseconds.

    Rates count images, but that of `post`, which counts batches. `e2e_total_ms` is the whole run's time; the others are
    those of one call: of an image, and in `post` of a batch. `interface_per_s` counts the execute call alone.
    """

    e2e_per_s: float
    e2e_total_ms: float
    read_per_s: float
    read_ms: float
    preprocess_per_s: float
    preprocess_ms: float
    infer_per_s: float
    interface_per_s: float
    infer_ms: float
    post_per_s: float
    post_ms: float


def ascend_stages(stages: AscendStages) -> str:
    """The five lines of `perf_vision_batchsize_<B>_device_<D>.txt`."""
    return (
        f"[e2e] throughputRate: {stages.e2e_per_s:g}, latency: {stages.e2e_total_ms:g}\n"
        f"[data read] throughputRate: {stages.read_per_s:g}, moduleLatency: {stages.read_ms:g}\n"
        f"[preprocess] throughputRate: {stages.preprocess_per_s:g}, moduleLatency: {stages.preprocess_ms:g}\n"
        f"[infer] throughputRate: {stages.infer_per_s:g}, Interface throughputRate: {stages.interface_per_s:g}, "
        f"moduleLatency: {stages.infer_ms:g}\n"
        f"[post] throughputRate: {stages.post_per_s:g}, moduleLatency: {stages.post_ms:g}\n"
    )


def ascend_pure(samples_per_s: float, sample_ms: float) -> str:
    """`PureInfer_perf_of_<model>_in_device_<D>.txt`: both figures are of one sample, whatever the batch."""
    return (
        "-----------------PureInfer Performance Summary------------------\n"
        f"[INFO] ave_throughputRate: {samples_per_s:g}samples/s, ave_latency: {sample_ms:g}ms\n"
        f"{_RULE}\n"
    )


def ascend_file(batch: int, device: int) -> str:
    """The name of the five-line file."""
    return f"perf_vision_batchsize_{batch}_device_{device}.txt"


def ascend_pure_file(model: str, device: int) -> str:
    """The name of the other one."""
    return f"PureInfer_perf_of_{model}_in_device_{device}.txt"


def read_performance(text: str) -> dict[str, float]:
    """Parse the output of any of the tools into figures by name and unit; empty if nothing is recognised.

    Of Ascend's benchmark tool the fields of `AscendStages`, or `pure_per_s` and `pure_ms`; of ais_bench
    `npu_compute_mean_ms`, `npu_compute_median_ms` and `compute_per_s` (samples over compute time alone); of mm_run
    `mm_run_qps` (samples over wall time), the last one where there are several.
    """
    figures: dict[str, float] = {}
    for match in _LINE.finditer(text):
        names = _STAGES.get(match["stage"])
        if names is None:
            continue
        for name, value in zip(names, match.groups()[1:], strict=True):
            _put(figures, name, value)
    if pure := _PURE.search(text):
        _put(figures, "pure_per_s", pure[1])
        _put(figures, "pure_ms", pure[2])
    if ais := _AIS.search(text):
        _put(figures, "npu_compute_mean_ms", ais[3])
        _put(figures, "npu_compute_median_ms", ais[4])
    if rate := _AIS_RATE.search(text):
        _put(figures, "compute_per_s", rate[1])
    if rates := _QPS.findall(text):
        _put(figures, "mm_run_qps", rates[-1])
    return figures


def _put(figures: dict[str, float], name: str | None, value: str | None) -> None:
    """Store a figure; text that looks like a number but is not (`1.2.3`) is skipped."""
    if name is None or value is None:
        return
    try:
        figures[name] = float(value)
    except ValueError:
        return
