"""What reports tell in words: what became of a build, why a type was taken, what a data set or a model has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import made_report
import pytest

from densecast.artifact.half_type_record import HalfTypeRecord
from densecast.errors import UsageError
from densecast.report import data_check, history, image_rows, info, labels, reasons, roofline
from densecast.report.data import Report, Row
from densecast.report.labels import Box
from densecast.results.data_check import ClassCount, DataCheckResult, DataProblem
from densecast.results.info import ModelInfo
from densecast.runtime.cpu_load import CpuLoad
from densecast.runtime.roofline import LayerCost, Peaks, Roofline
from densecast.spec.layer import Layer
from densecast.spec.sample import SplitRecord

OTHER_DATA = SplitRecord("carvana", "val", 31, 320, 0, "cd" * 32)


def run(created: str, value: float = 0.9, rate: float = 10.0, per_image: dict[str, float] | None = None) -> Report:
    base = made_report.row("openvino", "force_float32", 0, value)
    row = replace(
        base,
        score=replace(base.score, per_image=per_image or {}),
        timing=replace(base.timing, images_per_s=rate, spread=None, load=CpuLoad(0.0)),
    )
    return replace(made_report.report(Path()), created=created, rows=(row,))


@pytest.fixture(autouse=True)
def no_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The made-up report writes its pictures where it is told to."""
    monkeypatch.chdir(tmp_path)


def with_row(report: Report, **changed: object) -> Report:
    return replace(report, rows=(replace(report.rows[0], **changed),))  # type: ignore[arg-type]


def said(first: Report, second: Report) -> str:
    (_, last) = history.of([("a", first), ("b", second)]).entries
    return last.said


VALUES = {f"i{k}": 0.5 + 0.01 * k for k in range(6)}


def shifted(by: tuple[float, ...]) -> dict[str, float]:
    return {name: value + by[place % len(by)] for place, (name, value) in enumerate(VALUES.items())}


def test_a_score_that_changed_beyond_noise_is_told_so() -> None:
    first = run("2026-01-01", 0.9, per_image=VALUES)
    assert said(first, run("2026-01-02", 0.9, per_image=VALUES)).startswith("dice_per_image unchanged; ")
    # By -0.02 and -0.04 in turn: -0.03 on average, by 0.01 around it; with n - 1 in the denominator 0.01095.
    words = said(first, run("2026-01-02", 0.87, per_image=shifted((-0.02, -0.04))))
    assert words.startswith("dice_per_image -0.0300 (-0.0300 an image [-0.0388, -0.0212]); ")
    words = said(first, run("2026-01-02", 0.91, per_image=shifted((0.03, -0.03))))
    assert "(+0.0000 an image [-0.0263, +0.0263]): whether it changed could not be decided" in words
    # Equal on the whole while single images changed is not unchanged.
    assert "could not be decided; " in said(first, run("2026-01-02", 0.9, per_image=shifted((0.03, -0.03))))


def test_a_score_without_values_of_five_images_or_over_other_images_decides_nothing() -> None:
    few = dict(list(VALUES.items())[:4])
    words = said(run("2026-01-01", 0.9, per_image=few), run("2026-01-02", 0.8, per_image=few))
    assert words.startswith("dice_per_image -0.1000, without values of single images: whether that is noise could not")
    five = dict(list(VALUES.items())[:5])
    assert "an image [" in said(run("2026-01-01", 0.9, per_image=five), run("2026-01-02", 0.8, per_image=five))
    other = run("2026-01-02")
    other = with_row(other, score=replace(other.rows[0].score, data=OTHER_DATA))
    found = history.of([("a", run("2026-01-01")), ("b", other)])
    assert found.entries[1].said.startswith("dice_per_image over other images: not compared")
    assert found.remarks == ("b was measured over other images than a: their scores are not compared.",)


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (20.0, "2.00 (2.00 to 2.00) times as fast"), (5.0, "0.50 (0.50 to 0.50) times as fast"),
        (10.15, "could not be decided"), (9.85, "could not be decided"), (10.0, "could not be decided"),
        (10.25, "1.02 (1.02 to 1.02) times as fast"),
    ],
)  # fmt: skip
def test_a_speed_decides_from_a_fiftieth_on(rate: float, words: str) -> None:
    assert said(run("2026-01-01"), run("2026-01-02", rate=rate)).partition("; ")[2].endswith(words)


