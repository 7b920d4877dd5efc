"""Which images set int8 ranges and which way is taken, with an engine whose answers to each way are made up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import tiny_artifacts
from made_images import write_jpeg
from plain_backend import PlainBackend

from densecast import plugins
from densecast.artifact import Artifact, CalibrationRecord
from densecast.backends._base import BACKENDS, BuildJob, Built, CalibrationTrials, Traits
from densecast.errors import UsageError
from densecast.spec.options import ActivationScheme, BiasCorrection, BuildOptions, CalibrationMethod, QuantizeOptions
from densecast.spec.precision import PrecisionRan
from densecast.spec.tensor import Array, Feeds
from densecast.verbs.builder import build, calibration_methods, compile_plan

METHODS: tuple[CalibrationMethod, ...] = ("mean_minmax", "minmax", "percentile")
PIXELS = 100


def labels(changed: float) -> Array:
    """Logits (1, 2, 10, 10) whose winner is the second class at this share of the positions."""
    second = np.arange(PIXELS) < round(changed * PIXELS)
    return np.stack([~second, second]).astype(np.float32).reshape(1, 2, 10, 10)


def number(feeds: Feeds) -> int:
    return int(feeds["image"].flat[0])


@dataclass
class Tried(PlainBackend):
    """Compares methods in one pass; `changed` is what each way of quantising changes."""

    changed: dict[tuple[str, str], float] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    seen: list[list[int]] = field(default_factory=list)
    with_biases: list[bool] = field(default_factory=list)

    def activation_scheme(self, graph: Path) -> ActivationScheme:
        """Never the default."""
        return "symmetric"

    def calibration_trials(
        self, job: BuildJob, methods: Sequence[CalibrationMethod], *, with_biases: bool
    ) -> CalibrationTrials | None:
        """Itself."""
        assert tuple(methods) == self.traits.calibration_methods
        self.seen.append([number(feeds) for feeds in job.calibration])
        self.with_biases.append(with_biases)
        return self

    def float32(self, images: Sequence[Feeds]) -> list[Array]:
        """The first class everywhere."""
        self.seen.append([number(feeds) for feeds in images])
        return [labels(0) for _ in images]

    def int8(self, method: CalibrationMethod, bias: BiasCorrection, images: Sequence[Feeds]) -> list[Array]:
        """Another class at some positions."""
        assert [number(feeds) for feeds in images] == self.seen[-1]
        self.asked.append((method, bias))
        return [labels(self.changed[method, bias]) for _ in images]


@pytest.fixture
def tried() -> Iterator[Tried]:
    with plugins.apart():
        backend = Tried(Traits("numpy", calibration_methods=METHODS, corrects_biases=True, settles=True))
        backend.changed = {(method, "none"): 0.2 for method in METHODS}
        BACKENDS.register("plain", backend)
        yield backend


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return tiny_artifacts.exported(tmp_path_factory.mktemp("network"))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for index in range(6):
        write_jpeg(folder / f"{index}.jpg", (48, 64), index)
    return folder


def resolved(
    source: Artifact, images: Path, count: int, side: int = 8, **options: object
) -> tuple[BuildJob, CalibrationRecord]:
    """What is decided for so many images of one size, told apart by their values."""
    quantize = QuantizeOptions(**options)  # type: ignore[arg-type]
    plan = compile_plan.prepare(
        source,  # type: ignore[arg-type]
        images / "out",
        BuildOptions("plain", "qint8_mixed_float16", quantize=quantize),
        data=images,
    )
    feeds: list[Feeds] = [{"image": np.broadcast_to(np.float32(index), (1, 3, side, side))} for index in range(count)]
    assert plan.record is not None
    record = replace(plan.record, count=count, ids=tuple(map(str, range(count))))
    job, found = calibration_methods.resolve(replace(plan, feeds=feeds, record=record, images=()), images / "x.onnx")
    assert found is not None
    return job, found


def numbers(job: BuildJob) -> list[int]:
    return [number(feeds) for feeds in job.calibration]


def test_methods_are_compared_on_every_third_of_24_images_and_the_rest_is_calibrated_on_first(
    tried: Tried, source: Artifact, images: Path
) -> None:
    tried.changed |= {("minmax", "none"): 0.1, ("minmax", "fast"): 0.1}
    job, record = resolved(source, images, 24)
    held_out = list(range(1, 24, 3))
    calibrated = [index for index in range(24) if index not in held_out]
    assert tried.seen == [calibrated, held_out]
    assert numbers(job)[:16] == calibrated and sorted(numbers(job)[16:]) == held_out and job.tried == 16
    assert record.ids == tuple(map(str, numbers(job))) and record.count == 24
    assert record.calibration_method == job.options.quantize.calibration_method == "minmax"
    assert record.tried == {"mean_minmax": 0.2, "minmax": 0.1, "percentile": 0.2}
    assert record.measure == "labels_changed" and record.activations == "symmetric"


@pytest.mark.parametrize(("side", "calibrated", "evaluated"), [(724, 16, 8), (1024, 8, 4), (1448, 4, 4), (8192, 4, 4)])
def test_larger_images_are_fewer_but_never_less_than_four(
    side: int, calibrated: int, evaluated: int, tried: Tried, source: Artifact, images: Path
) -> None:
    tried.changed |= {("mean_minmax", "fast"): 0.2}
    resolved(source, images, 40, side)
    assert list(map(len, tried.seen)) == [calibrated, evaluated]
    assert not set(tried.seen[0]) & set(tried.seen[1])
    both = sorted(tried.seen[0] + tried.seen[1])
    assert (both[0], both[-1]) == (0, 39) and np.ptp(np.diff(both)) <= 1


@pytest.mark.parametrize(
    ("changed", "method", "bias"),
    [
        ({}, "mean_minmax", "none"),
        ({("minmax", "none"): 0.19}, "mean_minmax", "none"),  # by 5 %: not by more
        ({("minmax", "none"): 0.18}, "minmax", "none"),
        ({("minmax", "none"): 0.18, ("percentile", "none"): 0.1}, "percentile", "none"),
        ({("mean_minmax", "fast"): 0.19}, "mean_minmax", "none"),
        ({("mean_minmax", "fast"): 0.18}, "mean_minmax", "fast"),
        ({("minmax", "none"): 0.1, ("minmax", "fast"): 0.05, ("mean_minmax", "fast"): 0.3}, "minmax", "fast"),
    ],
)
def test_another_way_is_taken_where_it_is_better_by_more_than_a_twentieth(
    changed: dict[tuple[str, str], float], method: str, bias: str, tried: Tried, source: Artifact, images: Path
) -> None:
    tried.changed |= {(each, "fast"): 0.3 for each in METHODS}
    tried.changed |= changed
    job, record = resolved(source, images, 24)
    assert (record.calibration_method, record.bias_correction) == (method, bias)
    quantize = job.options.quantize
    assert (quantize.calibration_method, quantize.bias_correction, quantize.activations) == (method, bias, "symmetric")
    assert tried.asked == [*((each, "none") for each in METHODS), (method, "fast")] and tried.with_biases == [True]
    assert record.tried_biases == {"none": tried.changed[method, "none"], "fast": tried.changed[method, "fast"]}


@pytest.mark.parametrize("bias", ["none", "fast", "full"])
def test_a_way_to_treat_biases_that_is_named_is_what_every_method_is_tried_with(
    bias: BiasCorrection, tried: Tried, source: Artifact, images: Path
) -> None:
    tried.changed = {(method, bias): 0.2 for method in METHODS}
    _, record = resolved(source, images, 24, bias_correction=bias)
    assert tried.asked == [(method, bias) for method in METHODS]
    assert tried.with_biases == [bias == "fast"]
    assert record.bias_correction == bias and record.tried_biases == {}


@pytest.mark.parametrize(("count", "compares"), [(15, False), (16, True)])
def test_fewer_than_sixteen_images_are_no_choice(
    count: int, compares: bool, tried: Tried, source: Artifact, images: Path
) -> None:
    tried.changed |= {("minmax", "none"): 0.1, ("minmax", "fast"): 0.3}
    job, record = resolved(source, images, count)
    assert bool(tried.asked) == compares
    assert record.calibration_method == ("minmax" if compares else "mean_minmax")
    assert sorted(numbers(job)) == list(range(count)) and (job.tried > 0) == compares


def test_a_named_method_is_not_compared_and_a_named_scheme_is_kept(
    tried: Tried, source: Artifact, images: Path
) -> None:
    job, record = resolved(source, images, 24, calibration_method="percentile", activations="asymmetric")
    assert not tried.asked and record.tried == {} and record.measure == "" and job.tried == 0
    assert record.calibration_method == "percentile" and record.activations == "asymmetric"
    assert record.bias_correction == "none"


@pytest.mark.parametrize(("side", "most"), [(1024, 150), (2048, 37), (8192, 16)])
def test_the_whole_calibration_looks_at_300_images_of_half_a_megapixel_at_most(
    side: int, most: int, tried: Tried, source: Artifact, images: Path
) -> None:
    tried.traits = replace(tried.traits, settles=False)
    job, record = resolved(source, images, 400, side, calibration_method="minmax")
    expected = [round(place) for place in np.linspace(0, 399, most)]
    assert numbers(job) == expected and record.count == most
    assert record.ids == tuple(map(str, expected))


def test_an_engine_that_does_not_correct_biases_records_none_and_refuses_to(
    tried: Tried, source: Artifact, images: Path
) -> None:
    tried.traits = replace(tried.traits, corrects_biases=False, calibration_methods=())
    _, record = resolved(source, images, 24)
    assert record.bias_correction == "" and record.calibration_method == "mean_minmax" and not tried.asked
    for bias in ("fast", "full"):
        with pytest.raises(UsageError, match="does not correct biases") as refused:
            resolved(source, images, 24, bias_correction=bias)
        assert refused.value.field == "quantize.bias_correction"


@pytest.mark.parametrize(("used", "count"), [(0, 6), (1, 1), (5, 5), (6, 6), (9, 6)])
def test_the_record_holds_the_images_that_a_build_has_used(
    used: int, count: int, tried: Tried, source: Artifact, images: Path, tmp_path: Path
) -> None:
    tried.images = used
    options = BuildOptions("plain", "qint8_mixed_float16", quantize=QuantizeOptions(calibration_method="minmax"))
    record = build(source, tmp_path / "built", options, data=images).manifest.calibration
    assert record is not None and record.count == count
    # Every beginning is spread over all of them, by their places' bits read from the other end.
    assert record.ids == tuple(f"{place}.jpg" for place in (0, 4, 2, 1, 5, 3))[:count]
    assert calibration_methods.of_images(None, Built(PrecisionRan("int8", {}, ""), images=3)) is None


def test_images_that_other_machines_cannot_help_with_are_remarked(
    tried: Tried, source: Artifact, images: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Shared(list[Feeds]):
        def each(self, written: object) -> list[bytes]:
            return []

    def remarks(method: CalibrationMethod, bias: BiasCorrection = "none") -> tuple[str, ...]:
        options = QuantizeOptions(calibration_method=method, bias_correction=bias)
        build_options = BuildOptions("plain", "qint8_mixed_float16", quantize=options)
        plan = compile_plan.prepare(source, images / "out", build_options, data=images)  # type: ignore[arg-type]
        record = calibration_methods.resolve(replace(plan, feeds=Shared(plan.feeds), images=()), images / "graph.onnx")[
            1
        ]
        assert record is not None
        return record.remarks

    tried.traits = replace(tried.traits, merged_methods=("minmax",))
    assert remarks("minmax") == ()
    (order,) = remarks("percentile")
    assert order == (
        "ranges by percentile depend on the order of the images and are gathered in one process: "
        "this machine has calibrated alone"
    )
    assert f"int8 calibration: {order}" in caplog.text
    (biases,) = remarks("minmax", "full")
    assert biases.startswith("NNCF corrects biases in full")
