"""Tuning takes what it measured, remembers it, names what it left out, and keeps int8 only where that is fast."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_artifacts
import whole_graphs
from command_line import densecast
from made_images import write_jpeg

from densecast.artifact import Artifact
from densecast.artifact.half_type_record import HalfTypeRecord
from densecast.artifact.tune_record import ABTiming, Rate, Trial
from densecast.backends import _openvino_half_type
from densecast.errors import UsageError
from densecast.runtime import ab_timing
from densecast.runtime.cpu_load import CpuLoad
from densecast.spec.options import BuildOptions, InputShape, Range
from densecast.spec.precision import PrecisionRan
from densecast.spec.tensor import Feeds, TensorSpec
from densecast.spec.verb_options import TuneOptions
from densecast.verbs.builder import tune_benchmark
from densecast.verbs.builder.tune import tune
from densecast.verbs.builder.tune_benchmark import LoadedSetting

FP16 = BuildOptions("openvino", "force_float16", InputShape((1, 2), 24, 40))
INT8 = BuildOptions("openvino", "qint8_mixed_float16", InputShape((1,), 24, 40))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DENSECAST_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return tiny_artifacts.exported(tmp_path_factory.mktemp("pooled"), whole_graphs.pooled())


@pytest.fixture
def ratios(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Timings have these ratios, one after another, then 1; those that were measured are counted by what is left."""
    scripted: list[float] = []

    def benchmark(baseline: LoadedSetting, candidate: LoadedSetting) -> ABTiming:
        assert baseline is not candidate
        ratio = scripted.pop(0) if scripted else 1.0
        return ABTiming(Rate(1.0, 1000.0), Rate(ratio, 1000 / ratio), ratio, (ratio, ratio), 5)

    monkeypatch.setattr(tune_benchmark, "benchmark", benchmark)
    return scripted


def trials(artifact: Artifact) -> dict[str, Trial]:
    assert artifact.manifest.tuning is not None
    return {trial.what: trial for trial in artifact.manifest.tuning.trials}


@pytest.mark.slow
def test_each_choice_is_against_the_best_before_it(source: Artifact, tmp_path: Path, ratios: list[float]) -> None:
    ratios[:] = [1.5, 1.2, 1.3, 0.4, 1.01]
    built = tune(source, tmp_path / "tuned", FP16, threads=2)
    record = built.manifest.tuning
    assert record is not None and record.finished
    assert [trial.accepted for trial in record.trials] == [True, True, True, False, False]
    assert list(trials(built)) == [
        "2 inferences at a time",
        "bf16 instead of f16",
        "without constant_pool_branch",
        "float32 instead",
        "batch 2",
    ]
    for trial, after in zip(record.trials, record.trials[1:], strict=False):
        assert after.baseline == (trial.setting if trial.accepted else trial.baseline)
    assert (record.winner.streams, record.winner.batch, record.winner.half_type) == (2, 1, "bf16")
    assert built.manifest.build is not None and built.manifest.build.half_type == "bf16"
    assert "constant_pool_branch" not in record.winner.graph_passes
    assert not any("taken out of convolutions" in note for note in built.manifest.passes)
    assert trials(built)["batch 2"].why == "1.02 times were needed"


@pytest.mark.slow
def test_float16_is_kept_unless_bfloat16_is_worth_its_mantissa(
    source: Artifact, tmp_path: Path, ratios: list[float]
) -> None:
    ratios[:] = [1.0, 1.05]
    built = tune(source, tmp_path / "tuned", FP16, threads=2)
    assert built.manifest.build is not None and built.manifest.build.half_type == "f16"


@pytest.mark.slow
def test_float32_is_taken_where_sixteen_bits_bring_nothing(
    source: Artifact, tmp_path: Path, ratios: list[float]
) -> None:
    ratios[:] = [1.0, 1.0, 1.0, 0.99]
    built = tune(source, tmp_path / "tuned", FP16, threads=2)
    assert built.manifest.build is not None and built.manifest.build.precision == "force_float32"
    assert built.manifest.precision_asked == "force_float16"
    assert built.manifest.tuning is not None and built.manifest.fallback == built.manifest.tuning.why


