"""Images of two folders that have one name are told apart in a comparison, and the right one is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tiny_artifacts
import tiny_graphs
from made_images import write_jpeg
from PIL import Image

import densecast as api
from densecast.spec.options import BuildOptions, InputShape
from densecast.verbs.builder import build
from densecast.verbs.compare import drawings
from densecast.verbs.compare.image_names import by_name

NAMES = ("north/1.jpg", "south/1.jpg", "south/2.jpg")
SHOWN = {"north/1.jpg", "south/1.jpg", "2.jpg"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("named")
    source = tiny_artifacts.exported(folder)
    build(source, folder / "built", BuildOptions("reference", shape=InputShape((1,), 24, 32)))
    onnx.save(tiny_graphs.segmentation(seed=9), folder / "faulty.onnx")
    for seed, name in enumerate(NAMES):
        write_jpeg(folder / "data" / "images" / name, seed=seed)
        mask = (folder / "data" / "masks" / name).with_suffix(".png")
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.arange(48 * 64, dtype=np.int64).reshape(48, 64).astype(np.uint8) % 2).save(mask)
    return folder


def compared(root: Path, **options: Any) -> api.CompareResult:
    data = api.Data(root / "data", api.DataOptions(dataset="pairs"))
    models = (root / "float", [root / "built", root / "faulty.onnx"])
    return api.compare(*models, data=data, split="all", threads=1, **options)


def test_every_image_is_one_of_the_worst_under_a_name_of_its_own(root: Path, tmp_path: Path) -> None:
    worst = compared(root).stages[-1].comparison.worst
    assert set(worst) == SHOWN
    pytest.importorskip("pyarrow")
    kept = compared(root, stored=api.StoreOptions(str(tmp_path / "run")))
    assert kept.stages[-1].comparison.worst == worst


def test_the_image_that_differs_most_is_the_one_that_is_drawn(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from densecast.verbs.compare import open_chain

    images = by_name(root / "data" / "images" / name for name in NAMES)
    assert {name: path for name, path in images.items() if name in SHOWN} == images
    drawn: list[Path] = []
    monkeypatch.setattr(drawings, "draw", lambda reference, stage, path: drawn.append(path) or {})
    result = compared(root)
    with open_chain(root / "float", [root / "faulty.onnx"], 1) as (first, others):
        comparisons = [result.stages[-1].comparison]
        (title,) = drawings.worst_images(first, others[-1:], comparisons, images)
        share = {}
        for path in images.values():
            left, right = (
                stage.pipeline.predict(stage.pipeline.preprocess(stage.pipeline.read(path))).class_id
                for stage in (first, others[-1])
            )
            share[path] = float(np.mean(np.asarray(left) != np.asarray(right)))
    assert title.endswith(comparisons[0].worst[0])
    assert drawn == [images[comparisons[0].worst[0]]] and share[drawn[0]] > 0


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a/1.jpg", "a/2.jpg"], ["1.jpg", "2.jpg"]),
        (["top/1.jpg", "top/x/1.jpg", "top/x/2.jpg"], ["1.jpg", "x/1.jpg", "2.jpg"]),
        (["p/a/1.jpg", "q/a/1.jpg"], ["p/a/1.jpg", "q/a/1.jpg"]),
        (["a/1.jpg", "/elsewhere/1.jpg"], None),
        (["a/1.jpg", "a/1.jpg"], ["1.jpg"]),
    ],
)
def test_names_are_short_and_each_is_one_images(paths: list[str], names: list[str] | None) -> None:
    found = by_name(Path(path) for path in paths)
    assert len(found) == len(set(paths))
    assert names is None or list(found) == names
