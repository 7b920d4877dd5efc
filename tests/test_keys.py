"""A key stands for everything that changes an answer: whatever field of a spec or option changes, so does the key."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import tiny_artifacts
from command_line import densecast, failed
from made_images import carvana

from densecast.artifact import Artifact, CompiledArtifact, FloatArtifact
from densecast.errors import UsageError
from densecast.io import files
from densecast.runtime import machine
from densecast.spec.augment import Augment
from densecast.spec.data_layout import DataLayout, SplitFolders
from densecast.spec.data_options import Data, DataOptions
from densecast.spec.handoff_options import PrepareOptions
from densecast.spec.model import Evaluation, ModelSpec
from densecast.spec.options import BuildOptions, InputShape, Range
from densecast.spec.slide import Slide
from densecast.spec.verb_options import BenchmarkOptions, EvaluateOptions, ExportOptions, MaxDrop
from densecast.tasks.pose import PoseDecode
from densecast.tasks.pose.skeleton import Skeleton
from densecast.verbs._keys import build_key, handoff_key, measure_key, search_key, timing_key
from densecast.verbs.builder import build, default_name
from densecast.verbs.export import export_file
from densecast.verbs.mixed_precision.accuracy import AccuracyEvaluator

OPTIONS = BuildOptions("reference", shape=InputShape(height=16, width=16))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> FloatArtifact:
    opened = tiny_artifacts.exported(tmp_path_factory.mktemp("keys"))
    assert isinstance(opened, FloatArtifact)
    return opened


@pytest.fixture(scope="module")
def built(source: FloatArtifact) -> CompiledArtifact:
    return build(source, source.folder.parent / "built", OPTIONS)


def changed(value: Any, hint: Any) -> Iterator[tuple[str, Any]]:
    """Every way to change one leaf of `value`, with the leaf's name; nothing checks that the result makes sense."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        hints = get_type_hints(type(value))
        for each in dataclasses.fields(value):
            for name, other in changed(getattr(value, each.name), hints[each.name]):
                # Past `__post_init__`: some fields make sense only together.
                copy = object.__new__(type(value))
                for field in dataclasses.fields(value):
                    given = other if field.name == each.name else getattr(value, field.name)
                    object.__setattr__(copy, field.name, given)
                yield f"{each.name}.{name}".rstrip("."), copy
    elif isinstance(value, (tuple, dict)):
        items = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
        for place, item in items:
            for name, other in changed(item, type(item)):
                if isinstance(value, dict):
                    yield f"{place}.{name}", value | {place: other}
                else:
                    yield f"{place}.{name}", (*value[:place], other, *value[place + 1 :])
        if items and (isinstance(value, dict) or Ellipsis in get_args(hint)):
            yield "fewer", dict(items[1:]) if isinstance(value, dict) else value[1:]
    elif get_origin(hint) is Literal:
        # Of one choice, as the kind that options are of, there is no other.
        yield from (("", each) for each in [each for each in get_args(hint) if each != value][:1])
    elif isinstance(value, bool):
        yield "", not value
    elif isinstance(value, (int, float)):
        yield "", value + 1
    elif isinstance(value, str):
        yield "", value + "x"
    elif value is None:
        other = next((each for each in (filled(one) for one in get_args(hint)) if each is not None), None)
        assert other is not None, f"say in `filled` what {hint} may be"
        yield "", other


def filled(hint: Any) -> Any:
    """Some value of a type that an optional field may have."""
    if hint is Evaluation:
        return Evaluation("carvana", "dice")
    if hint is Slide:
        return Slide((8, 8), (4, 4))
    if hint is DataLayout:
        return DataLayout((SplitFolders("train", "pictures", "masks", "train.txt"),))
    if hint is Skeleton:
        return Skeleton(("head", "tail"), (0, 1), ((0, 1),), (0.05, 0.05))
    if dataclasses.is_dataclass(hint):
        return hint() if isinstance(hint, type) and not any(
            each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
            for each in dataclasses.fields(hint)
        ) else None  # fmt: skip
    known: dict[Any, Any] = {int: 7, float: 0.5, str: "x", bool: True, tuple: (1, 2)}
    if get_origin(hint) is Literal:
        return get_args(hint)[0]
    return known.get(get_origin(hint) or hint)


SPECS = {
    "segmentation": tiny_artifacts.spec(),
    "pose": tiny_artifacts.pose_spec(),
    "filled": replace(
        tiny_artifacts.spec(),
        excluded_types=("MatMul",),
        excluded_names=("a.*",),
        inputs=(*tiny_artifacts.spec().inputs, replace(tiny_artifacts.spec().input, name="depth")),
        input_preprocess={"depth": tiny_artifacts.PREPROCESS},
    ),
}