@pytest.mark.slow
def test_what_half_of_the_rounds_deny_is_not_taken(
    source: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rate = Rate(1.0, 1.0)
    monkeypatch.setattr(tune_benchmark, "benchmark", lambda *_: ABTiming(rate, rate, 1.4, (0.6, 2.0), 5))
    record = tune(source, tmp_path / "tuned", replace(FP16, half_type="f16"), threads=2).manifest.tuning
    assert record is not None and not any(trial.accepted for trial in record.trials)
    assert "could not be decided: the spread of rounds, 0.60 to 2.00" in record.trials[0].why
    assert not record.trials[0].decided and "could not be decided" in record.why


@pytest.mark.slow
def test_for_latency_one_image_has_all_threads(source: Artifact, tmp_path: Path, ratios: list[float]) -> None:
    ratios[:] = [9.0] * 9
    record = tune(source, tmp_path / "tuned", FP16, TuneOptions("latency"), threads=2).manifest.tuning
    assert record is not None and (record.winner.streams, record.winner.batch) == (1, 1)


@pytest.mark.slow
def test_nothing_is_measured_twice_and_a_search_goes_on_where_it_stopped(
    source: Artifact, tmp_path: Path, ratios: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    ratios[:] = [1.5, 1.2]
    scripted: Callable[[LoadedSetting, LoadedSetting], ABTiming] = tune_benchmark.benchmark
    timings: list[ABTiming] = []

    def stops(baseline: LoadedSetting, candidate: LoadedSetting) -> ABTiming:
        if len(timings) == 2:
            raise KeyboardInterrupt
        timings.append(scripted(baseline, candidate))
        return timings[-1]

    monkeypatch.setattr(tune_benchmark, "benchmark", stops)
    with pytest.raises(KeyboardInterrupt):
        tune(source, tmp_path / "tuned", FP16, threads=2)
    assert not (tmp_path / "tuned").exists()
    monkeypatch.setattr(tune_benchmark, "benchmark", scripted)
    first = tune(source, tmp_path / "tuned", FP16, threads=2)
    assert first.manifest.tuning is not None
    assert [trial.from_cache for trial in first.manifest.tuning.trials] == [True, True, False, False, False]
    monkeypatch.setattr(tune_benchmark, "benchmark", lambda *_: pytest.fail("all was measured before"))
    again = tune(source, tmp_path / "tuned", FP16, threads=2)
    assert again.manifest == first.manifest


def test_when_the_time_is_up_the_rest_is_named_as_not_measured(
    source: Artifact, tmp_path: Path, ratios: list[float]
) -> None:
    record = tune(source, tmp_path / "tuned", FP16, TuneOptions(seconds=1e-9), threads=2).manifest.tuning
    assert record is not None and not record.finished and "time was up" in record.why
    assert {trial.why for trial in record.trials} == {"the time was up"}
    assert all(trial.timing is None and not trial.accepted for trial in record.trials)
    with pytest.raises(UsageError, match="time for tuning"):
        TuneOptions(seconds=0)


def test_what_an_engine_lacks_is_said_and_the_search_goes_on(
    source: Artifact, tmp_path: Path, ratios: list[float]
) -> None:
    options = BuildOptions("onnxruntime", "force_float16", InputShape((1,), 24, 40))
    built = tune(source, tmp_path / "tuned", options, threads=1)
    assert "no bfloat16" in trials(built)["bf16 instead of f16"].why
    assert trials(built)["float32 instead"].timing is not None


@pytest.mark.slow
@pytest.mark.quantize
@pytest.mark.parametrize(("ratio", "keep", "taken"), [(1.3, False, True), (1.04, False, False), (0.7, True, True)])
def test_int8_has_to_be_faster_unless_it_is_wanted_all_the_same(
    ratio: float, keep: bool, taken: bool, source: Artifact, tmp_path: Path, ratios: list[float]
) -> None:
    pytest.importorskip("nncf")
    for index in range(5):
        write_jpeg(tmp_path / "images" / f"{index}.jpg", (48, 80), index)
    # One inference at a time; the type, the graph pass, float32; the scheme, the graph pass; int8 at last.
    ratios[:] = [1.0, 1.0, 0.5, 1.0, 1.0, ratio]
    tune_options = TuneOptions(keep_int8=keep)
    built = tune(source, tmp_path / "tuned", INT8, tune_options, data=tmp_path / "images", threads=1)
    record = built.manifest.tuning
    assert record is not None and f"{ratio:.2f} times as fast" in record.why
    assert list(trials(built))[-1] == "int8 instead"
    assert built.manifest.precision_asked == "qint8_mixed_float16"
    assert built.manifest.build is not None and (built.manifest.build.precision == "qint8_mixed_float16") == taken
    assert (built.manifest.fallback is None) == taken
    if taken:
        # Trials are calibrated on a few images, the winner on all.
        assert built.manifest.calibration is not None and built.manifest.calibration.count == 5


class Clocked:
    """Takes 2 ms a call and 1 ms more for each image, on a clock that stands still otherwise."""

    inputs = (TensorSpec("image", "float32", (1, 3, 8, 8)),)
    outputs = (TensorSpec("logits", "float32", (1,)),)
    batch_sizes = None
    precision = PrecisionRan("float32", {}, "")
    max_concurrency = 2
    reuses_buffers = False
    now_s = 0.0
    one_at_a_time = threading.Lock()

    def __init__(self) -> None:
        self.slots: set[int] = set()

    def run(self, feeds: Feeds, slot: int = 0) -> Feeds:
        with Clocked.one_at_a_time:
            self.slots.add(slot)
            Clocked.now_s += 0.002 + 0.001 * len(feeds["image"])
        return {"logits": np.zeros(1)}

    def close(self) -> None:
        self.slots.clear()


def test_images_over_time_are_compared_with_every_stream_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (tune_benchmark, ab_timing):
        monkeypatch.setattr(
            module, "time", SimpleNamespace(perf_counter=lambda: Clocked.now_s, process_time=lambda: Clocked.now_s)
        )
    one, two = Clocked(), Clocked()
    timing = tune_benchmark.benchmark(LoadedSetting(one, 1, 1), LoadedSetting(two, 2, 4))
    assert (one.slots, two.slots) == ({0}, {0, 1})
    # 1 image in 3 ms; 4 images in 6 ms twice, one stream after the other on this clock: 8 in 12 ms.
    assert timing.ratio == pytest.approx(2) and timing.quartiles == pytest.approx((2, 2))
    assert timing.baseline.images_per_s == pytest.approx(1 / 0.003)
    assert timing.candidate.images_per_s == pytest.approx(8 / 0.012)


def test_powers_of_two_of_a_range_are_the_batches_tried_and_what_was_timed_beside_others_is_not_remembered(
    source: Artifact, tmp_path: Path, ratios: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = BuildOptions("openvino", "force_float32", InputShape(Range(1, 5), 24, 40))
    scripted: Callable[[LoadedSetting, LoadedSetting], ABTiming] = tune_benchmark.benchmark
    timings: list[ABTiming] = []

    def loaded_at_first(baseline: LoadedSetting, candidate: LoadedSetting) -> ABTiming:
        timing = scripted(baseline, candidate)
        timings.append(timing if timings else replace(timing, load=CpuLoad(0.9, 5.0, 5.0)))
        return timings[-1]

    monkeypatch.setattr(tune_benchmark, "benchmark", loaded_at_first)
    built = tune(source, tmp_path / "tuned", options, threads=1)
    assert len(list((tmp_path / "cache").glob("tuning/*"))) == len(timings) - 1 > 0
    assert [what for what in trials(built) if what.startswith("batch")] == ["batch 2", "batch 4"]


@pytest.mark.slow
def test_the_command_line_tells_what_was_measured_and_refuses_what_does_not_go_together(
    source: Artifact, tmp_path: Path, ratios: list[float]
) -> None:
    ratios[:] = [1.5, *[0.9] * 9]
    shape = ["--height", "24", "--width", "40"]
    result = densecast("build", str(source.folder), "--tune", *shape, "--json", str(tmp_path / "tuned.json"), "-q")
    assert result.code == 0, result.err
    assert "bf16 instead of f16" in result.out and "the fastest of what was measured" in result.out
    plain = json.loads((tmp_path / "tuned.json").read_text())
    assert plain["tuning"]["trials"][0]["timing"]["ratio"] == 1.5
    assert Artifact.open(Path(plain["artifact"])).manifest.precision_asked == "force_float16"
    for wrong, why in (
        (["--tune", "--max-drop", "1"], "two searches"),
        (["--keep-int8"], "--tune"),
        (["--tune", "--goal", "speed"], "goal"),
        (["--rewrite", "split_dilated_conv"], "split_dilated_convs"),
    ):
        result = densecast("build", str(source.folder), *shape, *wrong)
        assert result.code == 2 and why in result.err


def test_graph_passes_are_applied_by_name_or_not_at_all(source: Artifact, tmp_path: Path) -> None:
    def passes(name: str) -> str:
        out = tmp_path / name
        result = densecast("build", str(source.folder), "--out", str(out), "--height", "24", "--graph-pass", name, "-q")
        assert result.code == 0, result.err
        return " ".join(Artifact.open(out).manifest.passes)

    assert "taken out of convolutions" in passes("constant_pool_branch")
    assert "drop_outside_taps not applied: every tap falls on its map" in passes("drop_outside_taps")
    assert "applied" not in passes("none") and "taken out" not in passes("none")


@pytest.mark.slow
def test_without_a_folder_the_name_says_what_is_in_it_and_what_was_asked(source: Artifact, ratios: list[float]) -> None:
    beside = source.folder.parent
    ratios[:] = [1.0, 1.0, 1.0, 0.9]
    kept = tune(source, None, FP16, threads=2)
    assert kept.folder == beside / "tiny__fp16__24x40__b1-2__openvino__tuned"
    ratios[:] = [1.0, 1.0, 1.0, 0.99]
    other = tune(source, None, replace(FP16, uint8_input=True), threads=2)
    assert other.folder == beside / "tiny__fp32__24x40__b1-2__openvino__tuned_from_fp16"


@pytest.mark.slow
def test_a_fall_back_is_said_plainly_where_a_folder_was_named(
    source: Artifact, tmp_path: Path, ratios: list[float]
) -> None:
    ratios[:] = [1.0, 1.0, 1.0, 0.99]
    shape = ["--height", "24", "--width", "40", "--batch", "1"]
    out = tmp_path / "my_int8_model"
    ended = densecast("build", source.folder, "--tune", "-p", "fp16", *shape, "--out", out, "-q")
    assert ended.code == 0, ended.err
    assert "Holds fp32, not the fp16 that was requested: " in ended.out
    write_jpeg(tmp_path / "photo.jpg", (48, 80), 1)
    ended = densecast(
        "benchmark", out, tmp_path / "photo.jpg", "--count", "1", "--seconds", "0", "--json", tmp_path / "b.json", "-q"
    )
    assert ended.code == 0, ended.err
    precision = json.loads((tmp_path / "b.json").read_text())["precision"]
    assert (precision["asked"], precision["ran"]) == ("force_float16", "float32")


@pytest.mark.slow
@pytest.mark.parametrize("untuned", ["bf16", "f16"])
def test_under_load_nothing_is_taken_and_the_type_is_that_of_a_build_that_is_not_tuned(
    untuned: str, source: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rate, load = Rate(1.0, 1.0), CpuLoad(0.9, 5.0, 5.0)
    timing = ABTiming(rate, rate, 1.5, (1.4, 1.6), 15, (1.3, 1.7), 1.5, load)
    monkeypatch.setattr(tune_benchmark, "benchmark", lambda *_: timing)
    choice = HalfTypeRecord(untuned, "bf16", "as scripted", decided=True)
    monkeypatch.setattr(_openvino_half_type, "choose", lambda *_: choice)
    options = replace(FP16, shape=InputShape((1,), 24, 40))
    record = tune(source, tmp_path / "tuned", options, TuneOptions("latency"), threads=1).manifest.tuning
    assert record is not None and record.winner.half_type == untuned
    assert [trial.accepted for trial in record.trials] == [untuned == "bf16", *[False] * (len(record.trials) - 1)]
    assert all(not trial.decided for trial in record.trials)
    assert "could not be decided: other programs took 90 % of the CPUs" in record.why
    assert not list((tmp_path / "cache").glob("tuning/*"))
