"""A vendor's device in the report: the tool's words and units, beside the nearest that was measured here."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import made_report
import pytest

from densecast import report
from densecast.errors import UsageError
from densecast.io import vendor_formats
from densecast.io.vendor_formats import AscendStages
from densecast.report import devices, markdown
from densecast.report.data import DeviceRow, Report

# ModelZoo-PyTorch, FCN-8s README, batch 1.
STAGES = AscendStages(14.2564, 101639, 24.7255, 40.444, 22.102, 45.2448, 14.3682, 16.2017, 69.2286, 14.368, 69.5993)


@pytest.fixture
def made(tmp_path: Path) -> Report:
    return made_report.report(tmp_path)


def device(made: Report, value: float = 0.98) -> DeviceRow:
    performance = {"perf_vision_batchsize_16_device_0.txt": asdict(STAGES), "mm_run.log": {"mm_run_qps": 47.1693}}
    score = replace(made.rows[0].score, value=value)
    return DeviceRow("ascend", "force_float16", 16, score, performance, made_report.HOSTILE)


def test_every_number_that_is_read_has_the_tools_name() -> None:
    texts = (
        vendor_formats.ascend_stages(STAGES),
        vendor_formats.ascend_pure(16.2574, 61.5162),
        "NPU_compute_time (ms): min = 0.66, max = 0.67, mean = 0.661, median = 0.662, percentile(99%) = 0.66\n"
        "[INFO] throughput 1000*batchsize(16)/NPU_compute_time.mean(21.9): 729.2\nThroughput (qps): 47.1\n",
    )
    names = {name for text in texts for name in vendor_formats.read_performance(text)}
    assert names == set(devices.FIGURES) and len(names) == 17


def test_the_tools_words_stand_beside_what_was_measured_here(made: Report, tmp_path: Path) -> None:
    whole = devices.added(made, device(made), "tiny")
    fastest = max((row for row in made.rows if row.asked == "force_float16"), key=lambda row: row.timing.images_per_s)
    ((heading, section),) = devices.sections(whole)
    assert heading == "ascend fp16, batch 16"
    assert {row[:4]: row[4:] for row in section.rows if row[4]} == {
        ("perf_vision_batchsize_16_device_0.txt", "[e2e] throughputRate", "14.2564", "images/s"): (
            "end to end, images/s",
            f"{fastest.timing.images_per_s:.1f}",
        ),
        ("perf_vision_batchsize_16_device_0.txt", "[data read] moduleLatency", "40.444", "ms an image"): (
            "decode, median ms",
            f"{fastest.timing.stages()['decode'].p50_ms:.2f}",
        ),
        ("perf_vision_batchsize_16_device_0.txt", "[preprocess] moduleLatency", "45.2448", "ms an image"): (
            "preprocess, median ms",
            f"{fastest.timing.stages()['preprocess'].p50_ms:.2f}",
        ),
        ("perf_vision_batchsize_16_device_0.txt", "[infer] Interface throughputRate", "16.2017", "images/s"): (
            "inference only, images/s",
            f"{fastest.timing.inference_only_per_s:.1f}",
        ),
        ("mm_run.log", "Throughput (qps)", "47.1693", "images/s"): (
            "inference only, images/s",
            f"{fastest.timing.inference_only_per_s:.1f}",
        ),
    }
    assert len(section.rows) == 12 and "-0.0076 to the first model" in section.sentences[0]
    report.write(whole, tmp_path)
    assert report.read(tmp_path) == whole
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert made_report.HOSTILE not in html and "[post] moduleLatency" in html and "ms a batch" in html
    assert "| [post] moduleLatency" in markdown.render(whole)
    assert "vendor" not in markdown.render(made)


def test_newer_results_take_the_place_of_older_ones_and_others_are_refused(made: Report) -> None:
    once = devices.added(made, device(made), "tiny")
    again = devices.added(once, device(made, 0.5), "tiny")
    assert [row.score.value for row in again.devices] == [0.5]
    both = devices.added(again, replace(device(made), batch=1), "tiny")
    assert [row.batch for row in both.devices] == [16, 1]
    with pytest.raises(UsageError, match="of other"):
        devices.added(made, device(made), "other")
    elsewhere = replace(device(made), score=replace(device(made).score, data=None))
    ((_, section),) = devices.sections(devices.added(made, elsewhere, "tiny"))
    assert "over other images" in section.sentences[0]
