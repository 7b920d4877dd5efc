"""Curves of cost are measured one by one into one file that is gone on with, and have the exponents of their points."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def scaling() -> Iterator[ModuleType]:
    folder = str(Path(__file__).parents[1] / "benchmarks")
    before = set(sys.modules)
    sys.path.insert(0, folder)
    try:
        import scaling

        yield scaling
    finally:
        sys.path.remove(folder)
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(folder):
                del sys.modules[name]


def test_the_exponent_is_the_slope_of_the_logarithms(scaling: ModuleType) -> None:
    points = {0.0: {"ms": 1.0}, **{float(x): {"ms": 3.0 * x**0.75, "peak_mb": 0.0} for x in (1, 4, 16, 64)}}
    assert scaling.exponent(points, "ms") == 0.75
    assert scaling.exponent(points, "peak_mb") is None and scaling.exponent(points, "cpu_ms") is None


def test_a_file_is_gone_on_with_and_a_named_curve_is_measured_again(
    scaling: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []

    def curve(name: str, growth: float) -> object:
        def points(work: Path) -> dict[float, dict[str, float]]:
            called.append(name)
            return {x: scaling.times([2.0 * x**growth], [x**growth]) | {"peak_mb": 100.0} for x in (1.0, 10.0)}

        return points

    curves = {"one": ("images, throughput", curve("one", 0.0)), "two": ("pixels, latency", curve("two", 1.0))}
    monkeypatch.setattr(scaling, "CURVES", curves)
    kept = tmp_path / "scaling.json"

    def run(*words: str) -> dict[str, dict[str, float]]:
        monkeypatch.setattr(sys, "argv", ["scaling.py", "--work", str(tmp_path), "--json", str(kept), *words])
        called.clear()
        scaling.main()
        series: dict[str, dict[str, float]] = json.loads(kept.read_text(encoding="utf-8"))["series"]
        return series

    assert list(run("--only", "two")) == ["pixels, latency"] and called == ["two"]
    found = run()
    assert called == ["one"] and list(found) == ["images, throughput", "pixels, latency"]
    assert [found[name]["exponent"] for name in found] == [0.0, 1.0]
    run("--only", "two", "--plot", str(tmp_path / "plot.svg"))
    assert called == ["two"] and (tmp_path / "plot.svg").is_file()
    run()
    assert called == []
