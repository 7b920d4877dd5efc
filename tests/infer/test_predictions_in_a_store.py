"""Predictions that are kept as records are those of the pipeline, in shards or at once, and files when all are done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import tiny_artifacts
import tiny_graphs
from made_images import write_jpeg
from plain_backend import PlainBackend

from densecast import plugins
from densecast.backends._base import BACKENDS
from densecast.errors import BadImageError, BadInputError, UsageError
from densecast.pipeline import Pipeline
from densecast.spec.options import BuildOptions
from densecast.spec.store_options import StoreOptions
from densecast.spec.verb_options import InferOptions
from densecast.verbs.builder import build
from densecast.verbs.stored.infer import infer_stored

pytest.importorskip("pyarrow")
pytestmark = pytest.mark.store


# What has no meaning where records are kept.
IDLE = {
    "large": InferOptions(large=True),
    "skip_existing": InferOptions(skip_existing=True),
    "keep_going": InferOptions(keep_going=True),
    "formats": InferOptions(formats=("coco",)),
    "every": InferOptions(every=2),
    "seconds": InferOptions(seconds=1.0),
    "overlay_video": InferOptions(overlay_video="mp4"),
    "allow_url": InferOptions(allow_url=True),
}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    folder = tmp_path_factory.mktemp("model")
    with plugins.apart():
        BACKENDS.register("plain", PlainBackend())
        built = build(
            tiny_artifacts.exported(folder, tiny_graphs.brightness()), folder / "built", BuildOptions("plain")
        )
        with Pipeline.open(built) as opened:
            yield opened


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for place in range(5):
        write_jpeg(tmp_path / "images" / f"{place}.jpg", (32, 48), place)
    return tmp_path / "images"


def read(path: Path) -> np.ndarray:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))


def test_two_shards_make_the_files_of_all(pipeline: Pipeline, images: Path, tmp_path: Path) -> None:
    store = str(tmp_path / "run")
    told: list[tuple[int, int]] = []
    shards = [
        infer_stored(pipeline, images, StoreOptions(store, shard=shard), progress=lambda *each: told.append(each))
        for shard in ("1/2", "2/2")
    ]
    assert [each.shard for each in shards] == ["1/2", "2/2"] and sum(each.done for each in shards) == 5
    assert all(each.failed == {} and each.images == each.done for each in shards) and told[-1][0] == told[-1][1]
    whole = infer_stored(pipeline, images, StoreOptions(store), out=tmp_path / "out")
    assert (whole.done, whole.images, whole.failed) == (5, 5, {})
    written = sorted(path.name for path in (tmp_path / "out").iterdir() if path.name[0] != ".")
    assert written == [f"{place}.png" for place in range(5)]
    for path in sorted(images.iterdir()):
        np.testing.assert_array_equal(read(tmp_path / "out" / f"{path.stem}.png"), pipeline(path).class_id)


def test_an_image_that_cannot_be_read_ends_the_run_or_is_a_failure(
    pipeline: Pipeline, images: Path, tmp_path: Path
) -> None:
    (images / "2.jpg").write_bytes(b"no picture")
    with pytest.raises(BadImageError, match=r"2\.jpg"):
        infer_stored(pipeline, images, StoreOptions(str(tmp_path / "a")))
    found = infer_stored(pipeline, images, StoreOptions(str(tmp_path / "b"), max_errors="1"), out=tmp_path / "out")
    (name,) = found.failed
    assert name.endswith("2.jpg") and found.done == 4 and len(list((tmp_path / "out").glob("*.png"))) == 4
    both = [*sorted(images.iterdir()), tmp_path / "gone.jpg"]
    with pytest.raises(BadInputError, match=r"^2 images failed, and 1 may; the first: .*2\.jpg"):
        infer_stored(pipeline, both, StoreOptions(str(tmp_path / "c"), max_errors="1"))
    found = infer_stored(pipeline, both, StoreOptions(str(tmp_path / "c"), max_errors="2", retry_failed=True))
    assert found.done == 4 and any("gone.jpg" in text for text in found.failed.values())


def test_what_a_store_needs_and_what_has_no_effect_is_told(pipeline: Pipeline, images: Path, tmp_path: Path) -> None:
    store = str(tmp_path / "run")
    with pytest.raises(UsageError, match="name the store") as error:
        infer_stored(pipeline, images, StoreOptions())
    assert error.value.field == "store"
    with pytest.raises(UsageError, match="files are of all images") as error:
        infer_stored(pipeline, images, StoreOptions(store, shard="1/2"), out=tmp_path / "out")
    assert error.value.field == "out"
    for name, options in IDLE.items():
        with pytest.raises(UsageError) as error:
            infer_stored(pipeline, images, StoreOptions(store), options=options)
        assert error.value.field == name and not Path(store).exists()
    with pytest.raises(UsageError) as error:
        infer_stored(pipeline, images, StoreOptions(store, keep_predictions=True))
    assert error.value.field == "keep_predictions"
    infer_stored(pipeline, images, StoreOptions(store))
    with pytest.raises(UsageError, match="holds records of other data"):
        infer_stored(pipeline, [images / "1.jpg"], StoreOptions(store))
    assert not (tmp_path / "out").exists()
