"""One click goes from weights to a report, and a second one finds everything done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("jinja2")

import tiny_torch  # noqa: E402
from command_line import failed  # noqa: E402
from made_images import carvana  # noqa: E402

from densecast import report  # noqa: E402
from densecast.artifact import Artifact  # noqa: E402
from densecast.artifact.tune_record import ABTiming, Rate  # noqa: E402
from densecast.errors import DensecastError  # noqa: E402
from densecast.report import markdown  # noqa: E402
from densecast.runtime.cpu_load import CpuLoad, LoadMeter  # noqa: E402
from densecast.spec.options import BuildOptions, InputShape, QuantizeOptions  # noqa: E402
from densecast.spec.precision import PRECISIONS, short  # noqa: E402
from densecast.spec.verb_options import BenchmarkOptions, EvaluateOptions, ExportOptions, MaxDrop, TuneOptions  # noqa: E402
from densecast.verbs.builder import tune_benchmark  # noqa: E402
from densecast.verbs.reproduce import RunOptions, reproduce  # noqa: E402

pytestmark = pytest.mark.torch

OPTIONS = RunOptions(
    backends=("onnxruntime",),
    precisions=("force_float32", "force_float16"),
    export=ExportOptions(size_hw=(48, 72), batch=1),
    build=BuildOptions(shape=InputShape(height=48, width=72)),
    evaluate=EvaluateOptions(split="all", limit=5),
    benchmark=BenchmarkOptions(images=2, seconds=0.0, warm_up=0),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("run")
    carvana(made / "data", count=6, size_hw=(96, 144))
    tiny_torch.write_checkpoint(made / "weights.pth")
    return made


def go(folder: Path, steps: list[str] | None = None) -> report.Report:
    def tell(what: str, done: int, total: int) -> None:
        assert 1 <= done <= total == 8
        if steps is not None:
            steps.append(what)

    with pytest.MonkeyPatch.context() as patch:
        # What other programs do while tests run must not decide what is kept.
        patch.setattr(LoadMeter, "load", lambda self: CpuLoad(0.0, 0.5, 0.5))
        return reproduce(
            "unet_tiny", folder / "out", OPTIONS, data=folder / "data", checkpoint=folder / "weights.pth", progress=tell
        )


@pytest.fixture(scope="module")
def first(folder: Path) -> report.Report:
    return go(folder)


@pytest.mark.slow
def test_report_holds_what_was_built_and_measured(first: report.Report, folder: Path) -> None:
    assert [(row.backend, row.asked) for row in first.rows] == [
        ("onnxruntime", "force_float32"),
        ("onnxruntime", "force_float16"),
    ]
    for row in first.rows:
        artifact = Artifact.open(folder / "out" / row.artifact)
        assert artifact.manifest.build is not None and artifact.manifest.build.backend == row.backend
        assert row.ran.compute == "float32" and row.score.count == 5 and row.size_mb > 0
        assert row.score.data is not None and (row.score.data.split, row.score.data.total) == ("all", 6)
        assert set(row.timing.stages()) == {"decode", "preprocess", "infer", "postprocess", "end_to_end"}
    # Weights in float16 flip near-ties: some pixels of some thousands.
    assert first.rows[1].score.value == pytest.approx(first.rows[0].score.value, abs=1e-2)
    assert first.parity is not None and first.parity.relative_error <= first.parity.tolerance
    assert report.read(folder / "out") == first
    assert all((folder / "out" / name).is_file() for image in first.images for name in image.files.values())
    assert first.images and (folder / "out" / "report.html").stat().st_size > 1000


@pytest.mark.slow
def test_each_change_and_each_speed_has_an_interval(first: report.Report) -> None:
    baseline, other = first.rows
    assert baseline.change is None and baseline.pace is None
    assert other.pace is not None and other.pace.against == "fp32" and other.pace.rounds >= 5
    assert other.pace.ratio.low <= other.pace.ratio.value <= other.pace.ratio.high
    assert other.pace.cpu_ratio is not None and other.pace.load.others == 0.0
    change = other.change
    assert change is not None and change.value == pytest.approx(other.score.value - baseline.score.value)
    # The metric is a mean over images, so its change is the mean of theirs: drawn here by other numbers.
    gains = np.array([other.score.per_image[name] - value for name, value in baseline.score.per_image.items()])
    means = np.random.default_rng(7).choice(gains, (4000, len(gains))).mean(axis=1)
    assert (change.low, change.high) == pytest.approx(
        np.quantile(means, [0.025, 0.975]), abs=0.1 * np.ptp(gains) + 1e-9
    )
    assert f"{first.change(other):+.4f} [{change.low:+.4f}, {change.high:+.4f}]" in markdown.results(first)
    assert baseline.timing.load.others == other.timing.load.others or baseline.timing.load.before is not None
    assert baseline.timing.cpu_ms_per_image is not None and baseline.timing.cpu_ms_per_image > 0


@pytest.mark.slow
def test_a_row_that_is_measured_later_is_compared_with_a_stored_baseline(first: report.Report, folder: Path) -> None:
    (folder / "out" / "measured" / f"{first.rows[1].artifact}.json").unlink()
    again = go(folder)
    assert again.rows[1].change == first.rows[1].change and again.rows[0] == first.rows[0]


@pytest.mark.slow
def test_a_second_run_measures_nothing_again(first: report.Report, folder: Path) -> None:
    def times() -> dict[Path, int]:
        kept = [folder / "out" / "measured", *(folder / "out" / row.artifact for row in first.rows)]
        return {path: path.stat().st_mtime_ns for each in kept for path in each.iterdir()}

    first = go(folder)
    before, steps = times(), list[str]()
    again = go(folder, steps)
    assert again.rows == first.rows
    assert times() == before
    assert steps[0] == "data set" and steps[-1] == "report" and len(steps) == 8


@pytest.mark.slow
def test_a_tuned_run_reports_what_each_build_was_chosen_by(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime's 16 bits are no faster, so float32 is what comes of them; the report says so, and why."""
    monkeypatch.setenv("DENSECAST_CACHE", str(tmp_path / "cache"))
    even = ABTiming(Rate(10.0, 100.0), Rate(10.0, 100.0), 1.0, (0.99, 1.01), 5)
    monkeypatch.setattr(tune_benchmark, "benchmark", lambda baseline, candidate: even)
    options = replace(OPTIONS, tune=TuneOptions())
    made = reproduce("unet_tiny", tmp_path / "out", options, data=folder / "data", checkpoint=folder / "weights.pth")
    plain, tuned = made.rows
    assert plain.reasons.tuning is None and plain.reasons.built == "force_float32"
    assert tuned.asked == "force_float16" and tuned.reasons.built == "force_float32"
    assert tuned.artifact.endswith("__fp32__48x72__b1__onnxruntime__tuned_from_fp16")
    assert tuned.reasons.tuning is not None and tuned.reasons.fallback == tuned.reasons.tuning.why
    assert any("fp16 was requested, fp32 was built" in line for line in made.findings())
    for name in ("report.md", "report.html"):
        text = (tmp_path / "out" / name).read_text(encoding="utf-8")
        assert "onnxruntime fp16: tuned for throughput" in text and "1.00 (0.99 to 1.01)" in text
    assert report.read(tmp_path / "out") == made


