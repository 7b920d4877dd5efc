"""Artifacts that users have built with manifest format 1 open, answer and say the same; newer formats are refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_images import picture

from densecast.artifact import Artifact, CompiledArtifact, FloatArtifact, format1, manifest
from densecast.artifact.manifest import CompiledManifest, FloatManifest
from densecast.errors import BadArtifactError
from densecast.io import codec
from densecast.pipeline import Pipeline
from densecast.verbs.builder import build
from densecast.verbs.verify import verify

FORMAT1 = Path(__file__).parent / "golden" / "format1"
RENAMED_PASSES = ("transpose_hw", "channels_last_matmul")


def old(name: str) -> tuple[dict[str, Any], manifest.Manifest]:
    path = FORMAT1 / f"{name}.json"
    return json.loads(path.read_text()), manifest.read(path)


def test_a_float_manifest_of_format_1_is_read() -> None:
    plain, read = old("float")
    assert isinstance(read, FloatManifest) and read.format == manifest.FORMAT == 2
    assert [tensor.name for tensor in read.spec.inputs] == [plain["spec"]["input"]["name"]]
    assert [tensor.name for tensor in read.spec.outputs] == [plain["spec"]["output"]["name"]]
    assert read.spec.excluded_types == tuple(plain["spec"]["keep_float_types"])
    assert read.spec.half_type == plain["spec"]["sixteen_bit"]
    assert read.parity is not None and read.parity.relative_error == plain["parity"]["relative_error"]
    assert read.key == plain["key"] and read.files == plain["files"]


def test_a_tuned_manifest_of_format_1_keeps_all_that_was_measured() -> None:
    plain, read = old("tuned")
    assert isinstance(read, CompiledManifest) and read.tuning is not None
    before = plain["tuning"]
    assert read.tuning.winner.half_type == before["winner"]["sixteen_bit"]
    assert read.tuning.winner.graph_passes[-2:] == RENAMED_PASSES
    assert [trial.accepted for trial in read.tuning.trials] == [trial["taken"] for trial in before["trials"]]
    assert [trial.required_ratio for trial in read.tuning.trials] == [trial["needed"] for trial in before["trials"]]
    timing, duel = read.tuning.trials[0].timing, before["trials"][0]["duel"]
    assert timing is not None and timing.ratio == duel["ratio"] and timing.rounds == duel["turns"]
    assert timing.baseline.images_per_s == duel["champion"]["images_per_s"]
    assert timing.candidate.latency_ms == duel["challenger"]["latency_ms"]
    assert read.precision_asked == "qint8_mixed_float16" and read.build.precision == "force_float16"
    assert read.measurements == plain["evidence"] and read.fallback == before["why"]


def test_a_searched_manifest_of_format_1_keeps_all_that_was_measured() -> None:
    plain, read = old("promised")
    assert isinstance(read, CompiledManifest) and read.search is not None
    before = plain["search"]
    assert [trial.half_layers for trial in read.search.trials] == [tuple(trial["kept"]) for trial in before["trials"]]
    assert [trial.drop.high for trial in read.search.trials] == [trial["drop"]["high"] for trial in before["trials"]]
    assert read.search.pareto_front == tuple(before["front"]) and read.search.within_limit == before["kept_promise"]
    assert read.search.options.points == before["asked"]["points"]
    assert read.calibration is not None
    assert read.calibration.calibration_method == plain["calibration"]["estimator"]
    assert read.build.quantize.calibration_method == plain["build"]["quantize"]["estimator"]


def test_a_pose_manifest_of_format_1_is_read() -> None:
    _, read = old("pose_int8")
    assert read.spec.task == "pose" and read.spec.needs_mirror


@pytest.mark.parametrize("name", ["float", "tuned", "promised", "pose_int8"])
def test_what_was_read_is_written_as_format_2_and_read_again(name: str, tmp_path: Path) -> None:
    _, read = old(name)
    (tmp_path / "manifest.json").write_text(codec.to_json(read))
    assert manifest.read(tmp_path / "manifest.json") == read
    assert json.loads((tmp_path / "manifest.json").read_text())["format"] == 2


def test_artifacts_of_format_1_run_and_are_built_from(tmp_path: Path) -> None:
    built = CompiledArtifact.open(FORMAT1 / "tiny_built")
    source = FloatArtifact.open(FORMAT1 / "tiny_float")
    assert verify(built.folder).is_sound and verify(source.folder).is_sound
    again = build(source, tmp_path / "again", built.manifest.build)
    image = picture((64, 96), 1)
    with Pipeline.open(built) as before, Pipeline.open(again) as after:
        np.testing.assert_array_equal(before(image).class_id, after(image).class_id)


def test_a_manifest_whose_keys_another_program_has_sorted_is_as_it_was_written(tmp_path: Path) -> None:
    """Formatters and merges of JSON move keys about, which changes nothing; a number that they change is told."""
    text = manifest.to_json(manifest.read(FORMAT1 / "float.json"))
    (tmp_path / "manifest.json").write_text(json.dumps(json.loads(text), sort_keys=True, indent=7))
    assert manifest.read(tmp_path / "manifest.json") == manifest.read(FORMAT1 / "float.json")
    plain = json.loads(text)
    plain["spec"] = dict(reversed(plain["spec"].items()))
    (tmp_path / "manifest.json").write_text(json.dumps(plain))
    assert manifest.read(tmp_path / "manifest.json") == manifest.read(FORMAT1 / "float.json")
    (tmp_path / "manifest.json").write_text(json.dumps({**plain, "key": "another"}))
    with pytest.raises(BadArtifactError, match="digest"):
        manifest.read(tmp_path / "manifest.json")


def test_a_kind_is_asked_for_by_name(tmp_path: Path) -> None:
    with pytest.raises(BadArtifactError, match="not compiled"):
        CompiledArtifact.open(FORMAT1 / "tiny_float")
    with pytest.raises(BadArtifactError, match="already compiled"):
        FloatArtifact.open(FORMAT1 / "tiny_built")
    assert isinstance(Artifact.open(FORMAT1 / "tiny_built"), CompiledArtifact)
    assert isinstance(Artifact.open(str(FORMAT1 / "tiny_float")), FloatArtifact)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 3}, "newer"),
        ({"format": None}, "format"),
        ({"kind": "other"}, "neither"),
        ({"spec": None}, "spec"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_what_is_no_manifest_of_ours_is_refused(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    folder = tmp_path / "artifact"
    shutil.copytree(FORMAT1 / "tiny_built", folder)
    plain = json.loads((folder / "manifest.json").read_text()) | change
    (folder / "manifest.json").write_text(json.dumps(plain))
    with pytest.raises(BadArtifactError, match=words):
        Artifact.open(folder)


def test_manifests_hold_only_what_their_kind_has() -> None:
    only_compiled = {field.name for field in dataclasses.fields(CompiledManifest)} - {
        field.name for field in dataclasses.fields(FloatManifest)
    }
    assert only_compiled >= {"build", "parent", "precision_asked", "precision_ran", "calibration"}


@pytest.mark.parametrize(("part", "listed"), [("tuning", "trials"), ("search", "trials")])
def test_what_format_1_has_not_written_is_left_for_the_reader_to_refuse(part: str, listed: str) -> None:
    for given in ({}, {listed: None}, {listed: 5}, {listed: {"a": 1}}):
        plain = format1.upgraded({"format": 1, "kind": "compiled", part: dict(given)})
        assert plain == {"format": 2, "kind": "compiled", part: given}
    assert format1.upgraded({part: {listed: [3, {}]}})[part][listed] == [3, {}]
    for odd in (None, 3, []):
        assert format1.upgraded({part: odd, "build": odd, "spec": odd})[part] == odd
