"""What tuning makes of timings that are given: int8 or 16 bits, and in which words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_artifacts
import whole_graphs
from made_images import write_jpeg
from plain_backend import PlainBackend

from densecast import plugins
from densecast.artifact import Artifact, CompiledArtifact
from densecast.artifact.half_type_record import HalfTypeRecord
from densecast.artifact.tune_record import ABTiming, Rate, Trial
from densecast.backends._base import BACKENDS
from densecast.runtime.cpu_load import CpuLoad
from densecast.spec.options import BuildOptions, InputShape
from densecast.spec.verb_options import TuneOptions
from densecast.verbs.builder import tune_benchmark
from densecast.verbs.builder.tune import tune
from densecast.verbs.builder.tune_benchmark import LoadedSetting

INT8 = BuildOptions("plain", "qint8_mixed_float16", InputShape((1,), 24, 40))
FP16 = BuildOptions("plain", "force_float16", InputShape((1,), 24, 40))
UNSURE = (0.6, 2.0)
# One inference at a time: the 16-bit type, the graph pass, float32; the scheme, the graph pass; int8 at last.
ORDER = [
    "bf16 instead of f16",
    "with constant_pool_branch",
    "float32 instead",
    "symmetric int8 ranges",
    "with constant_pool_branch",
    "int8 instead",
]
NOTHING_GAINED = [1.0, 1.0, 0.5, 1.0, 1.0]


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PlainBackend]:
    monkeypatch.setenv("DENSECAST_CACHE", str(tmp_path / "cache"))
    with plugins.apart():
        backend = PlainBackend()
        BACKENDS.register("plain", backend)
        yield backend


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return tiny_artifacts.exported(tmp_path_factory.mktemp("pooled"), whole_graphs.pooled())


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for index in range(6):
        write_jpeg(folder / f"{index}.jpg", (48, 80), index)
    return folder


@pytest.fixture
def ratios(monkeypatch: pytest.MonkeyPatch) -> list[float | tuple[float, float]]:
    """Timings have these ratios, one after another, then 1; two numbers are the spread of one that tells nothing."""
    scripted: list[float | tuple[float, float]] = []

    def benchmark(baseline: LoadedSetting, candidate: LoadedSetting) -> ABTiming:
        next_one = scripted.pop(0) if scripted else 1.0
        low, high = next_one if isinstance(next_one, tuple) else (next_one, next_one)
        ratio = next_one if isinstance(next_one, float) else 1.4
        return ABTiming(Rate(1.0, 1000.0), Rate(ratio, 1000 / ratio), ratio, (low, high), 5)

    monkeypatch.setattr(tune_benchmark, "benchmark", benchmark)
    return scripted


def trials_of(built: CompiledArtifact) -> tuple[Trial, ...]:
    assert built.manifest.tuning is not None
    return built.manifest.tuning.trials


@pytest.mark.parametrize(
    ("last", "keep", "taken", "why"),
    [
        (1.3, False, True, "int8 is 1.30 times as fast as the best build without it"),
        (1.05, False, True, "int8 is 1.05 times as fast as the best build without it"),
        (
            1.04,
            False,
            False,
            "int8 is 1.04 times as fast as the best build without it, "
            "and 1.05 times were needed to be worth its loss of accuracy",
        ),
        (0.7, True, True, "int8 is 0.70 times as fast as the best build without it; used all the same, as requested"),
        (
            UNSURE,
            False,
            False,
            "whether int8 is faster could not be decided: the spread of rounds, 0.60 to 2.00",
        ),
        (
            UNSURE,
            True,
            True,
            "whether int8 is faster could not be decided: the spread of rounds, 0.60 to 2.00",
        ),
    ],
)
def test_int8_is_taken_where_it_is_worth_its_loss_or_wanted_all_the_same(
    last: float | tuple[float, float],
    keep: bool,
    taken: bool,
    why: str,
    plain: PlainBackend,
    source: Artifact,
    images: Path,
    tmp_path: Path,
    ratios: list[float | tuple[float, float]],
) -> None:
    told: list[tuple[str, int, int]] = []
    ratios[:] = [*NOTHING_GAINED, last]
    built = tune(
        source,
        tmp_path / "built",
        INT8,
        TuneOptions(keep_int8=keep),
        data=images,
        threads=1,
        progress=lambda *each: told.append(each),
    )
    record = built.manifest.tuning
    assert record is not None and record.why.startswith(why)
    assert record.why.endswith("used all the same, as requested") == (keep and taken)
    assert [trial.what for trial in record.trials] == ORDER
    assert told == [(what, place + 1, len(ORDER)) for place, what in enumerate(ORDER)]
    assert built.manifest.build is not None
    assert built.manifest.build.precision == ("qint8_mixed_float16" if taken else "force_float16")
    assert built.manifest.precision_asked == "qint8_mixed_float16" and (built.manifest.fallback is None) == taken
    # Trials are calibrated on four images, what is built in the end on all.
    calibrated = [len(job.calibration) for job in plain.jobs if job.options.precision == "qint8_mixed_float16"]
    assert calibrated == [4] * 3 + ([6] if taken else [])


def test_a_faster_scheme_and_graph_pass_are_what_int8_is_built_with(
    plain: PlainBackend, source: Artifact, images: Path, tmp_path: Path, ratios: list[float | tuple[float, float]]
) -> None:
    ratios[:] = [1.0, 1.0, 0.5, 1.2, 1.1, 1.3]
    built = tune(source, tmp_path / "built", INT8, data=images, threads=1)
    build = built.manifest.build
    assert build is not None and build.quantize.activations == "symmetric" and build.graph_passes is not None
    assert "constant_pool_branch" in build.graph_passes
    trials = trials_of(built)
    assert trials[-1].baseline == trials[0].baseline and trials[-1].setting.activations == "symmetric"


@pytest.mark.parametrize(
    ("keep", "precision", "why"),
    [
        (False, "force_float16", "int8 was not measured, so it is not known to be faster"),
        (True, "qint8_mixed_float16", "int8 as requested: it was not measured against 16 bits"),
    ],
)
def test_int8_that_could_not_be_measured_is_what_was_asked_for_or_not_known_to_be_faster(
    keep: bool, precision: str, why: str, plain: PlainBackend, source: Artifact, images: Path, tmp_path: Path
) -> None:
    options = TuneOptions(keep_int8=keep, seconds=1e-9)
    built = tune(source, tmp_path / "built", INT8, options, data=images, threads=1)
    assert built.manifest.build is not None and built.manifest.build.precision == precision
    record = built.manifest.tuning
    assert record is not None and record.why.startswith(why) and not record.finished
    assert record.why.endswith("; the time was up before all was measured")


def test_trials_that_noise_left_open_are_named_once_and_counted(
    plain: PlainBackend, source: Artifact, images: Path, tmp_path: Path, ratios: list[float | tuple[float, float]]
) -> None:
    ratios[:] = [UNSURE, UNSURE, 0.5, 1.0, UNSURE, 1.3]
    record = tune(source, tmp_path / "built", INT8, data=images, threads=1).manifest.tuning
    assert record is not None
    first, second, third = record.why.split("; ")
    assert first == "int8 is 1.30 times as fast as the best build without it"
    assert second.startswith("'bf16 instead of f16' could not be decided") and third == "so 2 more"


def test_overflowing_halves_are_left_for_what_has_numbers(
    plain: PlainBackend, source: Artifact, tmp_path: Path, ratios: list[float | tuple[float, float]]
) -> None:
    plain.overflows = ["bf16"]
    first = trials_of(tune(source, tmp_path / "tuned_a", FP16, threads=1))[0]
    assert (first.accepted, first.timing, first.why) == (False, None, "its outputs are no numbers")
    plain.overflows = ["f16"]
    first = trials_of(tune(source, tmp_path / "tuned_b", FP16, threads=1))[0]
    assert (first.accepted, first.timing) == (True, None)
    assert first.why == "the outputs of the best so far are no numbers"


def test_an_engine_of_one_inference_at_a_time_is_not_timed_with_two(
    plain: PlainBackend, source: Artifact, tmp_path: Path, ratios: list[float | tuple[float, float]]
) -> None:
    plain.most_at_once = 1
    ratios[:] = [5.0] * 9
    trials = trials_of(tune(source, tmp_path / "a", FP16, threads=2))
    assert trials[0].what == "2 inferences at a time" and not trials[0].accepted
    assert trials[0].why == "this backend runs one inference at a time" and trials[0].timing is None
    plain.most_at_once = 2
    assert trials_of(tune(source, tmp_path / "b", FP16, threads=2))[0].accepted


def test_a_type_that_is_missing_is_told_and_the_search_goes_on(
    plain: PlainBackend, source: Artifact, tmp_path: Path, ratios: list[float | tuple[float, float]]
) -> None:
    plain.lacks = ["bf16"]
    first, *others = trials_of(tune(source, tmp_path / "a", FP16, threads=1))
    assert first.timing is None and not first.accepted and "halves" in first.why
    assert others and all(each.timing is not None for each in others)


@pytest.mark.parametrize("untuned", ["bf16", "f16"])
def test_a_type_that_load_left_open_is_that_of_a_build_that_is_not_tuned(
    untuned: str, plain: PlainBackend, source: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rate, load = Rate(1.0, 1.0), CpuLoad(0.9, 5.0, 5.0)
    timing = ABTiming(rate, rate, 1.5, (1.4, 1.6), 15, (1.3, 1.7), 1.5, load)
    monkeypatch.setattr(tune_benchmark, "benchmark", lambda *_: timing)
    plain.half_type = HalfTypeRecord(untuned, "bf16", "as scripted", decided=True)
    built = tune(source, tmp_path / "built", FP16, TuneOptions("latency"), threads=1)
    record = built.manifest.tuning
    assert record is not None and record.winner.half_type == untuned
    first, *others = record.trials
    assert first.accepted == (untuned == "bf16") and not any(each.accepted for each in others)
    assert first.why.endswith("; taken as by a build that is not tuned") == (untuned == "bf16")
    assert not list((tmp_path / "cache").glob("tuning/*"))


def test_the_folder_of_a_tuned_build_says_what_it_holds_and_what_was_asked_for(
    plain: PlainBackend, tmp_path: Path, ratios: list[float | tuple[float, float]]
) -> None:
    source = tiny_artifacts.exported(tmp_path, whole_graphs.pooled())
    ratios[:] = [1.0, 1.0, 0.9]
    assert tune(source, None, FP16, threads=1).folder.name == "tiny__fp16__24x40__b1__plain__tuned"
    ratios[:] = [1.0, 1.0, 0.99]
    bytes_in = replace(FP16, uint8_input=True)
    assert tune(source, None, bytes_in, threads=1).folder.name == "tiny__fp32__24x40__b1__plain__tuned_from_fp16"


def test_a_failure_in_one_of_several_streams_is_not_lost(plain: PlainBackend, source: Artifact, tmp_path: Path) -> None:
    from densecast.runtime.execution import ExecutionConfig
    from densecast.verbs.builder import build

    built = build(source, tmp_path / "built", FP16)
    runner = plain.load(built, ExecutionConfig(1, 1))
    loaded = LoadedSetting(runner, 2, 1)
    assert loaded.seconds(1) > 0 and loaded.images(3) == 6
    LoadedSetting(runner, 1, 1).close()
    with pytest.raises(AttributeError):  # it is closed, in both threads
        loaded.seconds(1)
