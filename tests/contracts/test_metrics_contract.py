"""What holds for every metric: perfect is best, order does not matter, and nothing counted is NaN."""

from __future__ import annotations

import pytest
from contract_cases import case_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from metric_cases import CASES, Image, MetricCase

from densecast.errors import UsageError
from densecast.metrics._base import METRICS
from densecast.testing import check_metric
from densecast.testing.metrics import check_collections


def case(name: str) -> tuple[MetricCase, list[Image]]:
    found = case_of(CASES, "metrics", name)
    if found.extra:
        pytest.importorskip(found.extra)
    return found, found.images()


@pytest.mark.parametrize("name", METRICS.names())
def test_a_metric_passes_all_checks(name: str) -> None:
    known, images = case(name)
    check_metric(METRICS.load(name), known.spec, images, known.perfect(images) if known.perfect else None)


@pytest.mark.parametrize("name", METRICS.names())
@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=some.data())
def test_shuffling_and_splitting_counts_never_changes_a_score(name: str, data: some.DataObject) -> None:
    known, images = case(name)
    metric = METRICS.load(name)
    chosen = data.draw(some.lists(some.sampled_from(range(len(images))), min_size=1, max_size=8), label="images")
    counts = [metric.count(*images[index], known.spec) for index in chosen]
    check_collections(metric, known.spec, counts, seed=data.draw(some.integers(0, 2**16), label="seed"))


@pytest.mark.parametrize("name", METRICS.names())
def test_a_model_of_another_task_is_refused(name: str) -> None:
    known, _ = case(name)
    other = next(each.spec for each in CASES.values() if each.spec.task != known.spec.task)
    with pytest.raises(UsageError, match=f"metric '{name}' compares .*{other.name} is of task '{other.task}'"):
        METRICS.load(name).check(other)