@pytest.mark.parametrize("kind", SPECS)
def test_every_field_of_a_spec_is_in_every_key(kind: str, source: FloatArtifact, built: CompiledArtifact) -> None:
    spec = SPECS[kind]

    def keys(spec: ModelSpec) -> tuple[str, ...]:
        of_float = FloatArtifact(source.folder, replace(source.manifest, spec=spec))
        of_built = CompiledArtifact(built.folder, replace(built.manifest, spec=spec))
        return (
            build_key(of_float, OPTIONS, (), None, "1"),
            measure_key(of_built, source.folder, (), EvaluateOptions(), BenchmarkOptions()),
            handoff_key(of_float, PrepareOptions("ascend"), source.folder, None, ""),
            timing_key(of_float, [OPTIONS, OPTIONS], [(1, 1), (1, 1)], 1, "1"),
        )

    before = keys(spec)
    assert keys(spec) == before
    seen: dict[str, tuple[str, ...]] = {}
    for name, other in changed(spec, ModelSpec):
        seen[name] = keys(other)
        assert all(new != old for new, old in zip(seen[name], before, strict=True)), f"{name} is not in a key"
    assert len(set(seen.values())) == len(seen)
    assert {each.name for each in dataclasses.fields(ModelSpec)} - {name.partition(".")[0] for name in seen} <= (
        {"excluded_types", "excluded_names", "input_preprocess"} if kind != "filled" else set()
    )


def test_every_build_option_is_in_the_key(source: FloatArtifact) -> None:
    options = BuildOptions(shape=InputShape((1, 2), Range(8, 16), 16), graph_passes=("none",))
    options = replace(options, quantize=replace(options.quantize, excluded_types=("A",), excluded_names=("b",)))
    before = build_key(source, options, (), None, "1")
    names = []
    for name, other in changed(options, BuildOptions):
        names.append(name)
        assert build_key(source, other, (), None, "1") != before, f"{name} is not in the key"
    assert {each.name for each in dataclasses.fields(BuildOptions)} == {name.partition(".")[0] for name in names}
    assert build_key(source, options, ("x",), None, "1") != before
    assert build_key(source, options, (), None, "2") != before


