"""Two finished results: what became worse, whether that is allowed, and exit code 1 where it is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import densecast, failed
from hypothesis import given, settings
from hypothesis import strategies as some

from densecast.errors import BadInputError, UnknownNameError, UsageError
from densecast.verbs.compare_results import Tolerance, compare_results, parse_tolerance, published


def result(path: Path, miou: float | None, speed: float = 10.0, ids: str = "same", count: int = 5) -> str:
    """As `evaluate --json` and `benchmark --json` write theirs, in one file."""
    data: dict[str, Any] = {
        "score": {
            "name": "mIoU",
            "value": miou,
            "better": "higher",
            "count": count,
            "others": {"aAcc": 0.9},
            "data": {"ids_sha256": ids},
        },
        "throughput": {"images_per_s": speed},
        "stages": {"infer": {"p50_ms": 1000 / speed}},
    }
    path.write_text(json.dumps(data))
    return str(path)


@pytest.mark.parametrize(
    ("miou", "speed", "tolerance", "code"),
    [
        (0.695, 10.0, "mIoU=0.0051", 0),
        (0.694, 10.0, "mIoU=0.0051", 1),
        (0.9, 10.0, "mIoU=0", 0),  # better is never too much
        (0.7, 9.6, "images_per_s=5%", 0),
        (0.7, 9.4, "images_per_s=5%", 1),
        (0.7, 9.4, "infer.p50_ms=5%", 1),  # of times, less is better
        (0.7, 11.0, "infer.p50_ms=0", 0),
    ],
)
def test_the_gate_is_the_stated_one(miou: float, speed: float, tolerance: str, code: int, tmp_path: Path) -> None:
    left, right = result(tmp_path / "a.json", 0.7), result(tmp_path / "b.json", miou, speed)
    ended = densecast("compare", "results", left, right, "--tolerance", tolerance)
    assert ended.code == code, ended.err
    assert ("FAIL" in ended.out) == bool(code)
    if code:
        assert tolerance.partition("=")[0] in ended.err


def noisy(path: Path, speed: float, spread: float | None, others: float | None = 0.0) -> str:
    """As `benchmark --json` writes it."""
    data = json.loads(Path(result(path, 0.7, speed)).read_text())
    data |= {"spread": spread, "load": {"others": others, "before": 1.0, "after": 1.0}}
    path.write_text(json.dumps(data))
    return str(path)


@pytest.mark.parametrize(
    ("speed", "spreads", "others", "verdict"),
    [
        (9.6, (0.005, 0.002), (0.0, 0.0), "pass"),  # worse by 0.4 of 0.5, noise 0.05
        (9.6, (0.005, 0.03), (0.0, 0.0), "undecided"),  # noise 0.29
        (9.6, (0.03, 0.005), (0.0, 0.0), "undecided"),
        (9.4, (0.005, 0.002), (0.0, 0.0), "FAIL"),  # worse by 0.6
        (9.4, (0.02, 0.002), (0.0, 0.0), "undecided"),  # noise 0.2
        (7.0, (0.02, 0.1), (0.0, 0.0), "FAIL"),  # worse by 3, noise 0.7
        (12.0, (0.2, 0.02), (0.0, 0.0), "pass"),  # better by 2, noise 2: 2.5 from the limit
        (7.0, (0.01, 0.01), (0.0, 0.6), "undecided"),
        (12.0, (0.01, 0.01), (0.6, 0.0), "undecided"),
        (9.4, (None, None), (None, None), "FAIL"),  # nothing is known of the noise
    ],
)
@pytest.mark.parametrize("name", ["images_per_s", "rows"])
def test_a_speed_is_not_judged_where_noise_exceeds_the_difference(
    speed: float,
    spreads: tuple[float | None, float | None],
    others: tuple[float | None, float | None],
    verdict: str,
    name: str,
    tmp_path: Path,
) -> None:
    left = noisy(tmp_path / "a.json", 10.0, spreads[0], others[0])
    right = noisy(tmp_path / "b.json", speed, spreads[1], others[1])
    if name == "rows":  # the same in a report
        for path in (Path(left), Path(right)):
            data = json.loads(path.read_text())
            timing = {**data["throughput"], "spread": data["spread"], "load": data["load"]}
            path.write_text(json.dumps({"rows": [{"artifact": "x", "score": data["score"], "timing": timing}]}))
    arguments = (left, right, "--tolerance", "images_per_s=0.5", "--tolerance", "mIoU=0")
    ended = densecast("compare", "results", *arguments, "--json", tmp_path / "out.json")
    assert ended.code == (0 if verdict == "pass" else 1)
    assert verdict in ended.out and ("could not be decided" in ended.err) == (verdict == "undecided")
    rows = {row["name"].split("/")[-1]: row for row in json.loads((tmp_path / "out.json").read_text())}
    assert rows["images_per_s"]["passed"] == (verdict == "pass")
    assert rows["mIoU"]["passed"] and not rows["mIoU"]["undecided"]


def test_without_a_tolerance_nothing_is_gated(tmp_path: Path) -> None:
    left, right = result(tmp_path / "a.json", 0.7), result(tmp_path / "b.json", 0.1)
    ended = densecast("compare", "results", left, right, "--json", "-")
    assert ended.code == 0
    rows = {row["name"]: row for row in json.loads(ended.out)}
    assert rows["mIoU"]["worse"] == pytest.approx(0.6) and rows["mIoU"]["allowed"] is None


def test_published_tables_are_a_baseline(tmp_path: Path) -> None:
    right = result(tmp_path / "b.json", 0.6902, count=1449)
    assert densecast("compare", "results", "published:fcn8s_bs1/ascend310", right, "--tolerance", "mIoU=0").code == 0
    worse = result(tmp_path / "c.json", 0.68, count=1449)
    assert densecast("compare", "results", "published:fcn8s_bs1/ascend310", worse, "--tolerance", "mIoU=0").code == 1
    assert "fcn8s_bs1" in failed(2, "compare", "results", "published:fcn8s_bs2/ascend310", right)


def test_the_published_tables_are_those_of_the_references() -> None:
    rows = published()
    assert len(rows) == 27 and all(row.source for row in rows.values())
    # Each from another README.
    assert rows["ocrnet/qint8_mixed_float16"].values == {"mIoU": 0.7893, "mAcc": 0.8732, "aAcc": 0.9627}
    assert rows["hrnet/force_float32"].values == {"AP": 0.6542, "AR": 0.7099}
    assert rows["unet_carvana/qint8_mixed_float16"].values == {"dice_per_image": 0.9906}
    assert rows["fcn8s_bs16/ascend310"].values["post_ms"] == 1175.12


def test_scores_over_other_images_are_not_compared(tmp_path: Path) -> None:
    left, right = result(tmp_path / "a.json", 0.7), result(tmp_path / "b.json", 0.7, ids="others")
    with pytest.raises(UsageError, match="other images"):
        compare_results(left, right, [])
    assert compare_results(left, right, [], other_images=True)
    with pytest.raises(UsageError, match="5 and 1449"):
        compare_results(left, result(tmp_path / "c.json", 0.7, count=1449), [])


def test_a_reports_rows_are_told_apart_and_gated_together(tmp_path: Path) -> None:
    def report(path: Path, miou: float) -> str:
        score = {"name": "mIoU", "value": miou, "better": "higher", "count": 5}
        rows = [{"artifact": name, "score": score, "timing": {"images_per_s": 3.0}} for name in ("fp32", "int8")]
        path.write_text(json.dumps({"rows": rows}))
        return str(path)

    left, right = report(tmp_path / "a.json", 0.7), report(tmp_path / "b.json", 0.6)
    rows = compare_results(left, right, [parse_tolerance("mIoU=0.01")])
    assert [row.name for row in rows if not row.passed] == ["fp32/mIoU", "int8/mIoU"]


def test_a_score_of_nothing_is_no_pass(tmp_path: Path) -> None:
    left, right = result(tmp_path / "a.json", 0.7), result(tmp_path / "b.json", None)
    with pytest.raises(UnknownNameError, match="mIoU"):
        compare_results(left, right, [parse_tolerance("mIoU=0.01")])


@pytest.mark.parametrize("text", ["mIoU", "mIoU=", "=1", "mIoU=-1", "mIoU=nan", "mIoU=x%"])
def test_a_malformed_tolerance_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="NAME=AMOUNT"):
        parse_tolerance(text)


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", '{"score": 3}', '{"rows": [3]}'])
def test_a_file_that_is_no_result_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(BadInputError):
        compare_results(str(path), str(path), [])


@settings(max_examples=60, deadline=None)
@given(
    speeds=some.tuples(some.floats(1, 100), some.floats(1, 100), some.floats(1, 100)),
    allowed=some.tuples(some.floats(0, 0.5), some.floats(0, 0.5)),
    spread=some.none() | some.floats(0, 0.3),
    relative=some.booleans(),
)
def test_a_looser_tolerance_or_a_better_candidate_never_fails_what_passed(
    speeds: tuple[float, float, float],
    allowed: tuple[float, float],
    spread: float | None,
    relative: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("speeds")
    baseline, (slower, faster) = speeds[0], sorted(speeds[1:])
    files = [noisy(folder / f"{place}.json", speed, spread) for place, speed in enumerate((baseline, slower, faster))]

    def passes(candidate: str, amount: float) -> bool:
        tolerances = [Tolerance("images_per_s", amount * (1 if relative else baseline), relative)]
        (row,) = [row for row in compare_results(files[0], candidate, tolerances) if row.allowed is not None]
        return row.passed

    strict, loose = sorted(allowed)
    found = {(candidate, amount): passes(candidate, amount) for candidate in files[1:] for amount in (strict, loose)}
    for candidate in files[1:]:
        assert found[candidate, strict] <= found[candidate, loose]
    for amount in (strict, loose):
        assert found[files[1], amount] <= found[files[2], amount]
