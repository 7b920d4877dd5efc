"""Report sections with the speed that a vendor's tool measured, next to the closest measurement made here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from densecast.errors import UsageError
from densecast.report.data import DeviceRow, Report, Row
from densecast.report.reasons import Section
from densecast.spec.precision import short

Here = Literal["", "decode", "preprocess", "infer", "images_per_s", "inference_only_per_s"]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of a vendor's tool: its name and unit there, and the closest measurement made here."""

    words: str
    unit: str
    here: Here = ""


# By the names that `io.vendor_formats` and ais_bench's summary are read into. A batch's postprocessing and the whole
# run's time have nothing beside them: they are of other amounts of images than anything here.
FIGURES = {
    "e2e_per_s": Figure("[e2e] throughputRate", "images/s", "images_per_s"),
    "e2e_total_ms": Figure("[e2e] latency", "ms the whole run"),
    "read_per_s": Figure("[data read] throughputRate", "images/s"),
    "read_ms": Figure("[data read] moduleLatency", "ms an image", "decode"),
    "preprocess_per_s": Figure("[preprocess] throughputRate", "images/s"),
    "preprocess_ms": Figure("[preprocess] moduleLatency", "ms an image", "preprocess"),
    "infer_per_s": Figure("[infer] throughputRate", "images/s"),
    "interface_per_s": Figure("[infer] Interface throughputRate", "images/s", "inference_only_per_s"),
    "infer_ms": Figure("[infer] moduleLatency", "ms an image"),
    "post_per_s": Figure("[post] throughputRate", "batches/s"),
    "post_ms": Figure("[post] moduleLatency", "ms a batch"),
    "pure_per_s": Figure("PureInfer ave_throughputRate", "samples/s", "inference_only_per_s"),
    "pure_ms": Figure("PureInfer ave_latency", "ms a sample"),
    "compute_per_s": Figure("throughput 1000*batchsize/NPU_compute_time", "images/s", "inference_only_per_s"),
    "npu_compute_mean_ms": Figure("NPU_compute_time mean", "ms a call"),
    "npu_compute_median_ms": Figure("NPU_compute_time median", "ms a call", "infer"),
    "mm_run_qps": Figure("Throughput (qps)", "images/s", "inference_only_per_s"),
}


def added(report: Report, device: DeviceRow, model: str) -> Report:
    """The report with a device added, or with an existing device's figures replaced.

    Raises:
        UsageError: the report is of another model or metric than `device`, which is of `model`.
    """
    metric = report.rows[0].score.name
    if (model, device.score.name) != (report.spec.name, metric):
        raise UsageError(
            f"the report is of {report.spec.name} and {metric}, these results are of {model} and {device.score.name}."
        )
    others = [row for row in report.devices if _key(row) != _key(device)]
    return replace(report, devices=(*others, device))


def sections(report: Report) -> list[tuple[str, Section]]:
    """One section per device."""
    headed = []
    for device in report.devices:
        simulated = ", simulated" if device.is_simulated else ""
        heading = f"{device.device} {short(device.asked)}, batch {device.batch}{simulated}"
        row = _nearest(report, device)
        rows = [
            (file, *_reported(name, value), *_here(name, row))
            for file, values in device.performance.items()
            for name, value in values.items()
        ]
        beside = f"beside it {row.backend} {short(row.asked)} on this machine, batch {row.timing.batch}"
        header = ("file", "figure", "value", "unit", "here", "value here")
        whose = "The simulating CPU's speed" if device.is_simulated else "Speed as the vendor's tool reports it"
        sentences = (
            _score(report, device),
            f"{whose}, in the tool's words; {beside}. The tool reads inputs that were prepared before: its times hold "
            "no decoding of images.",
        )
        headed.append((heading, Section(heading, sentences, header, tuple(rows), "<<><<>")))
    return headed


def _key(row: DeviceRow) -> tuple[str, str, int, bool]:
    return row.device, row.asked, row.batch, row.is_simulated


def _nearest(report: Report, device: DeviceRow) -> Row:
    """The fastest model of the same precision, or of any precision if there is none."""
    same = [row for row in report.rows if row.asked == device.asked]
    return max(same or report.rows, key=lambda row: row.timing.inference_only_per_s)


def _score(report: Report, device: DeviceRow) -> str:
    score, first = device.score, report.rows[0].score
    if score.data is not None and score.data == first.data:
        change = f"{score.value - first.value:+.4f} to the first model above"
    else:
        change = "over other images than the models above"
    return f"{score.name} {score.value:.4f} over {score.count} images, {change}. Hardware: {device.hardware}."


def _reported(name: str, value: float) -> tuple[str, str, str]:
    figure = FIGURES.get(name, Figure(name, ""))
    return figure.words, f"{value:g}", figure.unit


def _here(name: str, row: Row) -> tuple[str, str]:
    here = FIGURES.get(name, Figure(name, "")).here
    if here == "images_per_s":
        return "end to end, images/s", f"{row.timing.images_per_s:.1f}"
    if here == "inference_only_per_s":
        return "inference only, images/s", f"{row.timing.inference_only_per_s:.1f}"
    summary = row.timing.stages().get(here)
    return (f"{here}, median ms", f"{summary.p50_ms:.2f}") if summary else ("", "")