def test_a_speed_decides_nothing_between_machines_or_beside_others_or_within_its_spread() -> None:
    def speed(second: Report, first: Report | None = None) -> str:
        return said(first or run("2026-01-01"), second).partition("; ")[2]

    elsewhere = run("2026-01-02", rate=20.0)
    elsewhere = replace(elsewhere, machine=replace(elsewhere.machine, usable_cpus=elsewhere.machine.usable_cpus + 1))
    assert speed(elsewhere) == "speed on another machine: not compared"
    busy = run("2026-01-02", rate=20.0)
    busy = with_row(busy, timing=replace(busy.rows[0].timing, load=CpuLoad(0.9)))
    assert speed(busy) == "whether speed changed could not be decided: other programs took 90 % of the CPUs"
    # Half of each spread: 2 / 1.5 to 2 * 1.5; and with spreads of 1.5 and 1 the interval reaches below 1.
    wide = with_row(elsewhere, timing=replace(busy.rows[0].timing, load=CpuLoad(0.0), spread=1.0))
    wide = replace(wide, machine=busy.machine)
    assert speed(wide) == "2.00 (1.33 to 3.00) times as fast"
    first = run("2026-01-01")
    first = with_row(first, timing=replace(first.rows[0].timing, spread=1.5))
    assert speed(wide, first).endswith("could not be decided")


def test_a_history_is_of_two_runs_of_one_model_and_metric_the_oldest_first() -> None:
    one, two = run("2026-01-02"), run("2026-01-01")
    assert history.of([("late", one), ("early", two)]).runs == ("early", "late")
    for wrong in ([("a", one)], [("a", one), ("a", two)]):
        with pytest.raises(UsageError, match="of two runs or more"):
            history.of(wrong)
    other = with_row(one, score=replace(one.rows[0].score, name="mIoU"))
    with pytest.raises(UsageError, match="several metrics have no history: early is of dice_per_image, late of mIoU"):
        history.of([("late", other), ("early", two)])
    model = replace(one, spec=replace(one.spec, name="other"))
    with pytest.raises(UsageError, match="several models have no history: early is of tiny, late of other"):
        history.of([("late", model), ("early", two)])


def test_only_a_build_of_several_runs_has_a_finding() -> None:
    more = run("2026-01-02")
    more = replace(more, rows=(*more.rows, made_report.row("onnxruntime", "force_float32", 1)))
    found = history.of([("a", run("2026-01-01")), ("b", more)])
    assert len(found.builds) == 2 and len(found.findings()) == 1
    assert found.findings()[0].startswith("openvino fp32, a to b: ")


def test_the_sixteen_bit_type_is_told_with_what_was_timed() -> None:
    plain = HalfTypeRecord("f16", "bf16", "asked for", True)
    assert reasons.of_half_type(plain) == "16-bit type f16: asked for."
    timed = replace(plain, cpu_ms={"f16": 1.25, "bf16": 2.5}, rounds=7)
    assert reasons.of_half_type(timed) == (
        "16-bit type f16: asked for (CPU time in one thread, 7 rounds in alternation: f16 1.25 ms, bf16 2.50 ms)."
    )
    assert "bf16 2.50 ms, measured before)" in reasons.of_half_type(replace(timed, from_cache=True))


def layer(number: int, macs: int | None, parameters: int = 1) -> Layer:
    return Layer(f"l{number}", "Conv", (1, 2, 3), parameters, macs, "int8" if number % 2 else "float32")


def test_of_a_model_two_dozen_labels_and_forty_layers_are_shown() -> None:
    def text(count: int, layers: int = 0, **how: bool) -> str:
        found = ModelInfo(
            "m", "built model", labels=tuple(f"c{k}" for k in range(count)), backend="openvino", asked="int8", ran="i8",
            layers=tuple(layer(k, None if k == 0 else 1000 * k, 2 if k == 1 else 1) for k in range(layers)),
        )  # fmt: skip
        return info.text_of(found, **how)

    assert text(24).splitlines()[1].endswith("c22, c23") and text(25).splitlines()[1].endswith("c23 … (25)")
    assert "built for     openvino, int8 asked, i8 ran" in text(1)
    assert "layers        3: 2 float32, 1 int8" in text(1, 3)
    assert "not shown" not in text(1, 40) and "1 smaller layers are not shown (--all)." in text(1, 41)
    shown = text(1, 42)
    # The smallest are left out: the one whose multiplications are not known, and the next.
    assert "2 smaller layers" in shown and "| l2 " in shown and "| l1 " not in shown and "| l0 " not in shown
    assert "| l0 " in text(1, 42, every_layer=True)


def checked(problems: int = 0, foreign: int = 0, **changed: object) -> DataCheckResult:
    found = DataCheckResult(
        Path("d"), "pairs", "", {"pictures": 3}, {}, (ClassCount(0, "road", 30, 2),), 80, 20,
        dict.fromkeys(range(10, 10 + foreign), 5), {}, tuple(DataProblem("size", f"p{k}") for k in range(problems)), (),
    )  # fmt: skip
    return replace(found, **changed)  # type: ignore[arg-type]


def test_of_a_data_set_twenty_problems_of_a_kind_are_named() -> None:
    assert "no problems found" in data_check.as_text(checked())
    text = data_check.as_text(checked(20))
    assert "size: p19" in text and "more (--json" not in text and "no problems" not in text
    text = data_check.as_text(checked(21))
    assert "size: p19" in text and "size: p20" not in text and "size: and 1 more (--json has all)" in text


