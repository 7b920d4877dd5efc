"""A layer's time at the roofline is that of its arithmetic or of its bytes, whichever is longer; energy is counted."""

from __future__ import annotations

import itertools
from pathlib import Path
from xml.etree import ElementTree

import pytest

from densecast.report import roofline as shown
from densecast.runtime.energy import EnergyMeter
from densecast.runtime.roofline import LayerCost, Peaks, Roofline

PEAKS = Peaks({"int8": 4e12, "float32": 1e11}, 2e10, 2, "a CPU")


def layer(name: str, kind: str, ms: float, macs: int, moved: int) -> LayerCost:
    return LayerCost(name, (f"/{name}/Conv",), "Convolution" if macs else "Pooling", "jit", kind, ms, macs, moved)


@pytest.mark.parametrize(
    ("kind", "macs", "moved", "least_ms", "bound"),
    [
        ("int8", 8_000_000_000, 1_000_000, 2.0, "arithmetic"),  # 8e9 / 4e12 s
        ("float32", 8_000_000_000, 1_000_000, 80.0, "arithmetic"),  # 8e9 / 1e11 s
        ("int8", 1_000_000, 40_000_000, 2.0, "memory"),  # 4e7 / 2e10 s
        ("int8", 0, 20_000_000, 1.0, "memory"),
        ("int4", 8_000_000_000, 20_000_000, 1.0, "memory"),  # no peak of this type is known
    ],
)
def test_the_longer_of_arithmetic_and_memory_bounds_a_layer(
    kind: str, macs: int, moved: int, least_ms: float, bound: str
) -> None:
    one = layer("a", kind, 4.0, macs, moved)
    assert one.least_ms(PEAKS) == pytest.approx(least_ms)
    assert one.bound(PEAKS) == bound
    assert one.share(PEAKS) == pytest.approx(least_ms / 4.0)


def test_shares_of_the_peak_are_of_the_type_that_ran() -> None:
    assert layer("a", "int8", 4.0, 8_000_000_000, 0).share_of_peak(PEAKS) == pytest.approx(0.5)
    assert layer("a", "int4", 4.0, 8_000_000_000, 0).share_of_peak(PEAKS) is None
    assert layer("a", "int8", 4.0, 0, 10).share_of_peak(PEAKS) is None


def test_layers_that_lose_most_come_first_in_the_table_and_all_are_drawn_in_order() -> None:
    layers = (
        layer("near.the.roof", "int8", 2.1, 8_000_000_000, 0),
        layer("far <from> it", "int8", 9.0, 8_000_000_000, 0),
        layer("small", "int8", 0.5, 4_000_000, 0),
    )
    found = Roofline(layers, PEAKS, 12.0, (1, 3, 8, 8), 11)
    assert found.least_ms == pytest.approx(2.0 + 2.0 + 0.001) and found.timed_ms == pytest.approx(11.6)
    text = shown.text(found)
    assert text.index("far <from> it") < text.index("small") < text.index("near.the.roof")
    assert "22 %" in text and "4.00 TMAC/s" in text and "20.0 GB/s" in text
    drawn = shown.svg(found, "a & b")
    names = [each.text for each in ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]
    assert names.index("near.the.roof") < names.index("far <from> it") < names.index("small")
    widths = [
        float(each.get("width", "0")) for each in ElementTree.fromstring(drawn).iter() if each.tag.endswith("rect")
    ]
    assert widths[0] == pytest.approx(300 * 2 / 9, abs=0.1) and widths[3] == pytest.approx(300 * 7 / 9, abs=0.1)


def test_energy_is_that_of_all_packages_and_counters_start_over(tmp_path: Path) -> None:
    def write(package: str, microjoules: int) -> None:
        folder = tmp_path / package
        folder.mkdir(exist_ok=True)
        (folder / "energy_uj").write_text(f"{microjoules}\n")
        (folder / "max_energy_range_uj").write_text("10000000\n")

    write("intel-rapl:0", 9_000_000)
    write("intel-rapl:1", 1_000_000)
    write("intel-rapl:0:0", 0)  # a part of the first package
    meter = EnergyMeter(tmp_path)
    write("intel-rapl:0", 500_000)  # 1.5 J on, past where it starts over
    write("intel-rapl:1", 1_250_000)
    write("intel-rapl:0:0", 900_000)
    assert meter.joules() == pytest.approx(1.75)
    write("intel-rapl:0", 600_000)
    assert meter.joules() == pytest.approx(1.85)


def test_energy_is_unknown_where_nothing_can_be_read(tmp_path: Path) -> None:
    assert EnergyMeter(tmp_path).joules() is None
    (tmp_path / "intel-rapl:0").mkdir()
    assert EnergyMeter(tmp_path).joules() is None


def test_the_colours_of_the_bars_are_named_below_them() -> None:
    found = Roofline((layer("a", "int8", 4.0, 8_000_000_000, 0),), PEAKS, 12.0, (1, 3, 8, 8), 11)
    root = ElementTree.fromstring(shown.svg(found, "title"))
    parts = [each for each in root.iter() if each.tag.rpartition("}")[2] in ("rect", "text")]
    named = {
        str(text.text): str(field.get("fill"))
        for field, text in itertools.pairwise(parts)
        if field.tag.endswith("rect") and text.tag.endswith("text") and field.get("height") == "12"
    }
    bars = [str(each.get("fill")) for each in parts if each.tag.endswith("rect")][:2]
    assert named == {"at the roofline": bars[0], "above it": bars[1]}
