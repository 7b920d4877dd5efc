"""The report says why each build is the one it is: what was tried, what it did, what was taken and what it bought."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import made_report
import pytest
import tiny_artifacts
from command_line import densecast, failed

from densecast.artifact import Artifact
from densecast.artifact.search_record import HALF_PRECISION, Trial
from densecast.report import markdown, page, pareto, reasons
from densecast.report.data import Reasons
from densecast.spec.options import BuildOptions, InputShape
from densecast.spec.score import Interval

INT8 = "qint8_mixed_float16"


def cells(section: reasons.Section) -> dict[str, tuple[str, ...]]:
    assert {len(row) for row in section.rows} == {len(section.header)} == {len(section.align)}
    return {row[0]: row for row in section.rows}


def test_every_configuration_has_a_row_and_the_one_taken_names_its_layers() -> None:
    record = made_report.search()
    section = reasons.of_search(record)
    rows = cells(section)
    assert list(rows) == ["int8", "int8 but 1", "int8 but 2", HALF_PRECISION]  # the fastest first
    assert rows["int8"][1:] == ("2.500", "2.100 … 2.900", "1.80", "5.00", "0 of 35", "no", "Pareto front")
    assert rows["int8 but 1"][5:] == ("1 of 35", "yes", "Pareto front, taken")
    assert rows["int8 but 2"][5:] == ("2 of 35", "yes", "")
    assert rows[HALF_PRECISION][5] == "35 of 35"
    text = " ".join(section.sentences)
    assert record.why in text and "The limit is kept" in text and "at most 0.5 points of mIoU" in text
    assert f"1 of 35 layers: {made_report.HOSTILE} (93% of int8's error)." in text
    broken = reasons.of_search(replace(record, within_limit=False, winner=HALF_PRECISION))
    assert "The limit is not kept" in " ".join(broken.sentences) and "In 16 bits," not in " ".join(broken.sentences)


def test_of_many_layers_those_are_named_that_int8_would_hurt_most() -> None:
    record = made_report.search()
    names = tuple(f"layer{number}" for number in range(20))
    winner = replace(record.trials[2], half_layers=names)
    sensitivity = {name: number / 100 for number, name in enumerate(names)}
    sentence = reasons.of_search(replace(record, trials=(winner,), sensitivity=sensitivity)).sentences[-1]
    assert sentence.startswith("In 16 bits, 20 of 35 layers: layer19 (19% of int8's error), layer18 (18%")
    assert sentence.endswith("layer8 (8% of int8's error), and 8 more.")


def test_every_trial_of_tuning_has_a_row_and_the_winner_its_reason() -> None:
    record = made_report.tuning()
    section = reasons.of_tuning(record)
    rows = cells(section)
    assert rows["bf16 instead of f16"][1:] == ("1.71 (1.65 to 1.79)", "17.25", "231.9", "taken")
    assert rows["float32 instead"][1:] == ("", "", "", "the time was up")
    assert rows["int8 instead"][-1] == "not faster (measured before)"
    assert section.sentences[0] == f"{record.winner}: {record.why}" and "2 threads" in section.sentences[1]
    assert f"at first was {record.trials[0].baseline}," in section.sentences[1]


def test_what_calibration_method_and_bias_correction_bought_is_shown() -> None:
    section = reasons.of_calibration(made_report.CALIBRATION)
    assert section.rows == (
        ("mean_minmax", "left alone", "0.540%", ""),
        ("histogram", "left alone", "0.412%", ""),
        ("histogram", "corrected", "0.377%", "taken"),
    )
    assert section.sentences[0] == (
        "asymmetric ranges by histogram: 0.412% labels changed, the others 0.540%; "
        "with biases left alone 0.412%, corrected 0.377%"
    )
    plain = replace(made_report.CALIBRATION, bias_correction="", tried_biases={}, measure="relative_l2")
    assert reasons.of_calibration(plain).rows[1] == ("histogram", "", "0.412%", "taken")
    assert reasons.of_calibration(plain).header[2] == "relative L2 error"


def test_choices_that_were_not_made_have_no_section() -> None:
    unmeasured = replace(made_report.CALIBRATION, tried={}, tried_biases={})
    assert reasons.sections(Reasons(INT8, None, unmeasured)) == []
    every = Reasons(INT8, None, made_report.CALIBRATION, made_report.tuning(), made_report.search())
    assert [section.title for section in reasons.sections(every)] == [
        "int8 within 0.5 points",
        "tuned for throughput",
        "int8 ranges",
    ]


def points(svg: ET.Element) -> dict[str, tuple[float, float, str]]:
    found = {}
    for circle in svg.findall("circle"):
        if (title := circle.find("title")) is not None and title.text:
            name = title.text.partition(":")[0]
            found[name] = float(circle.attrib["cx"]), float(circle.attrib["cy"]), circle.attrib["fill"]
    return found


def test_on_the_chart_faster_is_right_and_losing_less_is_down() -> None:
    record = made_report.search()
    svg = ET.fromstring(pareto.draw(record))
    found = points(svg)
    assert set(found) == {trial.name for trial in record.trials}
    by_speed = sorted(record.trials, key=lambda trial: trial.speed)
    assert [found[trial.name][0] for trial in by_speed] == sorted(x for x, _, _ in found.values())
    by_drop = sorted(record.trials, key=lambda trial: -trial.drop.value)
    assert [found[trial.name][1] for trial in by_drop] == sorted(y for _, y, _ in found.values())
    # What may lose more than the limit looks otherwise, and lies above the limit's line.
    assert found["int8"][2] != found["int8 but 1"][2] == found[HALF_PRECISION][2]
    (limit,) = (float(line.attrib["y1"]) for line in svg.findall("line") if "stroke-dasharray" in line.attrib)
    assert found["int8"][1] < limit < found["int8 but 2"][1]
    (ring,) = (circle for circle in svg.findall("circle") if circle.attrib["fill"] == "none")
    assert (float(ring.attrib["cx"]), float(ring.attrib["cy"])) == found["int8 but 1"][:2]
    (line,) = svg.findall("polyline")
    corners = [tuple(map(float, corner.split(","))) for corner in line.attrib["points"].split()]
    assert corners == [found[name][:2] for name in (HALF_PRECISION, "int8 but 1", "int8")]


@pytest.mark.parametrize("count", [1, 2])
def test_a_chart_of_one_point_or_of_equal_ones_stays_within_its_box(count: int) -> None:
    same = Trial(HALF_PRECISION, (), Interval(0.0, 0.0, 0.0), 1.0, 9.0)
    record = replace(
        made_report.search(), trials=(same,) * count, pareto_front=(HALF_PRECISION,), winner=HALF_PRECISION
    )
    svg = ET.fromstring(pareto.draw(record))
    _, _, width, height = map(float, svg.attrib["viewBox"].split())
    for element in svg:
        for x, y in (("x", "y"), ("cx", "cy"), ("x1", "y1"), ("x2", "y2")):
            if x in element.attrib:
                assert 0 <= float(element.attrib[x]) <= width and 0 <= float(element.attrib[y]) <= height


def test_markdown_and_html_of_a_run_hold_every_choice(tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    made = made_report.report(tmp_path)
    text, html = markdown.render(made), page.render(made, tmp_path)
    for said in (
        "Why these builds",
        "openvino int8: int8 within 0.5 points",
        "openvino int8: int8 ranges",
        "int8: tuned for throughput",
        "the fastest that loses at most 0.5 points",
        "1.71 (1.65 to 1.79)",
        "0.412%",
    ):
        assert said in text and said in html
    assert html.count('aria-label="mIoU drop against speed"') == 2, "a wide and a narrow one"
    assert "<svg" not in text
    assert made_report.HOSTILE not in html
    assert "int8 ranges from 288 images (carvana train)." in text
    plain = replace(made, rows=tuple(replace(row, reasons=Reasons()) for row in made.rows))
    assert "Why these builds" not in markdown.render(plain) + page.render(plain, tmp_path)


def test_a_build_that_fell_back_is_a_finding_of_its_own(tmp_path: Path) -> None:
    made = made_report.report(tmp_path)
    (finding,) = (line for line in made.findings() if "was requested" in line)
    assert "int8 was requested, fp16 was built: int8 is 0.96 times as fast" in finding
    assert not any("int8 does not pay" in line for line in made.findings() if line.startswith(made_report.HOSTILE))
    assert len(markdown.chosen_by(made)) == 3


def test_one_built_artifact_tells_why_it_is_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jinja2")
    built = tiny_artifacts.compiled(tmp_path, BuildOptions("openvino", shape=InputShape(height=24, width=32)))
    plain = densecast("report", built.folder)
    assert plain.code == 0 and "built as requested" in plain.out and "asked fp32, runs float32" in plain.out
    tuned = replace(
        built.manifest, precision_asked=INT8, tuning=made_report.tuning(), calibration=made_report.CALIBRATION
    )
    monkeypatch.setattr(Artifact, "open", classmethod(lambda cls, folder: Artifact(folder, tuned)))
    before = sorted(built.folder.iterdir())
    html = tmp_path / "why.html"
    ended = densecast("report", built.folder, "--html", html, "--json", tmp_path / "why.json")
    assert ended.code == 0, ended.err
    for text in (ended.out, html.read_text(encoding="utf-8")):
        assert "Holds fp32, not the int8 that was requested" in text.replace("&#39;", "'")
        assert "1.71 (1.65 to 1.79)" in text and "0.412%" in text
    assert json.loads((tmp_path / "why.json").read_text())["tuning"]["threads"] == 2
    assert sorted(built.folder.iterdir()) == before


def test_a_float_artifact_and_a_page_of_a_run_are_refused(tmp_path: Path) -> None:
    source = tiny_artifacts.exported(tmp_path)
    assert "not compiled" in failed(3, "report", source.folder)
    assert "--html" in failed(2, "report", tmp_path, "--html", tmp_path / "why.html")
