"""Differences between two built models are what numpy finds between their outputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import tiny_artifacts
import tiny_graphs
from made_images import picture, write_jpeg
from onnx import TensorProto, helper, numpy_helper

from densecast.artifact import Artifact
from densecast.errors import BadGraphError, BadShapeError, UsageError
from densecast.pipeline import Pipeline
from densecast.runtime import execution
from densecast.spec.options import BuildOptions, InputShape
from densecast.spec.preprocess import Preprocess, Stretch
from densecast.verbs.builder import build
from densecast.verbs.compare import ChainStage, compare_all
from densecast.verbs.compare.stage import as_float_feed, graph_stage


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
    comparison = compare_all(left, [right], images)[0]
    expected, candidate, labels = [], [], []
    for path in images:
        feeds = {name: array[None] for name, array in left.preprocess(left.read(path)).feeds[0].items()}
        pair = [each.session.forward(feeds)["logits"][0].astype(np.float64) for each in (left, right)]
        expected.append(pair[0].ravel())
        candidate.append(pair[1].ravel())
        changed = pair[0].argmax(0) != pair[1].argmax(0)
        labels.append((changed, np.abs(pair[0][0] - pair[0][1])))
    x, y = np.concatenate(expected), np.concatenate(candidate)
    changed = np.concatenate([each.ravel() for each, _ in labels])
    margins = np.concatenate([each.ravel() for _, each in labels])
    # Sums over images in another order than over all values at once.
    assert comparison.max_error == pytest.approx(np.abs(y - x).max())
    assert comparison.mean_error == pytest.approx(np.abs(y - x).mean())
    assert comparison.relative_error == pytest.approx(np.abs(y - x).max() / np.abs(x).max())
    assert comparison.relative_l2 == pytest.approx(np.linalg.norm(y - x) / np.linalg.norm(x))
    assert comparison.cosine == pytest.approx(x @ y / np.linalg.norm(x) / np.linalg.norm(y))
    assert comparison.labels_changed == pytest.approx(changed.mean())
    assert comparison.difference == comparison.labels_changed and comparison.measure == "labels_changed"
    assert comparison.changed_margin == pytest.approx(margins[changed].max())
    assert comparison.images == 3


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "reference"])
def test_a_model_is_no_different_from_itself_in_another_batch_size(
    floats: tuple[Artifact, Artifact], images: list[Path], tmp_path: Path, backend: str
) -> None:
    one, four = opened(floats[0], tmp_path / "1", backend), opened(floats[0], tmp_path / "4", backend, (4,))
    comparison = compare_all(one, [four], images)[0]
    # The same products, perhaps summed in another order: the last bits of float32.
    assert (
        comparison.relative_error < 1e-5 and comparison.labels_changed is not None and comparison.labels_changed < 1e-3
    )


def test_without_images_or_with_other_sizes_there_is_nothing_to_compare(
    floats: tuple[Artifact, Artifact], images: list[Path], tmp_path: Path
) -> None:
    pipeline = opened(floats[0], tmp_path / "built")
    with pytest.raises(UsageError, match="at least one image"):
        compare_all(pipeline, [pipeline], [])[0]
    (tmp_path / "native").mkdir()
    from densecast.spec.preprocess import Native, Preprocess

    native = tiny_artifacts.exported(tmp_path / "native", preprocess=Preprocess(Native()))
    with pytest.raises(BadShapeError, match=r"0\.jpg: the reference gives"):
        compare_all(pipeline, [opened(native, tmp_path / "other")], images)[0]


def test_images_of_several_sizes_are_predicted_as_each_alone(floats: tuple[Artifact, Artifact], tmp_path: Path) -> None:
    images = [picture((48, 64 + 16 * (index % 3)), index) for index in range(8)]
    with opened(floats[0], tmp_path / "built", batch=(1, 2)) as pipeline:
        together = pipeline.stream(images, lambda image: image, lambda predicted: predicted.prediction, batch=8)
        for image, prediction in zip(images, together, strict=True):
            assert prediction.class_id.shape == image.shape[:2]
            np.testing.assert_array_equal(prediction.class_id, pipeline(image).class_id)


def with_depth(model: onnx.ModelProto, scale: float, name: str) -> onnx.ModelProto:
    """The graph with a second output: its logits times a number."""
    model.graph.initializer.append(numpy_helper.from_array(np.array(scale, np.float32), "scale"))
    model.graph.node.append(helper.make_node("Mul", ["logits", "scale"], [name]))
    model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    return model


def test_graphs_are_compared_in_every_output_whatever_its_name(tmp_path: Path, images: list[Path]) -> None:
    spec = tiny_artifacts.exported(tmp_path).spec
    two = replace(spec, outputs=(spec.output, replace(spec.output, name="depth")))

    def stage(model: onnx.ModelProto) -> ChainStage:
        return graph_stage("graph", tmp_path / "graph.onnx", two, model, execution.configure(threads=1))

    reference = stage(with_depth(tiny_graphs.segmentation(), 2.0, "depth"))
    candidate = stage(with_depth(tiny_graphs.segmentation(), 3.0, "another"))
    assert [tensor.name for tensor in candidate.pipeline.spec.outputs] == ["logits", "another"]
    (comparison,) = compare_all(reference, [candidate], images)
    assert comparison.relative_error == 0 and comparison.difference == 0
    assert comparison.other_outputs["depth"].relative_error == pytest.approx(0.5)
    with pytest.raises(BadGraphError, match="1 outputs"):
        stage(tiny_graphs.segmentation())


def test_models_of_several_tasks_are_not_compared(
    floats: tuple[Artifact, Artifact], images: list[Path], tmp_path: Path
) -> None:
    options = BuildOptions("onnxruntime", shape=InputShape((2,), 64, 96))
    with (
        opened(floats[0], tmp_path / "labels") as labels,
        Pipeline.open(tiny_artifacts.compiled_pose(tmp_path / "pose", options)) as pose,
        pytest.raises(UsageError, match="of task 'pose'"),
    ):
        compare_all(labels, [pose], images)[0]


def test_bytes_are_compared_as_the_floats_that_the_network_makes_of_them(tmp_path: Path) -> None:
    """Of a model that takes bytes the layers are found out for the same feed as those of one that takes floats."""
    rule = Preprocess(Stretch((6, 8)), mean=(10.0, 20.0, 30.0), std=(2.0, 4.0, 5.0))
    spec = replace(tiny_artifacts.exported(tmp_path).spec, preprocess=rule)
    stage = graph_stage(
        "graph", tmp_path / "graph.onnx", spec, tiny_graphs.segmentation(), execution.configure(threads=1)
    )
    fed = np.random.default_rng(0).integers(0, 256, (2, 3, 6, 8), np.uint8)
    wanted = (fed - np.array([10.0, 20.0, 30.0])[:, None, None]) / np.array([2.0, 4.0, 5.0])[:, None, None]
    np.testing.assert_allclose(as_float_feed(stage, fed), wanted, rtol=1e-6)
    np.testing.assert_array_equal(as_float_feed(stage, wanted.astype(np.float32)), wanted.astype(np.float32))
