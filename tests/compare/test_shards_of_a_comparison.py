"""A comparison in two shards is the whole one, image by image; models are built by an engine that only copies."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tiny_artifacts
import tiny_graphs
from made_images import carvana
from onnx import numpy_helper
from plain_backend import PlainBackend

import densecast
from densecast import plugins
from densecast.backends._base import BACKENDS, BuildJob, Built
from densecast.errors import BadImageError, BadStoreError, UsageError
from densecast.spec.options import BuildOptions, InputShape
from densecast.verbs.builder import build

pytest.importorskip("pyarrow")
pytestmark = pytest.mark.store


class Moved(PlainBackend):
    """Moves the threshold a little in what it builds, by less than a build may be off."""

    def build(self, job: BuildJob, folder: Path) -> Built:
        """Write the graph with another bias."""
        built = super().build(job, folder)
        model = onnx.load(folder / "model.onnx")
        (bias,) = (each for each in model.graph.initializer if list(each.dims) == [2])
        values = numpy_helper.to_array(bias) + np.array([0, 0.001], np.float32)
        bias.CopyFrom(numpy_helper.from_array(values.astype(np.float32), bias.name))
        onnx.save(model, folder / "model.onnx")
        return built


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("compared")
    source = tiny_artifacts.exported(folder, tiny_graphs.brightness())
    carvana(folder / "data", count=5)
    with plugins.apart():
        BACKENDS.register("plain", PlainBackend())
        BACKENDS.register("moved", Moved())
        for name in ("plain", "moved"):
            options = BuildOptions(name, "force_float16", InputShape((1,), 24, 32))
            build(source, folder / name, options)
        yield folder


def options(root: Path, **more: Any) -> dict[str, Any]:
    return {"data": root / "data", "split": "all", "threads": 1} | more


def test_two_shards_are_the_whole_comparison(root: Path, tmp_path: Path) -> None:
    pair = root / "plain", [root / "moved"]
    whole = densecast.compare(*pair, **options(root))
    (stage,) = whole.stages
    assert (
        whole.images == 5 and stage.comparison.labels_changed is not None and 0 < stage.comparison.labels_changed < 0.2
    )
    store = str(tmp_path / "run")
    first = densecast.compare_shard(*pair, **options(root, stored=densecast.StoreOptions(store, shard="1/2")))
    assert (first.shard, first.images, first.failed) == ("1/2", first.done, {}) and 0 < first.done < 5
    with pytest.raises(BadStoreError, match=f"{5 - first.done} of 5 images have no record yet"):
        densecast.merge(store)
    second = densecast.compare_shard(*pair, **options(root, stored=densecast.StoreOptions(store, shard="2/2")))
    assert second.done + first.done == 5
    merged: Any = densecast.merge(store)
    found = merged.stages[0].comparison
    apart = {"changed_margin_median": None, "margin_median": None}
    assert replace(found, **apart) == replace(stage.comparison, **apart)
    assert (merged.model, merged.reference, merged.images) == (whole.model, whole.reference, whole.images)


def test_what_a_shard_of_a_comparison_needs_is_asked_for(root: Path, tmp_path: Path) -> None:
    pair = root / "plain", [root / "moved"]
    for stored, field in (
        (densecast.StoreOptions(str(tmp_path / "a")), "shard"),
        (densecast.StoreOptions(str(tmp_path / "a"), shard="1/2", keep_predictions=True), "keep_predictions"),
    ):
        with pytest.raises(UsageError) as error:
            densecast.compare_shard(*pair, **options(root, stored=stored))
        assert error.value.field == field and not (tmp_path / "a").exists()
    with pytest.raises(UsageError) as error:
        densecast.compare(*pair, **options(root, stored=densecast.StoreOptions(str(tmp_path / "a"), shard="1/2")))
    assert error.value.field == "shard"


def test_a_picture_that_cannot_be_read_is_a_failure_with_its_own_error(root: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(root / "data", tmp_path / "data"))
    broken = sorted((data / "imgs").iterdir())[1]
    broken.write_bytes(b"no picture")
    pair = root / "plain", [root / "moved"]
    stored = densecast.StoreOptions(str(tmp_path / "run"), shard="1/1", max_errors="1")
    found = densecast.compare_shard(*pair, **options(root, data=data, stored=stored))
    ((name, text),) = found.failed.items()
    assert found.done == 4 and broken.stem in name and broken.name in text and "not an image of a known format" in text
    with pytest.raises(BadImageError, match=broken.name):
        strict = densecast.StoreOptions(str(tmp_path / "strict"), shard="1/1")
        densecast.compare_shard(*pair, **options(root, data=data, stored=strict))
