"""Label maps, bits, depth and people are not each other's ground truth; a task has a data set and metric of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import made_pairs
import pytest
import tiny_specs

from densecast.errors import BadGraphError, UsageError
from densecast.measure import data_source
from densecast.measure.ground_truth import GroundTruth
from densecast.spec.data_options import Data, DataOptions
from densecast.spec.model import Evaluation, ModelSpec
from densecast.spec.tensor import Dim, TensorSpec
from densecast.tasks.monocular_depth import MonocularDepthDecode, MonocularDepthTask
from densecast.verbs.export.spec_file import check_evaluation

SPECS: dict[str, Callable[[], ModelSpec]] = {
    "iou": tiny_specs.segmentation,
    "multilabel_iou": tiny_specs.multilabel,
    "monocular_depth": tiny_specs.depth,
    "coco_keypoints": tiny_specs.pose,
}
TRUTH = {
    "multilabel_pairs": "multilabel_iou",
    "depth_pairs": "monocular_depth",
    "coco_keypoints": "coco_keypoints",
    **dict.fromkeys(
        ("pairs", "carvana", "voc2012", "cityscapes", "coco_segmentation", "parquet", "ADE20KDataset"), "iou"
    ),
}


@pytest.mark.parametrize("metric", SPECS)
@pytest.mark.parametrize("dataset", TRUTH)
def test_a_spec_may_only_name_ground_truth_of_its_own_task(dataset: str, metric: str) -> None:
    spec = replace(SPECS[metric](), evaluation=Evaluation(dataset, metric))
    if TRUTH[dataset] == metric:
        check_evaluation(spec)
        return
    with pytest.raises(UsageError, match=f"the data set '{dataset}' has the ground truth of") as caught:
        check_evaluation(spec)
    assert spec.task in str(caught.value)


def test_relative_inverse_depth_is_measured_on_depth_as_well() -> None:
    spec = tiny_specs.depth(MonocularDepthDecode(form="inverse", align="least_squares"))
    check_evaluation(spec)
    with pytest.raises(UsageError, match="inverse_depth"):
        check_evaluation(replace(spec, evaluation=Evaluation("pairs", "monocular_depth")))


def test_data_of_another_task_are_refused_before_they_are_opened() -> None:
    data = Data(Path("nowhere"), DataOptions(dataset="pairs"))
    with pytest.raises(UsageError, match="ground truth of class_id"):
        GroundTruth.open(tiny_specs.depth(), data)


class Own:
    name = "own"

    def check(self, spec: ModelSpec) -> None:
        """Nothing to check."""

    def count(self, *given: Any) -> None:
        """Counts nothing."""

    score = count


def test_a_metric_of_ones_own_compares_whatever_it_likes() -> None:
    check_evaluation(replace(tiny_specs.depth(), evaluation=Evaluation("pairs", f"{__name__}:Own")))


@pytest.mark.parametrize("metric", ["multilabel_iou", "monocular_depth"])
def test_a_task_without_an_evaluation_has_a_data_set_and_metric(metric: str, tmp_path: Path) -> None:
    spec = replace(SPECS[metric](), evaluation=None)
    root = (made_pairs.depth if metric == "monocular_depth" else made_pairs.multilabel)(tmp_path, 4)
    source = data_source.find(spec, root)
    assert (TRUTH[source.evaluation.dataset], source.evaluation.metric) == (metric, metric)
    assert len(source.open("all").samples) == 4
    named = data_source.find(spec, Data(root, DataOptions(dataset=source.evaluation.dataset)))
    assert named.evaluation == source.evaluation


def test_depth_of_several_planes_is_refused() -> None:
    sides = (Dim("N", 1, 8), Dim("H", 8, 512), Dim("W", 8, 512))
    for planes in (1, 3):
        output = TensorSpec("depth", "float32", (sides[0], planes, *sides[1:]))
        spec = replace(tiny_specs.depth(), outputs=(output,))
        if planes == 1:
            MonocularDepthTask().check(spec)
        else:
            with pytest.raises(BadGraphError, match="'depth' has 3"):
                MonocularDepthTask().check(spec)