@pytest.mark.parametrize("change", [{"cpu": "another"}, {"cpu_flags": ("avx",)}], ids=lambda change: next(iter(change)))
def test_a_build_and_a_timing_are_of_one_kind_of_processor(
    change: dict[str, Any], source: FloatArtifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keys() -> list[str]:
        return [build_key(source, OPTIONS, (), None, "1"), timing_key(source, [OPTIONS], [(1, 1)], 1, "1")]

    before, elsewhere = keys(), replace(machine.describe(), **change)
    monkeypatch.setattr(machine, "describe", lambda: elsewhere)
    assert not set(before) & set(keys())


@pytest.mark.parametrize("options", [EvaluateOptions(), BenchmarkOptions()])
def test_every_option_of_a_measurement_is_in_its_key(
    options: EvaluateOptions | BenchmarkOptions, built: CompiledArtifact, tmp_path: Path
) -> None:
    def key(given: Any) -> str:
        pair = (given, BenchmarkOptions()) if isinstance(given, EvaluateOptions) else (EvaluateOptions(), given)
        return measure_key(built, tmp_path, (), *pair)

    for name, other in changed(options, type(options)):
        assert key(other) != key(options), f"{name} is not in the key"


def test_every_option_of_both_builds_is_in_the_key_of_a_timing_of_tune(source: FloatArtifact) -> None:
    def key(
        first: BuildOptions = OPTIONS,
        second: BuildOptions = OPTIONS,
        loads: tuple[tuple[int, int], ...] = ((1, 2), (3, 4)),
        threads: int = 1,
        version: str = "1",
    ) -> str:
        return timing_key(source, [first, second], loads, threads, version)

    whole = replace(OPTIONS, graph_passes=("none",), shape=InputShape((1, 2), Range(8, 16), 16))
    for name, other in changed(whole, BuildOptions):
        assert key(other) != key(whole), f"{name} of the first build is not in the key"
        assert key(whole, other) != key(whole, whole), f"{name} of the second build is not in the key"
    others = [
        key(whole, OPTIONS),
        key(OPTIONS, whole),
        key(loads=((9, 2), (3, 4))),
        key(loads=((1, 9), (3, 4))),
        key(loads=((1, 2), (9, 4))),
        key(loads=((1, 2), (3, 9))),
        key(threads=2),
        key(version="2"),
        key(),
    ]
    assert len(set(others)) == len(others)


def test_what_a_search_measured_is_found_again_for_the_same_build_data_and_metric_only(tmp_path: Path) -> None:
    data, other = carvana(tmp_path / "data", 2), carvana(tmp_path / "other", 2)
    keys = [
        search_key("plan", data, "samples", "dice"),
        search_key("plan2", data, "samples", "dice"),
        search_key("plan", other, "samples", "dice"),
        search_key("plan", data, "samples2", "dice"),
        search_key("plan", data, "samples", "disagreement"),
        search_key("plan", Data(data, DataOptions(ignore=("3",))), "samples", "dice"),
    ]
    assert len(set(keys)) == len(keys) and search_key("plan", data, "samples", "dice") == keys[0]
    mask = next(path for path in data.rglob("*mask*") if path.is_file())
    os.utime(mask, ns=(1, 1))
    assert search_key("plan", data, "samples", "dice") not in keys


@pytest.mark.parametrize(
    "change",
    [
        {"images": 3},
        {"metric": "disagreement"},
        {"changed file": True},
        {"data options": DataOptions(remap=("1=0",))},
    ],
    ids=str,
)
def test_the_images_and_the_metric_of_a_search_are_in_its_identity(tmp_path: Path, change: dict[str, Any]) -> None:
    data = carvana(tmp_path / "data", 4)

    def found(options: MaxDrop, given: Data) -> str:
        measured = AccuracyEvaluator(tiny_artifacts.spec(), given, options)
        return search_key("plan", given, measured.identity, measured.metric)

    before = found(MaxDrop(1.0, split="all"), Data(data))
    assert found(MaxDrop(1.0, split="all"), Data(data)) == before
    given = Data(data, change.pop("data options", DataOptions()))
    if change.pop("changed file", False):
        image = next(data.rglob("*.jpg"))
        image.write_bytes(image.read_bytes() + b"\0")
    assert found(replace(MaxDrop(1.0, split="all"), **change), given) != before


def test_changed_ground_truth_is_measured_anew(built: CompiledArtifact, tmp_path: Path) -> None:
    carvana(tmp_path, 2)

    def key() -> str:
        return measure_key(built, tmp_path, (), EvaluateOptions(), BenchmarkOptions())

    before = key()
    assert key() == before
    mask = next(path for path in tmp_path.rglob("*mask*") if path.is_file())
    mask.write_bytes(mask.read_bytes())
    os.utime(mask, ns=(1, 1))
    assert key() != before


def test_a_tree_has_another_state_when_a_file_comes_goes_or_changes(tmp_path: Path) -> None:
    states = [files.tree_state(tmp_path)]
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_text("1")
    states.append(files.tree_state(tmp_path))
    (tmp_path / "a" / "b").rename(tmp_path / "a" / "c")
    states.append(files.tree_state(tmp_path))
    (tmp_path / "a" / "c").write_text("22")
    states.append(files.tree_state(tmp_path))
    assert len(set(states)) == 4 and files.tree_state(tmp_path) == states[-1]


# The same through the verbs


def exported(folder: Path, **parts: Any) -> Artifact:
    spec = replace(tiny_artifacts.spec(), **parts)
    return export_file(folder / "tiny.onnx", spec, folder / "float")


def test_a_corrected_spec_builds_anew_and_verify_tells_of_an_old_build(source: FloatArtifact, tmp_path: Path) -> None:
    (tmp_path / "tiny.onnx").write_bytes((source.folder.parent / "tiny.onnx").read_bytes())
    first = build(exported(tmp_path), tmp_path / "built", OPTIONS)
    again = exported(tmp_path, labels=("background", "van"))
    ended = densecast("verify", tmp_path / "built")
    assert ended.code == 0 and "has been exported again, and its spec" in " ".join(ended.out.split())
    second = build(again, tmp_path / "built", OPTIONS)
    assert (first.spec.labels[1], second.spec.labels[1]) == ("car", "van")
    assert "exported again" not in densecast("verify", tmp_path / "built").out


def test_no_export_replaces_anothers_build_unasked(source: FloatArtifact, tmp_path: Path) -> None:
    model = tmp_path / "mine.onnx"
    model.write_bytes((source.folder.parent / "tiny.onnx").read_bytes())
    arguments = ("export", model, "--labels", "a,b", "-q", "--out")
    build_arguments = ("-b", "reference", "--height", "16", "--width", "16", "-q")
    assert densecast(*arguments, tmp_path / "one").code == 0
    assert densecast(*arguments, tmp_path / "two", "--std", "127,127,127").code == 0
    assert densecast("build", tmp_path / "one", *build_arguments).code == 0
    there = Artifact.open(tmp_path / default_name(Artifact.open(tmp_path / "one").spec, OPTIONS))
    message = failed(2, "build", tmp_path / "two", *build_arguments)
    assert "was built from one" in message and "--name" in message
    assert Artifact.open(there.folder) == there
    assert densecast(*arguments, tmp_path / "two", "--name", "other", "--std", "127,127,127").code == 0
    assert densecast("build", tmp_path / "two", *build_arguments).code == 0
    assert Artifact.open(there.folder) == there and list(tmp_path.glob("other__*"))
    # What is asked for is done, and the same source builds again where it built before.
    assert densecast("build", tmp_path / "two", "--out", there.folder, *build_arguments).code == 0
    assert densecast(*arguments, tmp_path / "one", "--name", "other").code == 0


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "-q", "x" * 101, "a\nb"])
def test_a_models_name_can_be_part_of_a_folders(name: str) -> None:
    with pytest.raises(UsageError, match="letter or digit first"):
        ExportOptions(name=name)


def test_views_and_decoding_are_fields_like_others() -> None:
    assert list(changed(Augment(), Augment)) and list(changed(PoseDecode(), PoseDecode))