def test_shares_are_of_all_pixels_and_five_foreign_values_are_named() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in data_check.as_text(checked(0, 6)).split("\n")
    ]
    assert ["road", "30", "37.50%", "2"] in rows and ["(not evaluated)", "20", "25.00%", ""] in rows
    assert ["(no class: 10, 11, 12, 13, 14, …)", "30", "37.50%", ""] in rows
    assert "14)" in data_check.as_text(checked(0, 5)) and "no class" not in data_check.as_text(checked())
    plain = checked(0, 1).plain()
    assert plain["classes"][0]["share"] == 30 / 80 and plain["ignored"] == {"pixels": 20, "share": 0.25}
    assert plain["foreign"] == {"10": {"pixels": 5, "share": 5 / 80}} and plain["sheet"] is None
    assert checked(pixels=0, ignored=0).plain()["ignored"]["share"] == 0
    assert checked(sheet=Path("s.jpg")).plain()["sheet"] == "s.jpg" and ClassCount(1, "a", 2, 3).colour == (0, 0, 0)


def scored(value: float, better: str, per_image: dict[str, float]) -> Row:
    row = made_report.row("openvino", "force_float32", 0)
    return replace(row, score=replace(row.score, better=better, per_image=per_image))  # type: ignore[arg-type]


def test_rows_of_images_begin_with_the_worst_and_two_builds_of_one_name_stay_two() -> None:
    report = run("2026-01-01")
    rows = (scored(0, "higher", {"a": 0.9, "b": 0.1, "c": 0.5}), scored(0, "higher", {"a": 0.8, "c": 0.4}))
    columns = image_rows.columns_of(replace(report, rows=rows))
    name = "openvino fp32 dice_per_image"
    assert columns == {"image": ["b", "c", "a"], name: [0.1, 0.5, 0.9], f"{name}'": [None, 0.4, 0.8]}
    lower = image_rows.columns_of(replace(report, rows=(scored(0, "lower", {"a": 0.9, "b": 0.1}),)))
    assert lower["image"] == ["a", "b"]
    assert image_rows.columns_of(replace(report, rows=(scored(0, "lower", {}),))) == {}


def test_a_label_wider_than_the_chart_begins_within_it() -> None:
    within = Box(0, 0, 40, 100)
    (label,) = labels.place([(10, 50)], ["a text that is wider than all of it"], within)
    assert (label.x, label.y, label.is_led) == (0, 50, False)
    (narrow,) = labels.place([(10, 50)], ["ab"], within)
    assert narrow.box.left >= 0 and narrow.box.right <= 40 and not narrow.is_led


PEAKS = Peaks({"int8": 4e9}, 1e9, 2, "made up")


def test_a_layer_is_bound_by_what_takes_longer_at_the_peaks() -> None:
    # 8e6 multiplications at 4e9 a second are 2 ms, 1e6 bytes at 1e9 a second are 1 ms.
    cost = LayerCost("conv", (), "Convolution", "k", "int8", 8.0, 8_000_000, 1_000_000)
    assert (cost.least_ms(PEAKS), cost.bound(PEAKS), cost.share(PEAKS)) == (2.0, "arithmetic", 0.25)
    assert cost.share_of_peak(PEAKS) == 0.25
    assert replace(cost, bytes=2_000_000).bound(PEAKS) == "arithmetic"
    moved = replace(cost, bytes=4_000_000)
    assert (moved.least_ms(PEAKS), moved.bound(PEAKS), moved.share(PEAKS)) == (4.0, "memory", 0.5)
    assert replace(cost, ms=0.0).share(PEAKS) == 0 and replace(cost, ms=0.0).share_of_peak(PEAKS) is None
    other = replace(cost, type="float32")
    assert (other.least_ms(PEAKS), other.share_of_peak(PEAKS)) == (1.0, None)
    assert replace(cost, macs=0).share_of_peak(PEAKS) is None


def test_a_roofline_shows_the_twenty_layers_that_lose_most_and_sums_the_rest() -> None:
    def layers(count: int) -> tuple[LayerCost, ...]:
        return tuple(
            LayerCost(f"l{k}", (), "Convolution", "k", "int8", 3.0 + k, 8_000_000, 1_000_000) for k in range(count)
        )

    found = Roofline(layers(22), PEAKS, 400.0, (1, 3, 8, 8), 5)
    assert (found.timed_ms, found.least_ms, found.macs) == (22 * 3 + 231, 44.0, 176_000_000)
    text = roofline.text(found)
    assert "l21" in text and "l2 " in text and "l1 " not in text
    rest = next(line for line in text.splitlines() if "other layers" in line)
    assert [cell.strip() for cell in rest.strip("|").split("|")][:5] == ["2 other layers", "", "", "7.000", "4.000"]
    assert "297.00 ms in 22 layers (400.00 ms the whole inference, median of 5); 44.00 ms at the roofline" in text
    assert "15 % of it" in text and "too low" not in text
    assert "other layers" not in roofline.text(replace(found, layers=layers(20)))
    busy = replace(found, peaks=replace(PEAKS, load=CpuLoad(0.5)))
    assert "other programs took 50 % of the CPUs: they are too low" in roofline.text(busy)