@pytest.mark.quantize
@pytest.mark.parametrize(
    ("dropping", "searched"),
    [
        pytest.param(False, {"tune": ["fp16", "int8"]}, marks=pytest.mark.slow),
        pytest.param(True, {"tune": ["fp16"], "max_drop": ["int8"]}, marks=pytest.mark.slow),
    ],
)
def test_each_precision_is_searched_for_in_its_own_way(
    dropping: bool,
    searched: dict[str, list[str]],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """float32 is built as asked; the rest is tuned; with a drop stated, int8 has to keep to it instead."""
    pytest.importorskip("nncf")
    monkeypatch.setenv("DENSECAST_CACHE", str(tmp_path / "cache"))
    even = ABTiming(Rate(10.0, 100.0), Rate(10.0, 100.0), 1.0, (0.99, 1.01), 5)
    monkeypatch.setattr(tune_benchmark, "benchmark", lambda baseline, candidate: even)
    options = replace(
        OPTIONS,
        backends=("openvino",),
        precisions=PRECISIONS,
        build=replace(OPTIONS.build, quantize=QuantizeOptions(images=2, split="all")),
        tune=TuneOptions(seconds=30.0),
        max_drop=MaxDrop(50.0, images=2, split="all", seconds=20.0) if dropping else None,
    )
    made = reproduce("unet_tiny", tmp_path / "out", options, data=folder / "data", checkpoint=folder / "weights.pth")
    found: dict[str, list[str]] = {}
    for row in made.rows:
        manifest = Artifact.open(tmp_path / "out" / row.artifact).manifest
        for way, record in (("tune", manifest.tuning), ("max_drop", manifest.search)):
            if record is not None:
                found.setdefault(way, []).append(short(row.asked))
    assert found == searched
    assert [short(row.asked) for row in made.rows] == ["fp32", "fp16", "int8"]


@pytest.mark.slow
def test_without_a_search_everything_is_built_as_it_is_asked(first: report.Report) -> None:
    assert all(row.reasons.tuning is None and row.reasons.search is None for row in first.rows)
    assert [row.reasons.built for row in first.rows] == [row.asked for row in first.rows]


def test_searches_that_make_no_sense_are_refused_before_anything_is_made(tmp_path: Path) -> None:
    for wrong, said in (
        (("--max-drop", "0.5", "--time-budget", "soon"), "90s, 10m or 2h"),
        (("--max-drop", "0"), "between 0 and 100"),
        (("--tune", "--time-budget", "0"), "above 0 seconds"),
    ):
        assert said in failed(2, "run", "unet_tiny", "--out", tmp_path / "out", *wrong, "-q")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"backends": ("onnxruntime", "openvin")}, "Did you mean 'openvino'"),
        ({"backends": ("reference",), "precisions": ("qint8_mixed_float16",)}, "has no qint8"),
    ],
)
def test_what_cannot_be_built_is_said_before_anything_is_made(
    folder: Path, tmp_path: Path, wrong: dict[str, tuple[str, ...]], said: str
) -> None:
    with pytest.raises(DensecastError, match=said):
        reproduce(
            "unet_tiny",
            tmp_path / "out",
            replace(OPTIONS, **wrong),  # type: ignore[arg-type]
            data=folder / "data",
            checkpoint=folder / "weights.pth",
        )
    assert not (tmp_path / "out").exists()
