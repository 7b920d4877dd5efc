"""What commands hand to the verbs that do the work, what they print of the result, and how they end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import made_report
import pytest
from command_line import Ended, StandInVerb, densecast
from made_images import write_jpeg

from densecast import report
from densecast.cli import _stored
from densecast.results.data_check import DataCheckResult, DataProblem
from densecast.results.handover import BundleResult
from densecast.results.json_result import ModelRecord, PrecisionReport
from densecast.results.predictions import CollectResult, EvaluateResult
from densecast.results.stored import ShardResult
from densecast.spec.handover_options import BundleOptions
from densecast.spec.precision import PrecisionRan
from densecast.spec.sample import SplitRecord
from densecast.spec.score import Score
from densecast.verbs.diagnose import Finding
from densecast.verbs.verify import Check, Verification


class AllDone(StandInVerb):
    """Tells that all is done."""

    told = (1, 1)


def lines(ended: Ended, code: int = 0) -> list[str]:
    assert ended.code == code, ended.err
    return ended.out.splitlines()


def test_a_bundle_is_told_with_its_size_and_how_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = BundleResult(
        "out", "3.12", "manylinux", "densecast[onnx]", ("a.whl", "b.whl"), ("one",), 12_400_000, {}, ("it is big",)
    )  # fmt: skip
    verb = AllDone(result)
    monkeypatch.setattr("densecast.verbs.bundle.bundle", verb)
    out = tmp_path / "out"
    told = lines(densecast("bundle", "one", "two", "--out", out, "--json", tmp_path / "a.json", "-q"))
    assert told == [
        f"densecast[onnx] for Python 3.12 on manylinux: {out}",
        "2 wheels, 1 artifacts, 12 MB; there: sh install.sh",
        "note: it is big",
    ]
    assert verb.given == ([Path("one"), Path("two")], out, BundleOptions())
    assert json.loads((tmp_path / "a.json").read_text())["size_bytes"] == 12_400_000


@pytest.mark.parametrize(
    ("states", "words", "code", "said"),
    [
        (("ok", "note"), (), 0, ""),
        (("ok", "failed"), (), 1, "made does not compute here what it was built to."),
        (("ok", "failed"), ("--cpu", "vnni"), 1, "made does not compute what it was built to."),
    ],
)
def test_an_artifact_is_verified_check_by_check(
    states: tuple[Any, Any], words: tuple[str, ...], code: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = tuple(Check(name, state, "told") for name, state in zip(("a", "longer"), states, strict=True))
    verb = AllDone(Verification("made", checks, 1.25))
    monkeypatch.setattr("densecast.verbs.verify.verify", verb)
    ended = densecast("verify", "made", *words)
    assert lines(ended, code) == [
        f"{states[0]:<6}  a       told",
        f"{states[1]:<6}  longer  told",
        "1.2 s",
    ]
    assert ended.err == (f"densecast: {said}\n" if said else "")
    assert verb.given == (Path("made"),) and verb.named == {"cpu": words[1] if words else None}


def test_a_diagnosis_looks_at_twenty_images_and_fails_for_what_is_no_number(
    artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_jpeg(tmp_path / "images" / "00.jpg", (8, 8))
    for index in range(1, 22):
        (tmp_path / "images" / f"{index:02}.jpg").write_bytes((tmp_path / "images" / "00.jpg").read_bytes())
    words = ("diagnose", artifacts / "float", "--images", tmp_path / "images", "-q")
    verb = AllDone([])
    monkeypatch.setattr("densecast.verbs.diagnose.diagnose", verb)
    assert lines(densecast(*words)) == ["nothing to act on", "20 images"]
    assert [path.name for path in verb.given[1]] == [f"{index:02}.jpg" for index in range(20)]
    assert lines(densecast(*words, "--limit", "3"))[-1] == "3 images"
    verb.result = [
        Finding("dead channel", "stem", "/a", "0", "leave it out"),
        Finding("not finite", "", "/b", "inf", "x"),
        Finding("not finite", "head", "/c", "nan", "y"),
    ]
    ended = densecast(*words)
    shown = lines(ended, 1)
    assert [each.strip() for each in shown[2].strip("|").split("|")] == ["stem", "dead channel", "0", "leave it out"]
    assert [each.strip() for each in shown[3].strip("|").split("|")] == ["/b", "not finite", "inf", "x"]
    assert ended.err == "densecast: not finite: /b, head.\n"


SCORE = Score("mIoU", 0.71236, "fraction", "higher", 5, others={"aAcc": 0.9}, remarks=("some are missing",))


def test_a_score_is_told_with_what_it_was_measured_on(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    ran = PrecisionReport(None, PrecisionRan("f16", {"f16": 3, "f32": 1}, "made up"))
    model = ModelRecord("tiny", "openvino", "made", ran)
    record = SplitRecord("voc", "train", 5, 9, None, "0123456789abcdef", "pictures and masks beside them")
    told: list[str] = []
    for score, table in ((SCORE, ""), (replace(SCORE, data=record, protocol="voc"), "a table")):
        _stored.tell_score(EvaluateResult(score, model), lambda _, table=table: table, "val", tmp_path / "a.json")
        told.append(capsys.readouterr().out)
        assert json.loads((tmp_path / "a.json").read_text())["score"]["value"] == 0.71236
    assert told[0].splitlines() == [
        "mIoU: 0.7124 over 5 images (val), openvino f16 (3 of 4 layers)",
        "aAcc: 0.9000",
        "note: some are missing",
    ]
    assert told[1].splitlines() == [
        "a table",
        "",
        "mIoU: 0.7124 over 5 images (train), openvino f16 (3 of 4 layers)",
        "aAcc: 0.9000",
        "protocol voc, ids 0123456789ab",
        "data: pictures and masks beside them",
        "note: some are missing",
    ]


@pytest.mark.parametrize(
    ("result", "out", "err"),
    [
        (ShardResult("kept", "1/1", 3, 3, {}), "kept: 3 of 3 images done", []),
        (
            ShardResult("kept", "2/3", 7, 4, {"b": "b: damaged", "a": "no picture"}),
            "shard 2/3 of kept: 4 of 7 images done, 2 failed",
            ["densecast: failed: a: no picture", "densecast: failed: b: damaged"],
        ),
    ],
)
def test_what_a_shard_holds_is_told_and_its_failures_on_standard_error(
    result: ShardResult, out: str, err: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    _stored.tell_shard(result, None)
    told = capsys.readouterr()
    assert told.out.splitlines() == [out] and told.err.splitlines() == err


@pytest.mark.parametrize(("count", "words"), [(0, ""), (1, "1 problem in pictures."), (2, "2 problems in pictures.")])
def test_problems_of_data_are_counted(count: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problems = (DataProblem("size", "of another size"),) * count
    verb = AllDone(DataCheckResult(Path("pictures"), "pairs", "", {}, {}, (), 0, 0, {}, {}, problems, ()))
    monkeypatch.setattr("densecast.verbs.data_check.check_data", verb)
    monkeypatch.setattr("densecast.report.data_check.as_text", lambda found: "as it was found")
    page = tmp_path / "page.html"
    options = ("--html", page, "--model", "made", "--threads", "2", "--limit", "4", "--split", "val", "--suffix", "_m")
    ended = densecast("data", "check", "pictures", *options, "-q")
    assert lines(ended, 1 if count else 0) == ["as it was found"]
    assert ended.err == (f"densecast: {words}\n" if words else "")
    place, model, chosen = verb.given
    assert (place.path, place.options.suffix, model) == (Path("pictures"), "_m", Path("made"))
    assert (chosen.split, chosen.limit) == ("val", 4)
    assert (verb.named["html"], verb.named["threads"]) == (page, 2)


@pytest.mark.parametrize("tool", ["benchmark", "ais_bench"])
def test_a_device_is_simulated_as_the_tool_that_is_named(
    tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verb = AllDone(SimpleNamespace(folder=tmp_path / "there"))
    monkeypatch.setattr("densecast.verbs.handoff.simulate", verb)
    words = ("handoff", "simulate", "folder", "--out", "out", "--json", tmp_path / "a.json", "-q")
    more = () if tool == "benchmark" else ("--tool", tool, "--device", "3")
    assert lines(densecast(*words, *more)) == [f"outputs in {tmp_path / 'there'}"]
    assert verb.given == (Path("folder"), Path("out"), tool) and verb.named["device"] == (3 if more else 0)
    assert json.loads((tmp_path / "a.json").read_text()) == {"outputs": str(tmp_path / "there"), "tool": tool}
    ended = densecast(*words, "--tool", "ais_bensh")
    assert ended.code == 2 and "Did you mean 'ais_bench'" in ended.err


@pytest.mark.parametrize("is_simulated", [False, True])
def test_a_devices_score_is_told_with_its_speed_and_added_to_a_report(
    is_simulated: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("jinja2")
    metric = made_report.row("openvino", "force_float32", 0).score.name
    score = replace(SCORE, name=metric)
    ran = PrecisionReport("force_float16", PrecisionRan("float16", {}, "as it was asked"))
    figures = {"perf.txt": {"compute_per_s": 12.5, "mean_ms": 80.0}}
    result = CollectResult(
        score, figures, "tiny", "Ascend", ran, 4, Path("handoff"), Path("out"), "on a CPU", is_simulated
    )  # fmt: skip
    verb = AllDone(result)
    made = made_report.report(tmp_path / "run")
    report.write(made, tmp_path / "run")
    handoff = SimpleNamespace(spec=made.spec, split="val", precision="force_float16")
    monkeypatch.setattr("densecast.verbs.handoff.collect", verb)
    monkeypatch.setattr("densecast.verbs.handoff.open_handoff", lambda folder: handoff)
    words = ("handoff", "collect", "handoff", "out", "--performance", "a.txt", "--performance", "b.txt", "--tool", "x")
    ended = densecast(*words, "--data", "data", "--report", tmp_path / "run", "-q")
    assert lines(ended)[-3 - is_simulated :] == [
        f"{metric}: 0.7124 over 5 images (val), Ascend",
        *(["on a CPU"] if is_simulated else []),
        "aAcc: 0.9000",
        "perf.txt: compute_per_s 12.5, mean_ms 80",
    ]
    assert verb.given == (Path("handoff"), Path("out"))
    assert (verb.named["data"], verb.named["tool"]) == (Path("data"), "x")
    assert verb.named["performance"] == [Path("a.txt"), Path("b.txt")]
    (row,) = report.read(tmp_path / "run").devices
    assert (row.device, row.asked, row.batch, row.score.value) == ("Ascend", "force_float16", 4, 0.71236)
    assert (row.performance, row.hardware, row.is_simulated) == (figures, "on a CPU", is_simulated)
