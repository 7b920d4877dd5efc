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
from made_pictures import write_jpeg

from densecast.artifact import Artifact
from densecast.artifact.tune_record import Duel, Rate, Trial, TuneOptions
from densecast.errors import UsageError
from densecast.spec.options import BuildOptions, InputShape, Range
from densecast.spec.precision import PrecisionRan
from densecast.spec.tensor import Feeds, TensorSpec
from densecast.verbs.builder import tune_duel
from densecast.verbs.builder.tune import tune
from densecast.verbs.builder.tune_duel import Side

FP16 = BuildOptions("openvino", "force_float16", InputShape((1, 2), 24, 40))
INT8 = BuildOptions("openvino", "qint8_mixed_float16", InputShape((1,), 24, 40))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DENSECAST_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def source(tmp_path: Path) -> Artifact:
    return tiny_artifacts.exported(tmp_path, whole_graphs.pooled())


@pytest.fixture
def duels(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Duels come out with these ratios, one after another, then with 1; measured ones are counted by what is left."""
    ratios: list[float] = []

    def fight(champion: Side, challenger: Side) -> Duel:
        assert champion is not challenger
        ratio = ratios.pop(0) if ratios else 1.0
        return Duel(Rate(1.0, 1000.0), Rate(ratio, 1000 / ratio), ratio, (ratio, ratio), 5)

    monkeypatch.setattr(tune_duel, "fight", fight)
    return ratios


def told(artifact: Artifact) -> dict[str, Trial]:
    assert artifact.manifest.tuning is not None
    return {trial.what: trial for trial in artifact.manifest.tuning.trials}


def test_each_choice_is_against_the_best_before_it(source: Artifact, tmp_path: Path, duels: list[float]) -> None:
    duels[:] = [1.5, 1.2, 1.3, 0.4, 1.01]
    built = tune(source, tmp_path / "tuned", FP16, threads=2)
    record = built.manifest.tuning
    assert record is not None and record.finished
    assert [trial.taken for trial in record.trials] == [True, True, True, False, False]
    assert list(told(built)) == [
        "2 inferences at a time",
        "bf16 instead of f16",
        "without constant_pool_branch",
        "float32 instead",
        "batch 2",
    ]
    for trial, after in zip(record.trials, record.trials[1:], strict=False):
        assert after.against == (trial.setting if trial.taken else trial.against)
    assert (record.winner.streams, record.winner.batch, record.winner.half_type) == (2, 1, "bf16")
    assert built.manifest.build is not None and built.manifest.build.half_type == "bf16"
    assert "constant_pool_branch" not in record.winner.graph_passes
    assert not any("taken out of convolutions" in note for note in built.manifest.passes)
    assert told(built)["batch 2"].why == "1.02 times were needed"


def test_float16_is_kept_unless_bfloat16_is_worth_its_mantissa(
    source: Artifact, tmp_path: Path, duels: list[float]
) -> None:
    duels[:] = [1.0, 1.05]
    built = tune(source, tmp_path / "tuned", FP16, threads=2)
    assert built.manifest.build is not None and built.manifest.build.half_type == "f16"


def test_float32_is_taken_where_sixteen_bits_bring_nothing(
    source: Artifact, tmp_path: Path, duels: list[float]
) -> None:
    duels[:] = [1.0, 1.0, 1.0, 0.99]
    built = tune(source, tmp_path / "tuned", FP16, threads=2)
    assert built.manifest.build is not None and built.manifest.build.precision == "force_float32"
    assert built.manifest.precision_asked == "force_float16"
    assert built.manifest.tuning is not None and built.manifest.fallback == built.manifest.tuning.why


def test_what_half_of_the_turns_deny_is_not_taken(
    source: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rate = Rate(1.0, 1.0)
    monkeypatch.setattr(tune_duel, "fight", lambda *_: Duel(rate, rate, 1.4, (0.6, 2.0), 5))
    record = tune(source, tmp_path / "tuned", FP16, threads=2).manifest.tuning
    assert record is not None and not any(trial.taken for trial in record.trials)
    assert "not clear" in record.trials[0].why


def test_for_latency_one_image_has_all_threads(source: Artifact, tmp_path: Path, duels: list[float]) -> None:
    duels[:] = [9.0] * 9
    record = tune(source, tmp_path / "tuned", FP16, TuneOptions("latency"), threads=2).manifest.tuning
    assert record is not None and (record.winner.streams, record.winner.batch) == (1, 1)


def test_nothing_is_measured_twice_and_a_search_goes_on_where_it_stopped(
    source: Artifact, tmp_path: Path, duels: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    duels[:] = [1.5, 1.2]
    scripted: Callable[[Side, Side], Duel] = tune_duel.fight
    held: list[Duel] = []

    def stops(champion: Side, challenger: Side) -> Duel:
        if len(held) == 2:
            raise KeyboardInterrupt
        held.append(scripted(champion, challenger))
        return held[-1]

    monkeypatch.setattr(tune_duel, "fight", stops)
    with pytest.raises(KeyboardInterrupt):
        tune(source, tmp_path / "tuned", FP16, threads=2)
    assert not (tmp_path / "tuned").exists()
    monkeypatch.setattr(tune_duel, "fight", scripted)
    first = tune(source, tmp_path / "tuned", FP16, threads=2)
    assert first.manifest.tuning is not None
    assert [trial.remembered for trial in first.manifest.tuning.trials] == [True, True, False, False, False]
    monkeypatch.setattr(tune_duel, "fight", lambda *_: pytest.fail("all was measured before"))
    again = tune(source, tmp_path / "tuned", FP16, threads=2)
    assert again.manifest == first.manifest


def test_when_the_time_is_up_the_rest_is_named_as_not_measured(
    source: Artifact, tmp_path: Path, duels: list[float]
) -> None:
    record = tune(source, tmp_path / "tuned", FP16, TuneOptions(seconds=1e-9), threads=2).manifest.tuning
    assert record is not None and not record.finished and "time was up" in record.why
    assert {trial.why for trial in record.trials} == {"the time was up"}
    assert all(trial.duel is None and not trial.taken for trial in record.trials)
    with pytest.raises(UsageError, match="--time-budget"):
        TuneOptions(seconds=0)


def test_what_an_engine_lacks_is_said_and_the_search_goes_on(
    source: Artifact, tmp_path: Path, duels: list[float]
) -> None:
    options = BuildOptions("onnxruntime", "force_float16", InputShape((1,), 24, 40))
    built = tune(source, tmp_path / "tuned", options, threads=1)
    assert "no bfloat16" in told(built)["bf16 instead of f16"].why
    assert told(built)["float32 instead"].duel is not None


@pytest.mark.quantize
@pytest.mark.parametrize(("ratio", "keep", "taken"), [(1.3, False, True), (1.04, False, False), (0.7, True, True)])
def test_int8_has_to_be_faster_unless_it_is_wanted_all_the_same(
    ratio: float, keep: bool, taken: bool, source: Artifact, tmp_path: Path, duels: list[float]
) -> None:
    pytest.importorskip("nncf")
    for index in range(5):
        write_jpeg(tmp_path / "images" / f"{index}.jpg", (48, 80), index)
    # One inference at a time; the type, the rewriting, float32; the scheme, the rewriting; int8 at last.
    duels[:] = [1.0, 1.0, 0.5, 1.0, 1.0, ratio]
    asked = TuneOptions(keep_int8=keep)
    built = tune(source, tmp_path / "tuned", INT8, asked, data=tmp_path / "images", threads=1)
    record = built.manifest.tuning
    assert record is not None and f"{ratio:.2f} times as fast" in record.why
    assert list(told(built))[-1] == "int8 instead"
    assert built.manifest.precision_asked == "qint8_mixed_float16"
    assert built.manifest.build is not None and (built.manifest.build.precision == "qint8_mixed_float16") == taken
    assert (built.manifest.fallback is None) == taken
    if taken:
        # Trials are calibrated on a few images, the winner on all.
        assert built.manifest.calibration is not None and built.manifest.calibration.count == 5


class Clocked:
    """Takes 2 ms a call and 1 ms more for each image, on a clock that stands still otherwise."""

    input = TensorSpec("image", "float32", (1, 3, 8, 8))
    batch_sizes = None
    precision = PrecisionRan("float32", {}, "")
    now_s = 0.0
    turn = threading.Lock()

    def __init__(self) -> None:
        self.streams: set[int] = set()

    def run(self, feeds: Feeds) -> Feeds:
        return self.run_in(0, feeds)

    def run_in(self, stream: int, feeds: Feeds) -> Feeds:
        with Clocked.turn:
            self.streams.add(stream)
            Clocked.now_s += 0.002 + 0.001 * len(feeds["image"])
        return {"logits": np.zeros(1)}

    def close(self) -> None:
        self.streams.clear()


def test_a_duel_compares_images_over_time_with_every_stream_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune_duel, "time", SimpleNamespace(perf_counter=lambda: Clocked.now_s))
    one, two = Clocked(), Clocked()
    duel = tune_duel.fight(Side(one, one.input, 1, 1), Side(two, two.input, 2, 4))
    assert (one.streams, two.streams) == ({0}, {0, 1})
    # 1 image in 3 ms; 4 images in 6 ms twice, one stream after the other on this clock: 8 in 12 ms.
    assert duel.ratio == pytest.approx(2) and duel.quartiles == pytest.approx((2, 2))
    assert duel.champion.images_per_s == pytest.approx(1 / 0.003)
    assert duel.challenger.images_per_s == pytest.approx(8 / 0.012)


def test_powers_of_two_of_a_range_are_the_batches_tried(source: Artifact, tmp_path: Path, duels: list[float]) -> None:
    options = BuildOptions("openvino", "force_float32", InputShape(Range(1, 5), 24, 40))
    built = tune(source, tmp_path / "tuned", options, threads=1)
    assert [what for what in told(built) if what.startswith("batch")] == ["batch 2", "batch 4"]


def test_the_command_line_tells_what_was_measured_and_refuses_what_does_not_go_together(
    source: Artifact, tmp_path: Path, duels: list[float]
) -> None:
    duels[:] = [1.5, *[0.9] * 9]
    shape = ["--height", "24", "--width", "40"]
    result = densecast("build", str(source.folder), "--tune", *shape, "--json", str(tmp_path / "tuned.json"), "-q")
    assert result.code == 0, result.err
    assert "bf16 instead of f16" in result.out and "the fastest of what was measured" in result.out
    plain = json.loads((tmp_path / "tuned.json").read_text())
    assert plain["tuning"]["trials"][0]["duel"]["ratio"] == 1.5
    assert Artifact.open(Path(plain["artifact"])).manifest.precision_asked == "force_float16"
    for wrong, why in (
        (["--tune", "--max-drop", "1"], "two searches"),
        (["--keep-int8"], "--tune"),
        (["--tune", "--goal", "speed"], "goal"),
        (["--rewrite", "split_dilated_conv"], "split_dilated_convs"),
    ):
        result = densecast("build", str(source.folder), *shape, *wrong)
        assert result.code == 2 and why in result.err


def test_rewritings_are_applied_by_name_or_not_at_all(source: Artifact, tmp_path: Path) -> None:
    def passes(name: str) -> str:
        out = tmp_path / name
        result = densecast("build", str(source.folder), "--out", str(out), "--height", "24", "--rewrite", name, "-q")
        assert result.code == 0, result.err
        return " ".join(Artifact.open(out).manifest.passes)

    assert "taken out of convolutions" in passes("constant_pool_branch")
    assert "drop_outside_taps not applied: every tap falls on its map" in passes("drop_outside_taps")
    assert "applied" not in passes("none") and "taken out" not in passes("none")


def test_without_a_folder_the_name_says_what_is_in_it_and_what_was_asked(source: Artifact, duels: list[float]) -> None:
    beside = source.folder.parent
    duels[:] = [1.0, 1.0, 1.0, 0.9]
    kept = tune(source, None, FP16, threads=2)
    assert kept.folder == beside / "tiny__fp16__24x40__b1-2__openvino__tuned"
    duels[:] = [1.0, 1.0, 1.0, 0.99]
    other = tune(source, None, replace(FP16, uint8_input=True), threads=2)
    assert other.folder == beside / "tiny__fp32__24x40__b1-2__openvino__tuned_from_fp16"


def test_a_fall_back_is_said_plainly_where_a_folder_was_named(
    source: Artifact, tmp_path: Path, duels: list[float]
) -> None:
    duels[:] = [1.0, 1.0, 1.0, 0.99]
    shape = ["--height", "24", "--width", "40", "--batch", "1"]
    out = tmp_path / "my_int8_model"
    ended = densecast("build", source.folder, "--tune", "-p", "fp16", *shape, "--out", out, "-q")
    assert ended.code == 0, ended.err
    assert "Holds fp32, not the fp16 that was asked: " in ended.out
    write_jpeg(tmp_path / "photo.jpg", (48, 80), 1)
    ended = densecast(
        "benchmark", out, tmp_path / "photo.jpg", "--count", "1", "--seconds", "0", "--json", tmp_path / "b.json", "-q"
    )
    assert ended.code == 0, ended.err
    precision = json.loads((tmp_path / "b.json").read_text())["precision"]
    assert (precision["asked"], precision["ran"]) == ("force_float16", "float32")
