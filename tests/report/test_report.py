"""The report holds every row, in three forms that say the same, and its page needs nothing but itself."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import made_report
import pytest

from densecast import report
from densecast.errors import BadConfigError, MissingExtraError, MissingFileError
from densecast.report import markdown, page, plot
from densecast.report.data import Report
from densecast.results.timing import Pace, spread_of
from densecast.runtime.ab_timing import Answer, Ratio
from densecast.runtime.cpu_load import CpuLoad
from densecast.spec.precision import short
from densecast.spec.score import Interval


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def made(folder: Path) -> Report:
    return made_report.report(folder)


@pytest.fixture(scope="module")
def html(made: Report, folder: Path) -> str:
    pytest.importorskip("jinja2")
    return report.write(made, folder)[2].read_text(encoding="utf-8")


class Page(HTMLParser):
    """What a page loads or links, its text, and whether every element is closed."""

    VOID = ("meta", "img", "br", "link", "input", "hr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attributes if name in ("src", "href", "data", "action")]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_page_is_well_formed_and_loads_nothing(html: str) -> None:
    page = Page(html)
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
    assert page.addresses and all(address.startswith("data:image/jpeg;base64,") for address in page.addresses)
    assert "@import" not in html and "url(" not in html


def test_page_shows_every_row_and_escapes_what_it_shows(html: str, made: Report) -> None:
    text = " ".join(Page(html).text)
    assert made_report.HOSTILE not in html and made_report.HOSTILE in text
    for row in made.rows:
        for cell in (
            row.backend,
            f"{row.score.value:.4f}",
            f"{row.timing.images_per_s:.1f}",
            f"{row.timing.stages()['infer'].p50_ms:.2f}",
            str(row.ran),
            f"{0.71 + 0.01 * made.rows.index(row):.4f}",
        ):
            assert cell in text
    for said in (
        "0.9914 (n=508)",
        "3.4e-06",
        "288 images",
        "worst: 0a1b",
        "0.8765",
        "chosen by measurement",
        "IoU by class",
        "never seen",
    ):
        assert said in text
    assert html.count("<figure>") == 2 and html.count('class="best"') == 1


def test_markdown_tables_are_rectangular_and_hold_every_row(made: Report) -> None:
    for table in (markdown.results(made), markdown.stages(made)):
        lines = table.splitlines()
        assert len(lines) == 2 + len(made.rows)
        assert len({len(line) for line in lines}) == 1
        assert len({line.count("|") for line in lines}) == 1
    for row, line in zip(made.rows, markdown.results(made).splitlines()[2:], strict=True):
        assert short(row.asked) in line and f"{row.score.value:.4f}" in line and f"{made.change(row):+.4f}" in line
    whole = markdown.render(made)
    assert markdown.escaped(markdown.results(made)) in whole
    assert markdown.escaped(markdown.stages(made)) in whole
    assert all(
        name in whole
        for name in ("IoU by class", "| never seen |", "dice_pooled", "iou_pooled", "tolerance 1e-04", made.machine.cpu)
    )


def test_json_is_read_back_equal(html: str, made: Report, folder: Path) -> None:
    assert report.read(folder) == made
    plain = json.loads((folder / "report.json").read_text())
    assert plain["rows"][0]["score"]["value"] == made.rows[0].score.value


@pytest.mark.parametrize("draw", [plot.accuracy_against_speed, plot.stage_bars])
def test_charts_are_well_formed_and_stay_within_their_box(made: Report, draw: object) -> None:
    figures = {
        "all": made,
        "one row": replace(made, rows=made.rows[:1]),
        "equal rows": replace(made, rows=made.rows[:1] * 4),
        "one row without a score": replace(
            made, rows=(made.rows[0], made_report.row("openvino", "force_float32", 1, float("nan")))
        ),
    }
    for name, figure in figures.items():
        svg = ET.fromstring(draw(figure))  # type: ignore[operator]
        left, top, width, height = map(float, svg.attrib["viewBox"].split())
        for element in svg:
            for x, y in (("x", "y"), ("cx", "cy"), ("x1", "y1"), ("x2", "y2")):
                if x in element.attrib:
                    assert left <= float(element.attrib[x]) <= width, name
                    assert top <= float(element.attrib[y]) <= height, name
    points = ET.fromstring(plot.accuracy_against_speed(made)).findall("circle")
    assert len(points) == len(made.rows) + 2  # one each, and two in the legend


def test_nothing_but_nan_draws_no_chart(made: Report) -> None:
    rows = (made_report.row("openvino", "force_float32", 0, float("nan")),)
    assert plot.accuracy_against_speed(replace(made, rows=rows)) == ""


def test_faster_is_right_and_better_is_up(made: Report) -> None:
    slow, fast = made.rows[0], made.rows[5]
    pair = replace(made, rows=(slow, fast))
    first, second = ET.fromstring(plot.accuracy_against_speed(pair)).findall("circle")[:2]
    assert float(first.attrib["cx"]) < float(second.attrib["cx"])
    assert float(first.attrib["cy"]) < float(second.attrib["cy"])


def test_without_jinja_json_and_markdown_are_written_and_the_cure_is_said(
    made: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jinja2" else real(name))
    with pytest.raises(MissingExtraError, match=r"pip install 'densecast\[report\]'"):
        report.write(made, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.json", "report.md"]


def test_folders_without_a_report_and_files_of_others_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"holds no report\.json"):
        report.read(tmp_path)
    (tmp_path / "report.json").write_text('{"rows": []}')
    with pytest.raises(BadConfigError, match=r"report\.json"):
        report.read(tmp_path)


def paced(made: Report, answer: Answer, why: str) -> list[str]:
    """What is found where the second row was timed beside the first with this outcome."""
    pace = Pace("fp32", Ratio(0.81, 0.7, 0.95), 15, answer, why, 0.8, CpuLoad(0.9, 4.0, 5.0))
    rows = (made.rows[0], replace(made.rows[1], pace=pace))
    return replace(made, rows=rows).findings()


def test_a_speed_is_stated_with_its_interval_or_as_undecided(made: Report) -> None:
    (line,) = paced(made, "no", "not faster")
    assert line == (
        "openvino: fp16 does not pay off here. End to end it runs at 0.81 (0.70 to 0.95) times the speed of fp32."
    )
    (line,) = paced(made, "undecided", "could not be decided: other programs took 90 % of the CPUs")
    assert line == (
        "openvino: whether fp16 is faster than fp32 could not be decided: other programs took 90 % of the CPUs."
    )
    assert paced(made, "yes", "faster") == []


@pytest.mark.parametrize(("low", "high", "told"), [(-0.001, 0.0014, False), (0.0001, 0.0014, True), (-0.2, -0.1, True)])
def test_a_change_stands_with_its_interval_and_is_called_none_where_0_lies_inside(
    low: float, high: float, told: bool, made: Report
) -> None:
    row = replace(made.rows[1], change=Interval(0.0002, low, high))
    report_ = replace(made, rows=(made.rows[0], row))
    assert f"[{low:+.4f}, {high:+.4f}]" in markdown.results(report_) and f"[{low:+.4f}" in page.render(
        replace(report_, images=()), Path()
    )
    said = "Over 32 images the change of openvino fp16 could not be told apart from 0."
    assert (said in report_.findings()) != told


def test_what_others_took_of_the_cpus_meanwhile_is_said(made: Report) -> None:
    shares = (0.02, 0.4)
    rows = [
        replace(row, timing=replace(row.timing, load=CpuLoad(share)))
        for row, share in zip(made.rows[:2], shares, strict=True)
    ]
    text = markdown.render(replace(made, rows=tuple(rows)))
    assert "While models were timed, other programs took 2 % to 40 % of the CPUs." in text
    assert "While models were timed" not in markdown.render(made)


@pytest.mark.parametrize(
    ("samples", "spread"), [([2.0] * 10, 0.0), ([1.0, 1.0, 2.0, 2.0, 3.0], 1.0), ([1.0] * 4, None)]
)
def test_the_spread_of_a_run_is_that_of_its_fifths(samples: list[float], spread: float | None) -> None:
    assert spread_of(samples) == spread
