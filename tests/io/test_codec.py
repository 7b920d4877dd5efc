"""What is written is read back equal, and what is not ours is refused with the nearest key named."""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from densecast.artifact import (
    CalibrationRecord,
    CompiledManifest,
    FloatManifest,
    Manifest,
    NetworkRef,
    ParityRecord,
    WeightsRecord,
)
from densecast.artifact.manifest import from_plain
from densecast.errors import BadConfigError
from densecast.io import codec
from densecast.runtime.machine import Machine
from densecast.spec.model import Evaluation, ModelSpec
from densecast.spec.options import BuildOptions, InputShape, QuantizeOptions, Range
from densecast.spec.precision import PRECISIONS, PrecisionRan
from densecast.spec.preprocess import KeepRatio, Native, PoseAffine, Preprocess, ScaleBy, Stretch
from densecast.spec.sample import SplitRecord
from densecast.spec.score import Score
from densecast.spec.tensor import Dim, TensorSpec
from densecast.tasks.pose import PoseDecode
from densecast.tasks.segmentation import SegmentationDecode

# Names in any script; JSON has no lone surrogates.
texts = some.text(some.characters(exclude_categories=["Cs"]), max_size=20)
sizes = some.integers(1, 1 << 16)
numbers = some.floats(-1e30, 1e30)
ranges = some.tuples(sizes, sizes).map(lambda pair: Range(min(pair), max(pair)))
dims = some.builds(Dim, texts, sizes, sizes, sizes)
tensors = some.builds(TensorSpec, texts, some.sampled_from(["float32", "uint8"]), some.tuples(dims, sizes, dims))


def named_tensors(at_least: int, at_most: int) -> some.SearchStrategy[tuple[TensorSpec, ...]]:
    lists = some.lists(tensors, min_size=at_least, max_size=at_most, unique_by=lambda tensor: tensor.name)
    return lists.map(tuple)


factors = some.floats(1e-3, 1e3)
deviations = some.floats(2, 1e3)
pairs = some.lists(some.tuples(sizes, sizes), max_size=2).map(tuple)
triples = some.tuples(numbers, numbers, numbers)
resizes = some.one_of(
    some.just(Native()),
    some.builds(ScaleBy, factors),
    some.builds(Stretch, some.tuples(sizes, sizes)),
    some.builds(KeepRatio, sizes, sizes),
)
preprocesses = some.builds(
    Preprocess,
    resizes,
    some.sampled_from(["bicubic_pillow", "bilinear_opencv"]),
    some.sampled_from(["RGB", "BGR"]),
    triples,
    some.tuples(deviations, deviations, deviations),
    some.booleans(),
)
evaluations = some.builds(Evaluation, texts, texts, some.sampled_from(["image", "network"]))
colours = some.tuples(*[some.integers(0, 255)] * 3)


@some.composite
def specs(draw: some.DrawFn) -> ModelSpec:
    classes = draw(some.integers(0, 4))
    is_pose = draw(some.booleans())
    preprocess = draw(preprocesses)
    if is_pose:
        preprocess = replace(preprocess, resize=PoseAffine(draw(sizes), draw(sizes), draw(numbers), draw(numbers)))
    return ModelSpec(
        draw(texts),
        "pose" if is_pose else "segmentation",
        draw(named_tensors(at_least=1, at_most=1)),
        draw(named_tensors(at_least=1, at_most=3)),
        preprocess,
        PoseDecode(flip=draw(some.booleans())) if is_pose else SegmentationDecode(draw(some.booleans())),
        tuple(draw(texts) for _ in range(classes)),
        tuple(draw(colours) for _ in range(classes)),
        draw(some.none() | evaluations),
    )


