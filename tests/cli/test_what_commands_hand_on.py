"""Every option of a command reaches the verb that does the work, as it was typed or as its default."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_line import StandInVerb, densecast
from made_images import write_jpeg

from densecast.errors import BadInputError
from densecast.pipeline import PipelineConfig
from densecast.results.json_result import ModelRecord, PrecisionReport
from densecast.results.predictions import FailedImage, InferredImage, InferredVideo, InferResult
from densecast.results.stored import ShardResult
from densecast.spec.augment import Augment
from densecast.spec.data_options import Data
from densecast.spec.options import BuildOptions, InputShape
from densecast.spec.precision import PrecisionRan
from densecast.spec.serve_options import ServeOptions
from densecast.spec.store_options import StoreOptions
from densecast.spec.verb_options import BenchmarkOptions, EvaluateOptions, InferOptions, MaxDrop, TuneOptions
from densecast.verbs.reproduce import RunOptions
from densecast.verbs.serve import ServedModel, Serving

MODEL = ModelRecord("tiny", "openvino", "made", PrecisionReport(None, PrecisionRan("f16", {"f16": 3}, "made up")))
RESULT = InferResult((InferredImage(Path("a.jpg"), Path("out/a.png")),), MODEL)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    write_jpeg(tmp_path / "images" / "a.jpg", (8, 8))
    write_jpeg(tmp_path / "images" / "b.jpg", (8, 8))
    return tmp_path / "images"


@pytest.fixture
def infer(monkeypatch: pytest.MonkeyPatch) -> StandInVerb:
    verb = StandInVerb(RESULT)
    monkeypatch.setattr("densecast.verbs.infer.infer", verb)
    return verb


def test_predictions_are_made_as_it_is_asked(infer: StandInVerb, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    ended = densecast("infer", "made", images, "--out", out, "-q")
    assert (ended.code, ended.out, ended.err) == (0, f"1 results in {out} (f16)\n", "")
    config, found, where = infer.given
    assert config == PipelineConfig(Path("made"), None, "latency", Augment(), "")
    assert [each.path.name for each in found.images] == ["a.jpg", "b.jpg"] and where == out
    assert infer.named["options"] == InferOptions() and infer.named["batch"] is infer.named["json_file"] is None
    assert not any(infer.named[name] for name in ("overlay", "scores", "colour"))
    words = ("--threads", "3", "--batch", "2", "--device", "GPU", "--flip", "--ratios", "0.5,1.5", "--limit", "1")
    file = tmp_path / "a.json"
    ended = densecast("infer", "made", images, "--out", out, "-q", *words, "--json", file, "--recursive", "--colour")
    assert ended.code == 0, ended.err
    config, found, _ = infer.given
    assert config == PipelineConfig(Path("made"), 3, "latency", Augment((0.5, 1.5), True), "GPU")
    assert [each.path.name for each in found.images] == ["a.jpg"]
    assert (infer.named["batch"], infer.named["json_file"]) == (2, file) and infer.named["options"].recursive
    assert [infer.named[name] for name in ("overlay", "scores", "colour")] == [False, False, True]
    assert not file.exists()  # the verb writes it, image by image


def test_what_became_of_images_and_videos_is_told_line_by_line(
    infer: StandInVerb, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    infer.result = replace(
        RESULT,
        failed=(FailedImage("b.jpg", "b.jpg is damaged."),),
        skipped=RESULT.results * 2,
        videos=(
            InferredVideo("clip.mp4", Path("out/clip.jsonl"), 7, 1.5),
            InferredVideo("0", Path("out/0.jsonl"), 5, 0.25, 2, Path("out/0.mp4")),
        ),
    )
    ended = densecast("infer", "made", images, "--out", out, "-q")
    assert ended.out.splitlines() == [
        f"1 results in {out} (f16), 2 were there",
        "clip.mp4: 7 frames of 1.50 s in out/clip.jsonl",
        "0: 5 frames of 0.25 s in out/0.jsonl, 2 missed, drawn in out/0.mp4",
    ]
    assert ended.code == 3
    assert ended.err.splitlines() == [
        "densecast: b.jpg is damaged.",
        f"densecast: 1 of 4 images could not be used; the others' results are in {out}.",
    ]
    infer.result = RESULT
    plain = json.loads(densecast("infer", "made", images, "--out", out, "-q", "--json", "-").out)
    assert plain["results"] == [{"image": "a.jpg", "file": "out/a.png"}] and infer.named["json_file"] is None


def test_with_a_store_predictions_are_kept_and_what_has_no_effect_is_refused(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow")
    verb = StandInVerb(ShardResult("kept", "1/2", 4, 3, {"a": "a is bad"}))
    monkeypatch.setattr("densecast.verbs.stored.infer.infer_stored", verb)
    words = ("infer", "made", images, "--store", "kept", "--shard", "1/2", "--max-errors", "1", "-q")
    ended = densecast(*words, "--batch", "2", "--threads", "3", "--flip")
    assert (ended.code, ended.out) == (0, "shard 1/2 of kept: 3 of 4 images done, 1 failed\n")
    assert ended.err == "densecast: failed: a is bad\n"
    assert verb.given == (
        PipelineConfig(Path("made"), 3, "throughput", Augment(flip=True), ""),
        [str(images)],
        StoreOptions("kept", shard="1/2", max_errors="1"),
    )
    assert (verb.named["out"], verb.named["batch"], verb.named["options"]) == (None, 2, InferOptions())
    (tmp_path / "list.txt").write_text("a.jpg\n")
    for name, value in (
        ("overlay", ()),
        ("scores", ()),
        ("colour", ()),
        ("list", (tmp_path / "list.txt",)),
        ("limit", (1,)),
    ):
        ended = densecast(*words, f"--{name}", *map(str, value))
        assert (ended.code, ended.out) == (2, "")
        assert ended.err == f"densecast: --{name} has no effect on runs with --store: leave it out.\n"
    ended = densecast("infer", "made", images, "-q")
    assert ended.code == 2 and "name a folder for the predictions with --out, or a --store" in ended.err


def test_a_server_says_where_it_is_and_what_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    verb = StandInVerb(None)
    monkeypatch.setattr("densecast.verbs.serve.serve", verb)
    assert densecast("serve", "a", "b=c", "--port", "0", "--workers", "2").code == 0
    assert verb.given == (["a", "b=c"], ServeOptions(port=0, workers=2, access_log=True))
    assert densecast("serve", "a", "-q").code == 0
    assert verb.given == (["a"], ServeOptions(access_log=False))
    told: list[str] = []
    for models in ((), (ServedModel("a", "1", "made", "float16"), ServedModel("b", "7", "other", "int8"))):
        monkeypatch.setattr(
            "densecast.verbs.serve.serve",
            lambda artifacts, options, *, ready, models=models: ready(Serving("http://here:1", models)),
        )
        told.append(densecast("serve", "a").out)
    assert told == [
        "Serving nothing yet at http://here:1\n",
        "Serving a:1 (float16), b:7 (int8) at http://here:1\n",
    ]


class Ends(StandInVerb):
    """Stands for a verb whose result is not looked at: ends once it was asked."""

    def __call__(self, *given: Any, **named: Any) -> Any:
        super().__call__(*given, **named)
        raise BadInputError("that was all.")


def given_to(verb: str, monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a command hands on to the verb."""
    ends = Ends(None)
    monkeypatch.setattr(verb, ends)
    ended = densecast(*words, "-q")
    assert ended.err == "densecast: that was all.\n", ended.err
    return ends.given, ends.named


