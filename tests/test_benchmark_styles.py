"""One measurement in other tools' words: their units, their definitions, read back by their readers."""

from __future__ import annotations

import pytest

from densecast.errors import UnknownNameError
from densecast.io.vendor_formats import read_performance
from densecast.results.timing import Timing
from densecast.runtime import machine
from densecast.verbs import benchmark_styles

SAMPLES = {
    "decode": (10.0,) * 8,
    "preprocess": (4.0,) * 8,
    "infer": (40.0, 60.0),
    "postprocess": (5.0,) * 8,
    "end_to_end": (140.0,) * 2,
}


def timing(batch: int = 4, *, random: bool = False) -> Timing:
    """Eight images in two calls of 50 ms on average; 8 images a second over all, 80 of inference alone."""
    samples = {"infer": SAMPLES["infer"]} if random else SAMPLES
    return Timing(samples, {}, 8, batch, 1, 2, "", 8.0, 80.0, 100.0, machine.describe())


def test_ascends_figures_are_by_its_definitions() -> None:
    made = benchmark_styles.styled(timing(), "ascend", "fcn_bs4", 1)
    assert read_performance(made.text) == {
        "e2e_per_s": 8.0,
        "e2e_total_ms": 1000.0,  # of the whole run
        "read_per_s": 100.0,
        "read_ms": 10.0,
        "preprocess_per_s": 250.0,
        "preprocess_ms": 4.0,
        "infer_per_s": 80.0,  # 100 ms for eight images
        "interface_per_s": 80.0,
        "infer_ms": 12.5,
        "post_per_s": 50.0,  # batches
        "post_ms": 20.0,
        "pure_per_s": 80.0,
        "pure_ms": 12.5,  # of a sample, not of a batch
    }
    five, pure = made.files
    assert five == "perf_vision_batchsize_4_device_1.txt" and len(made.files[five].splitlines()) == 5
    assert pure == "PureInfer_perf_of_fcn_bs4_in_device_1.txt" and len(made.files[pure].splitlines()) == 3


def test_mm_run_and_benchmark_app_count_images_and_trtexec_counts_calls() -> None:
    assert read_performance(benchmark_styles.styled(timing(), "mm_run", "m").text) == {"mm_run_qps": 80.0}
    mm_run = benchmark_styles.styled(timing(), "mm_run", "m").text
    assert "  Iterations: 2\n" in mm_run and "  Host Wall Time (s): 0.1\n" in mm_run  # 2 calls of 4 images, 80 a second
    app = benchmark_styles.styled(timing(), "benchmark_app", "m").text
    assert app.splitlines()[-1] == "[ INFO ] Throughput:   80.00 FPS"
    assert "[ INFO ] Count:            2 iterations" in app and "[ INFO ]    Median:        50.00 ms" in app
    lines = benchmark_styles.styled(timing(), "trtexec", "m").text.splitlines()
    assert lines[1] == "[I] Throughput: 20 qps"
    assert lines[2].startswith(
        "[I] Latency: min = 40 ms, max = 60 ms, mean = 50 ms, median = 50 ms, percentile(90%) = "
    )


def test_without_images_ascends_figures_are_those_of_pure_inference_alone() -> None:
    made = benchmark_styles.styled(timing(random=True), "ascend", "m", 2)
    assert read_performance(made.text) == {"pure_per_s": 80.0, "pure_ms": 12.5}
    assert list(made.files) == ["PureInfer_perf_of_m_in_device_2.txt"]


@pytest.mark.parametrize("style", ["mm_run", "trtexec", "benchmark_app"])
def test_inference_alone_needs_no_images(style: str) -> None:
    assert benchmark_styles.styled(timing(random=True), style, "m").text


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(UnknownNameError, match="trtexec"):
        benchmark_styles.check("trtexe")