splits = some.builds(
    SplitRecord, texts, some.sampled_from(["train", "val", "all"]), sizes, sizes, some.none() | sizes, texts
)
shapes = some.builds(
    InputShape,
    some.lists(sizes, min_size=1, max_size=4).map(tuple) | ranges,
    some.none() | sizes | ranges,
    some.none() | sizes | ranges,
)
builds = some.builds(
    BuildOptions,
    texts,
    some.sampled_from(PRECISIONS),
    shapes,
    some.builds(QuantizeOptions, sizes, sizes, excluded_names=some.lists(texts, max_size=2).map(tuple)),
    some.sampled_from(["auto", "bf16", "f16"]),
    some.booleans(),
)
machines = some.builds(
    Machine,
    texts,
    sizes,
    sizes,
    some.lists(texts, max_size=3).map(tuple),
    numbers,
    texts,
    texts,
    some.dictionaries(texts, texts, max_size=3),
)
option_values = some.one_of(
    some.booleans(), some.integers(-(1 << 40), 1 << 40), numbers, texts, some.lists(sizes, max_size=3).map(tuple)
)
shared = {
    "spec": specs(),
    "key": texts,
    "created": texts,
    "machine": machines,
    "files": some.dictionaries(texts, texts, max_size=3),
    "network": some.none() | some.builds(NetworkRef, texts, some.dictionaries(texts, option_values, max_size=4)),
    "weights": some.none() | some.builds(WeightsRecord, texts, texts, sizes),
    "parity": some.none() | some.builds(ParityRecord, pairs, numbers, numbers, numbers),
    "measurements": some.dictionaries(texts, numbers, max_size=2),
}
manifests = some.builds(FloatManifest, **shared) | some.builds(
    CompiledManifest,
    **shared,
    parent=texts,
    build=builds,
    calibration=some.none()
    | some.builds(CalibrationRecord, texts, sizes, some.lists(texts, max_size=3).map(tuple), some.none() | splits),
    precision_asked=some.sampled_from(PRECISIONS),
    precision_ran=some.builds(PrecisionRan, texts, some.dictionaries(texts, sizes, max_size=3), texts),
)


@settings(max_examples=50, deadline=None)
@given(specs())
def test_model_specs_survive_json(spec: ModelSpec) -> None:
    assert codec.from_plain(json.loads(codec.to_json(spec)), ModelSpec, "test") == spec


@settings(max_examples=40, deadline=None)
@given(manifests)
def test_manifests_survive_json(manifest: Manifest) -> None:
    read = from_plain(json.loads(codec.to_json(manifest)), "test")
    assert read == manifest
    if manifest.network is not None and read.network is not None:
        # 1, 1.0 and True are equal to Python, but not to a network's options.
        kinds = {name: type(value) for name, value in manifest.network.options.items()}
        assert {name: type(value) for name, value in read.network.options.items()} == kinds


def test_scores_of_nothing_survive_a_file(tmp_path: Path) -> None:
    score = Score("dice", float("nan"), "fraction", "higher", 0, others={"iou": float("nan")})
    (tmp_path / "score.json").write_text(codec.to_json(score))
    read = codec.read(tmp_path / "score.json", Score)
    assert math.isnan(read.value) and math.isnan(read.others["iou"]) and read.count == 0


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        ({"min": 1, "max": 2, "maxx": 3}, "unknown key 'maxx'. Did you mean 'max'?"),
        ({"min": 1, "max": 2, "step": 3}, "unknown key 'step'. Known: min, max."),
        ({"min": 1, "mx": 2}, "max: this key is missing. Is it meant by 'mx'?"),
        ({"min": 1}, "max: this key is missing."),
        ({"min": "one", "max": 2}, "min:"),
        ([1, 2], "top level:"),
        (None, "top level:"),
    ],
)
def test_what_is_not_asked_for_is_refused_with_its_place(plain: object, said: str) -> None:
    with pytest.raises(BadConfigError) as caught:
        codec.from_plain(plain, Range, "job.toml")
    assert str(caught.value).startswith("job.toml: ") and said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_keys_are_found_below_lists_and_tables() -> None:
    plain = codec.to_plain(TensorSpec("image", "float32", (Dim("N", 1, 4), 3)))
    plain["shape"][0]["multipl"] = 2
    with pytest.raises(BadConfigError, match=r"shape\[0\]: unknown key 'multipl'. Did you mean 'multiple'"):
        codec.from_plain(plain, TensorSpec, "manifest.json")


def test_toml_and_json_give_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("min = 3\nmax = 5\n")
    (tmp_path / "a.json").write_text('{"min": 3, "max": 5}')
    assert codec.read(tmp_path / "a.toml", Range) == codec.read(tmp_path / "a.json", Range) == Range(3, 5)


@pytest.mark.parametrize("name", ["a.toml", "a.json"])
@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"{", b"[" * 100_000])
def test_files_that_are_not_what_they_are_called(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadConfigError, match=name):
        codec.read(tmp_path / name, Range)


def test_missing_and_enormous_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfigError, match="cannot be read"):
        codec.read(tmp_path / "no.toml", Range)
    with (tmp_path / "a.json").open("wb") as stream:
        stream.truncate(codec.MAX_BYTES + 1)
    with pytest.raises(BadConfigError, match="larger than 32 MiB"):
        codec.read(tmp_path / "a.json", Range)


def test_file_names_that_are_not_utf_8_come_back_from_json() -> None:
    name = os.fsdecode(b"caf\xe9.png")
    text = codec.json_text({"image": name, "label": "é"})
    assert json.loads(text.encode("utf-8")) == {"image": name, "label": "é"}
    assert "é" in text
