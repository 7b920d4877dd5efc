"""Byte for byte what the references print, and read back from what they print."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from densecast.errors import BadInputError
from densecast.io import vendor_formats
from densecast.io.vendor_formats import AscendStages
from densecast.verbs.handoff import info_file
from densecast.verbs.handoff.info_file import Entry

# ModelZoo-PyTorch, FCN-8s README: perf_vision_batchsize_1_device_0.txt and _16_.
BATCH_1 = """\
[e2e] throughputRate: 14.2564, latency: 101639
[data read] throughputRate: 24.7255, moduleLatency: 40.444
[preprocess] throughputRate: 22.102, moduleLatency: 45.2448
[infer] throughputRate: 14.3682, Interface throughputRate: 16.2017, moduleLatency: 69.2286
[post] throughputRate: 14.368, moduleLatency: 69.5993
"""
BATCH_16 = """\
[e2e] throughputRate: 13.459, latency: 107660
[data read] throughputRate: 23.5047, moduleLatency: 42.5446
[preprocess] throughputRate: 21.4117, moduleLatency: 46.7034
[infer] throughputRate: 13.5517, Interface throughputRate: 15.4271, moduleLatency: 73.3405
[post] throughputRate: 0.850975, moduleLatency: 1175.12
"""
STAGES_1 = AscendStages(14.2564, 101639, 24.7255, 40.444, 22.102, 45.2448, 14.3682, 16.2017, 69.2286, 14.368, 69.5993)
STAGES_16 = AscendStages(
    13.459, 107660, 23.5047, 42.5446, 21.4117, 46.7034, 13.5517, 15.4271, 73.3405, 0.850975, 1175.12
)
PURE = """\
-----------------PureInfer Performance Summary------------------
[INFO] ave_throughputRate: 16.2574samples/s, ave_latency: 61.5162ms
----------------------------------------------------------------
"""


@pytest.mark.parametrize(("text", "stages"), [(BATCH_1, STAGES_1), (BATCH_16, STAGES_16)])
def test_the_five_lines_are_those_of_the_reference(text: str, stages: AscendStages) -> None:
    assert vendor_formats.ascend_stages(stages) == text
    assert vendor_formats.read_performance(text) == asdict(stages)


def test_the_first_line_of_the_references_second_example_is_read_too() -> None:
    assert vendor_formats.read_performance(f"[{BATCH_16}") == asdict(STAGES_16)


def test_large_numbers_are_written_as_the_tool_writes_them() -> None:
    # DPN131's file in the same collection: `latency: 1.38295e+06`.
    values = asdict(STAGES_1) | {"e2e_total_ms": 1382950.4}
    text = vendor_formats.ascend_stages(AscendStages(**values))
    assert text.startswith("[e2e] throughputRate: 14.2564, latency: 1.38295e+06\n")
    assert vendor_formats.read_performance(text)["e2e_total_ms"] == 1382950


def test_pure_inference_is_that_of_the_reference() -> None:
    assert vendor_formats.ascend_pure(16.2574, 61.5162) == PURE
    assert vendor_formats.read_performance(PURE) == {"pure_per_s": 16.2574, "pure_ms": 61.5162}
    assert vendor_formats.read_performance("ave_throughputRate = 155.975samples/s, ave_latency = 6.42435ms") == {
        "pure_per_s": 155.975,
        "pure_ms": 6.42435,
    }


def test_files_are_named_as_the_tool_names_them() -> None:
    assert vendor_formats.ascend_file(16, 1) == "perf_vision_batchsize_16_device_1.txt"
    assert vendor_formats.ascend_pure_file("fcn_bs1", 0) == "PureInfer_perf_of_fcn_bs1_in_device_0.txt"


@pytest.mark.parametrize(
    ("line", "rate"),
    [
        (
            "[INFO] throughput 1000*batchsize.mean(1)/NPU_compute_time.mean(0.661): 1512.8592735267011",
            1512.8592735267011,
        ),
        ("[INFO] throughput 1000*batchsize(16)/NPU_compute_time.mean(21.94005001068115): 729.2599", 729.2599),
        ("[INFO] throughput (1000*batchsize/NPU_compute_time): 171.5691219234638", 171.5691219234638),
    ],
)
def test_what_ais_bench_prints_is_read(line: str, rate: float) -> None:
    compute = "[INFO] NPU_compute_time (ms): min = 0.66, max = 0.67, mean = 0.661, median = 0.6610000133514404, per"
    found = vendor_formats.read_performance(f"{compute}centile(99%) = 0.66\n{line}\n")
    assert found == {"npu_compute_mean_ms": 0.661, "npu_compute_median_ms": 0.6610000133514404, "compute_per_s": rate}


@pytest.mark.parametrize(
    "line",
    ["Throughput (qps):   47.1693", "Throughput (qps): 47.1693 with total batch sizes: 800 and 5 iterations/second"],
)
def test_what_both_ages_of_mm_run_print_is_read(line: str) -> None:
    assert vendor_formats.read_performance(f"Throughput (qps): 1\n  {line}\n") == {"mm_run_qps": 47.1693}


@pytest.mark.parametrize(
    "text", ["", "hello", "[e2e] throughputRate: 1.2.3, latency: -", "[x] throughputRate: 1, latency: 2"]
)
def test_what_is_no_number_of_a_tool_is_left_out(text: str) -> None:
    assert vendor_formats.read_performance(text) == {}


def test_info_lines_are_the_references_and_come_back(tmp_path: Path) -> None:
    # The example in get_info.py's documentation.
    entry = Entry("./bin_save/000000184384.bin", (512, 512))
    assert list(info_file.lines([entry, entry]))[1] == "1 ./bin_save/000000184384.bin 512 512\n"
    path = tmp_path / "inputs.info"
    path.write_text("".join(info_file.lines([Entry("./a.bin", (375, 500))])), encoding="utf-8")
    assert path.read_bytes() == b"0 ./a.bin 500 375\n"
    assert list(info_file.read(path)) == [Entry("./a.bin", (375, 500))]


def test_photographs_are_numbered_from_0_within_each_ending() -> None:
    names = ("b.JPG", "a.jpg", "c.jpeg", "d.jpg", "e.png")
    found = list(info_file.image_lines(Entry(name, (2, 3)) for name in names))
    assert found == ["0 a.jpg 3 2\n", "1 d.jpg 3 2\n", "0 c.jpeg 3 2\n", "0 b.JPG 3 2\n", "0 e.png 3 2\n"]


@pytest.mark.parametrize("text", ["0 a.bin 5\n", "x a.bin 5 5\n", "0 a.bin -5 5\n", "0 a b.bin 5 5\n"])
def test_a_damaged_list_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.info").write_text(text, encoding="utf-8")
    with pytest.raises(BadInputError, match=r"x\.info:1"):
        list(info_file.read(tmp_path / "x.info"))
