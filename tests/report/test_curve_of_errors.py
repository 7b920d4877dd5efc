"""The chart of inner tensors' errors: each at its power of ten, in the network's order, with lines that say which."""

from __future__ import annotations

import re

import pytest

from densecast.report import curve
from densecast.results.compare import CurvePoint, Findings, Location

EXACT, INFINITE = 0.0, float("inf")


def drawn(*errors: float, location: Location | None = None) -> str:
    points = tuple(CurvePoint(f"t{at}", "layer", "Conv", error, errors[0]) for at, error in enumerate(errors))
    return curve.draw(Findings(location, points, 1))


@pytest.mark.parametrize(
    ("errors", "powers", "low", "high"),
    [
        ((1e-6, 1e-4, 1e-3), (-6, -4, -3), -6, -2),
        ((10**-5.5, 10**-5.25), (-5.5, -5.25), -6, -5),
        ((10**-5.5, 10**-4.75, 10**-5.75), (-5.5, -4.75, -5.75), -6, -4),
        # Exact ones at 1e-9, the largest at 100.
        ((EXACT, 1e-9, 1e-12, 1e-7), (-9, -9, -9, -7), -9, -6),
        ((1e-2, INFINITE, 1e6, 100), (-2, 2, 2, 2), -2, 3),
        ((EXACT, EXACT), (-9, -9), -9, -8),
    ],
)
def test_errors_are_drawn_by_their_power_of_ten(
    errors: tuple[float, ...], powers: tuple[float, ...], low: int, high: int
) -> None:
    picture = drawn(*errors)
    circles = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="2.5"', picture)
    # From 220 pixels up to 14, and from 56 to 628.
    assert [float(y) for _, y in circles] == pytest.approx(
        [220 - (power - low) / (high - low) * 206 for power in powers], abs=0.06
    )
    width = 572 / len(errors)
    assert [float(x) for x, _ in circles] == pytest.approx([56 + (at + 0.5) * width for at in range(len(errors))], 1e-3)
    lines = re.findall(r'<polyline points="([^"]+)" fill="none" stroke="([^"]+)"', picture)
    assert lines[1] == (" ".join(f"{x},{y}" for x, y in circles), "#1864ab")
    assert {each.split(",")[1] for each in lines[0][0].split()} == {circles[0][1]}


@pytest.mark.parametrize(
    ("errors", "told"),
    [
        ((1e-6, 1e-4), ["1e-6", "1e-5", "1e-4", "1e-3"]),
        ((EXACT, 1.0), ["1e-9", "1e-7", "1e-5", "1e-3", "1e-1", "1e1"]),
        ((1e-3, 1e-3), ["1e-3", "1e-2"]),
    ],
)
def test_five_lines_or_a_few_more_say_which_powers(errors: tuple[float, ...], told: list[str]) -> None:
    assert re.findall(r">(1e-?\d+)<", drawn(*errors)) == told
