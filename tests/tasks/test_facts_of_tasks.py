"""What each task says of itself, by which exports, comparisons and searches decide."""

from __future__ import annotations

import pytest
import tiny_specs

from densecast.tasks._base import TASKS, WeighsOutputs
from densecast.verbs.export.described import has_labels


@pytest.mark.parametrize(
    ("name", "measure", "metric", "labels"),
    [
        ("segmentation", "labels_changed", "disagreement", True),
        ("multilabel", "bits_changed", "bit_disagreement", True),
        ("pose", "mean_oks", "oks", True),
        ("monocular_depth", "relative_difference", "depth_difference", False),
    ],
)
def test_each_task_has_its_own_measure_and_labels_or_none(name: str, measure: str, metric: str, labels: bool) -> None:
    task = TASKS.load(name)
    assert (task.name, task.measure.name, task.measure.metric) == (name, measure, metric)
    assert has_labels(name) is has_labels(task) is labels
    # Decisions are counted where two builds are weighed; other outputs go by norms.
    assert isinstance(task, WeighsOutputs) == (name in ("segmentation", "multilabel"))


def test_a_segmentation_of_so_many_labels_has_as_many_planes() -> None:
    task = TASKS.load("segmentation")
    assert task.output_channels(tiny_specs.segmentation()) == len(tiny_specs.segmentation().labels)
