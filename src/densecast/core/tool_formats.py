"""The texts in which the vendors' tools print their speed: written as they write them, and read back.

Ascend's two files carry C++'s default six significant digits, as the examples of ModelZoo-PyTorch's FCN-8s show.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

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
    rf"^\[(?P<stage>[a-z0-9 ]+)\] throughputRate: {_NUMBER}(?:, Interface throughputRate: {_NUMBER})?,? "
    rf"(?:latency|moduleLatency): ?{_NUMBER}\s*$",
    re.MULTILINE,
)
_PURE = re.compile(rf"ave_throughputRate(?::|\s=) {_NUMBER}samples/s, ave_latency(?::|\s=) {_NUMBER}ms")
_QPS = re.compile(rf"Throughput \(qps\):\s*{_NUMBER}")
_AIS = re.compile(rf"NPU_compute_time \(ms\): min = {_NUMBER}, max = {_NUMBER}, mean = {_NUMBER}, median = {_NUMBER}")
_AIS_RATE = re.compile(rf"^.*throughput \(?1000\*batchsize[^:]*: {_NUMBER}\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class AscendStages:
    """What Ascend's benchmark tool measures over a data set: rates a second, and milliseconds.

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


def ascend_stages(found: AscendStages) -> str:
    """The five lines of `perf_vision_batchsize_<B>_device_<D>.txt`."""
    return (
        f"[e2e] throughputRate: {found.e2e_per_s:g}, latency: {found.e2e_total_ms:g}\n"
        f"[data read] throughputRate: {found.read_per_s:g}, moduleLatency: {found.read_ms:g}\n"
        f"[preprocess] throughputRate: {found.preprocess_per_s:g}, moduleLatency: {found.preprocess_ms:g}\n"
        f"[infer] throughputRate: {found.infer_per_s:g}, Interface throughputRate: {found.interface_per_s:g}, "
        f"moduleLatency: {found.infer_ms:g}\n"
        f"[post] throughputRate: {found.post_per_s:g}, moduleLatency: {found.post_ms:g}\n"
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
    """What any of the tools printed, by name and unit; empty where nothing is known.

    Of Ascend's benchmark tool the fields of `AscendStages`, or `pure_per_s` and `pure_ms`; of ais_bench
    `npu_compute_mean_ms`, `npu_compute_median_ms` and `compute_per_s` (samples over compute time alone); of mm_run
    `mm_run_qps` (samples over wall time), the last one where there are several.
    """
    found: dict[str, float] = {}
    for match in _LINE.finditer(text):
        names = _STAGES.get(match["stage"])
        if names is None:
            continue
        for name, value in zip(names, match.groups()[1:], strict=True):
            _put(found, name, value)
    if pure := _PURE.search(text):
        _put(found, "pure_per_s", pure[1])
        _put(found, "pure_ms", pure[2])
    if ais := _AIS.search(text):
        _put(found, "npu_compute_mean_ms", ais[3])
        _put(found, "npu_compute_median_ms", ais[4])
    if rate := _AIS_RATE.search(text):
        _put(found, "compute_per_s", rate[1])
    if rates := _QPS.findall(text):
        _put(found, "mm_run_qps", rates[-1])
    return found


def _put(found: dict[str, float], name: str | None, value: str | None) -> None:
    """What looks like a number and is none (`1.2.3`) is left out."""
    if name is None or value is None:
        return
    try:
        found[name] = float(value)
    except ValueError:
        return