def test_a_benchmark_is_made_as_it_is_asked(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verb = "densecast.verbs.benchmark.benchmark"
    given, _ = given_to(verb, monkeypatch, "benchmark", "made")
    assert given == (PipelineConfig(Path("made"), None, "latency"), [], BenchmarkOptions())
    words = ("--mode", "throughput", "--threads", "2", "--device", "GPU", "--count", "7", "--batch", "3")
    given, _ = given_to(verb, monkeypatch, "benchmark", "made", images, *words)
    assert given[0] == PipelineConfig(Path("made"), 2, "throughput", device="GPU")
    assert [path.name for path in given[1]] == ["a.jpg", "b.jpg"]
    assert given[2] == BenchmarkOptions(images=7, batch=3)
    ended = densecast("benchmark", "made", "--mode", "fast")
    assert ended.code == 2 and "fast" in ended.err


def test_an_evaluation_is_made_as_it_is_asked(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    words = ("evaluate", artifacts / "built", "--data", "there", "--threads", "1", "--batch", "2", "--limit", "3")
    given, named = given_to("densecast.verbs.evaluate.evaluate", monkeypatch, *words, "--results", "r.json")
    pipeline, place, options = given
    assert (pipeline.config.num_threads, place) == (1, Data(Path("there")))
    assert options == EvaluateOptions(batch=2, limit=3) and named["results"] == Path("r.json")
    assert "stored" not in named
    kept = (*words, "--store", "kept", "--flip")
    given, named = given_to("densecast.verbs.evaluate.evaluate", monkeypatch, *kept)
    assert given[0] == PipelineConfig(artifacts / "built", 1, "throughput", Augment(flip=True))
    assert named["stored"] == StoreOptions("kept") and named["results"] is None
    shard = ("--shard", "2/3")
    given, named = given_to("densecast.verbs.stored.evaluate.evaluate_shard", monkeypatch, *kept, *shard)
    assert given[1:] == (Data(Path("there")), options) and named["stored"] == StoreOptions("kept", shard="2/3")
    ended = densecast(*kept, *shard, "--results", "r.json")
    assert ended.code == 2 and "--results is of all images: write it when all shards are done." in ended.err


def test_each_kind_of_build_is_handed_to_its_own_verb(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = ("build", artifacts / "float")
    given, named = given_to("densecast.verbs.builder.build", monkeypatch, *source)
    assert given[0].folder == artifacts / "float" and given[1] is None
    assert given[2] == BuildOptions(precision="force_float32") and (named["data"], named["on"]) == (None, "local")
    words = (*source, "--out", "out", "--data", "there", "-b", "onnxruntime", "--height", "32", "--width", "48")
    given, named = given_to("densecast.verbs.builder.build", monkeypatch, *words, "-p", "int8", "--on", "ray")
    shape = InputShape(height=32, width=48)
    int8 = BuildOptions("onnxruntime", "qint8_mixed_float16", shape)
    assert given[1:] == (Path("out"), int8) and (named["data"], named["on"]) == (Data(Path("there")), "ray")
    # A search builds int8 where nothing else is said; tuning does where there are images, and else 16 bits.
    tuned = ("--tune", "--time-budget", "7")
    given, named = given_to("densecast.verbs.builder.tune.tune", monkeypatch, *words, *tuned)
    assert given[1:] == (Path("out"), int8, TuneOptions(seconds=7)) and named["data"] == Data(Path("there"))
    given, _ = given_to("densecast.verbs.builder.tune.tune", monkeypatch, *source, "--tune")
    assert given[2:] == (BuildOptions(precision="force_float16"), TuneOptions())
    drop = ("--max-drop", "0.5", "--drop-data", "other", "--drop-images", "9")
    given, named = given_to("densecast.verbs.mixed_precision.build_within", monkeypatch, *words, *drop)
    assert given[1:] == (Path("out"), int8, MaxDrop(0.5, images=9))
    assert (named["data"], named["accuracy_data"], named["on"]) == (Data(Path("there")), Data(Path("other")), "local")
    given, named = given_to("densecast.verbs.mixed_precision.build_within", monkeypatch, *words, *drop[:2])
    assert named["accuracy_data"] is None
    for more, said in (
        (("--max-drop", "0.5", "--tune"), "--tune and --max-drop are two searches: pass one of them."),
        (("--tune", "--on", "ray"), "tuning times this machine: leave --on out."),
    ):
        ended = densecast(*words, *more)
        assert ended.code == 2 and said in ended.err


def test_a_run_is_made_as_it_is_asked(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    verb = "densecast.verbs.reproduce.reproduce"
    source = ("run", artifacts / "float", "--out", "out")
    given, named = given_to(verb, monkeypatch, *source)
    assert given[:2] == (artifacts / "float", Path("out"))
    each_alone = RunOptions(evaluate=EvaluateOptions(batch=1), benchmark=BenchmarkOptions(batch=1))
    assert given[2] == each_alone
    assert named["data"] == Data() and named["labels"] is named["preprocess"] is named["checkpoint"] is None
    words = ("--backends", "onnxruntime", "--precisions", "fp32,int8", "--batch", "2", "--limit", "5", "--fresh")
    given, named = given_to(verb, monkeypatch, *source, *words, "--data", "there", "--tune", "--time-budget", "9")
    found = given[2]
    assert (found.backends, found.precisions) == (("onnxruntime",), ("force_float32", "qint8_mixed_float16"))
    assert (found.evaluate.batch, found.evaluate.limit, found.benchmark.batch, found.fresh) == (2, 5, 2, True)
    assert (found.tune, found.max_drop, named["data"]) == (TuneOptions(seconds=9), None, Data(Path("there")))
    given, _ = given_to(
        verb, monkeypatch, *source, "--max-drop", "0.25", "--calibration-split", "all", "--device", "cuda"
    )
    assert (given[2].max_drop, given[2].tune) == (MaxDrop(0.25), None)
    assert (given[2].device, given[2].fresh, given[2].build.quantize.split) == ("cuda", False, "all")
