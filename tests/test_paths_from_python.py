"""Where functions take several paths a single one is no sequence of letters, and what is no path is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_artifacts
import tiny_graphs
from made_mask_folders import write

import densecast
from densecast.artifact import Artifact
from densecast.errors import UsageError
from densecast.spec.options import BuildOptions, InputShape

QUICK = densecast.BenchmarkOptions(images=1, seconds=0, warm_up=0)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`float`, `built`, and two images in `photos`."""
    folder = tmp_path_factory.mktemp("paths")
    fixed = BuildOptions("reference", shape=InputShape(height=24, width=32))
    tiny_artifacts.compiled(folder, fixed, tiny_graphs.brightness())
    for name in "ab":
        write(folder / "photos" / f"{name}.png", np.full((48, 64, 3), 200, np.uint8))
    return folder


def inferred(root: Path, given: Any) -> int:
    return len(densecast.infer(root / "built", given, root / "out").results)


def benchmarked(root: Path, given: Any) -> int:
    inputs = densecast.benchmark(root / "built", given, QUICK).timing.inputs
    return int(inputs.removesuffix(" image files"))


def diagnosed(root: Path, given: Any) -> int:
    seen: list[int] = []
    densecast.diagnose(root / "float", given, progress=lambda done, total: seen.append(total))
    return seen[-1]


TAKES_IMAGES = [inferred, benchmarked, diagnosed]


@pytest.mark.parametrize("call", TAKES_IMAGES)
def test_one_path_is_taken_as_one_and_a_folder_as_the_images_in_it(
    call: Callable[[Path, Any], int], root: Path
) -> None:
    photos = root / "photos"
    for given, count in ((photos / "a.png", 1), (photos, 2), ([photos / "a.png", photos / "b.png"], 2)):
        several = given if isinstance(given, list) else [given]
        for each in (given, [str(path) for path in several], str(given) if given is not several else tuple(several)):
            assert call(root, each) == count


@pytest.mark.parametrize("call", TAKES_IMAGES)
def test_what_is_no_path_is_refused_by_name(call: Callable[[Path, Any], int], root: Path) -> None:
    for given in (3, [3], None, [root, None]):
        with pytest.raises(UsageError, match="path"):
            call(root, given)


def test_one_candidate_is_compared(root: Path) -> None:
    built = root / "built"
    for given in (built, str(built), [built]):
        found = densecast.compare(built, given, images=root / "photos", limit=1)
        assert [stage.comparison.images for stage in found.stages] == [1]


@pytest.mark.parametrize("wrong", [None, 3, {"artifact": "a"}, ["a"]])
def test_a_model_is_a_path_or_what_opens_one(wrong: Any, root: Path) -> None:
    for call in (densecast.Pipeline.open, densecast.evaluate, densecast.verify, densecast.info):
        with pytest.raises(UsageError, match="a path is needed"):
            call(wrong)


def test_items_are_no_data_but_of_evaluate(root: Path) -> None:
    items = [("a", np.zeros((48, 64, 3), np.uint8), np.zeros((48, 64), np.uint8))]
    calls: list[Callable[[], object]] = [
        lambda: densecast.check_data(items),  # type: ignore[arg-type]
        lambda: densecast.compare(root / "built", root / "built", data=items),  # type: ignore[arg-type]
        lambda: densecast.build(
            root / "float", root / "int8", BuildOptions("onnxruntime", "qint8_mixed_float16"), data=items
        ),  # type: ignore[arg-type]
    ]
    for call in calls:
        with pytest.raises(UsageError, match="Items from Python are for `evaluate` alone"):
            call()


@pytest.mark.torch
def test_what_export_does_not_take_is_named(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    with pytest.raises(UsageError, match=r"got ModelProto\. An ONNX model in memory is saved first"):
        densecast.export(tiny_graphs.brightness(), tmp_path / "out", labels=2)  # type: ignore[arg-type]


def test_an_open_artifact_is_verified(root: Path) -> None:
    assert densecast.verify(Artifact.open(root / "built")).is_sound


@pytest.mark.parametrize(
    ("field", "value"), [("threads", "2"), ("threads", 1.5), ("device", None), ("augment", {"flip": True})]
)
def test_how_a_pipeline_is_opened_is_of_the_right_type(field: str, value: Any, root: Path) -> None:
    with pytest.raises(UsageError, match=f"{field} must be"):
        densecast.Pipeline.open(root / "built", **{field: value})
