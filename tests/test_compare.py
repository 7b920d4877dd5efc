"""Differences between two built models are what numpy finds between their outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_artifacts
import tiny_graphs
from made_pictures import picture, write_jpeg

from densecast.artifact import Artifact
from densecast.errors import BadShapeError, UsageError
from densecast.pipeline import Pipeline
from densecast.spec.options import BuildOptions, InputShape
from densecast.verbs.builder import build
from densecast.verbs.compare import compare


@pytest.fixture(scope="module")
def floats(tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, Artifact]:
    """Two networks of the same form with other weights."""
    folders = [tmp_path_factory.mktemp("float") for _ in range(2)]
    models = [tiny_graphs.segmentation(seed=seed) for seed in (0, 9)]
    first, second = (tiny_artifacts.exported(folder, model) for folder, model in zip(folders, models, strict=True))
    return first, second


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    return [write_jpeg(tmp_path / f"{index}.jpg", (48, 64 + 8 * index), seed=index) for index in range(3)]


def opened(source: Artifact, out: Path, backend: str = "onnxruntime", batch: tuple[int, ...] = (1,)) -> Pipeline:
    return Pipeline.open(build(source, out, BuildOptions(backend, shape=InputShape(batch=batch))), threads=1)


def test_numbers_are_numpys(floats: tuple[Artifact, Artifact], images: list[Path], tmp_path: Path) -> None:
    left, right = opened(floats[0], tmp_path / "left"), opened(floats[1], tmp_path / "right")
    found = compare(left, right, images)
    expected, candidate, labels = [], [], []
    for path in images:
        feed = {"image": left.prepare(left.read(path)).array[None]}
        pair = [pipeline.runner.run(feed)["logits"][0].astype(np.float64) for pipeline in (left, right)]
        expected.append(pair[0].ravel())
        candidate.append(pair[1].ravel())
        changed = pair[0].argmax(0) != pair[1].argmax(0)
        labels.append((changed, np.abs(pair[0][0] - pair[0][1])))
    x, y = np.concatenate(expected), np.concatenate(candidate)
    changed = np.concatenate([each.ravel() for each, _ in labels])
    margins = np.concatenate([each.ravel() for _, each in labels])
    # Sums over images in another order than over all values at once.
    assert found.max_error == pytest.approx(np.abs(y - x).max())
    assert found.mean_error == pytest.approx(np.abs(y - x).mean())
    assert found.relative_error == pytest.approx(np.abs(y - x).max() / np.abs(x).max())
    assert found.relative_l2 == pytest.approx(np.linalg.norm(y - x) / np.linalg.norm(x))
    assert found.cosine == pytest.approx(x @ y / np.linalg.norm(x) / np.linalg.norm(y))
    assert found.labels_changed == pytest.approx(changed.mean())
    assert found.changed_margin == pytest.approx(margins[changed].max())
    assert found.images == 3


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "reference"])
def test_a_model_is_no_different_from_itself_in_another_batch_size(
    floats: tuple[Artifact, Artifact], images: list[Path], tmp_path: Path, backend: str
) -> None:
    one, four = opened(floats[0], tmp_path / "1", backend), opened(floats[0], tmp_path / "4", backend, (4,))
    found = compare(one, four, images)
    # The same products, perhaps summed in another order: the last bits of float32.
    assert found.relative_error < 1e-5 and found.labels_changed is not None and found.labels_changed < 1e-3


def test_without_images_or_with_other_sizes_there_is_nothing_to_compare(
    floats: tuple[Artifact, Artifact], images: list[Path], tmp_path: Path
) -> None:
    pipeline = opened(floats[0], tmp_path / "built")
    with pytest.raises(UsageError, match="at least one image"):
        compare(pipeline, pipeline, [])
    (tmp_path / "native").mkdir()
    from densecast.spec.preprocess import Native, Preprocess

    native = tiny_artifacts.exported(tmp_path / "native", preprocess=Preprocess(Native()))
    with pytest.raises(BadShapeError, match=r"0\.jpg: the reference gives"):
        compare(pipeline, opened(native, tmp_path / "other"), images)


def test_images_of_several_sizes_are_predicted_as_each_alone(floats: tuple[Artifact, Artifact], tmp_path: Path) -> None:
    pictures = [picture((48, 64 + 16 * (index % 3)), index) for index in range(8)]
    with opened(floats[0], tmp_path / "built", batch=(1, 2)) as pipeline:
        together = pipeline.predict(pictures)
        for image, prediction in zip(pictures, together, strict=True):
            assert prediction.class_id.shape == image.shape[:2]  # type: ignore[union-attr]
            np.testing.assert_array_equal(prediction.class_id, pipeline(image).class_id)  # type: ignore[union-attr]
