"""Compares two evaluations image by image, from their stores: the change with its interval, and what changed most."""

from __future__ import annotations

import math
from typing import Any

from densecast.errors import UsageError
from densecast.io import remote
from densecast.measure import change
from densecast.measure.store import scoring
from densecast.measure.store.manifest import MANIFEST
from densecast.measure.store.store import Store
from densecast.results.stored import ChangedImage, StoreComparison


def is_store(name: str) -> bool:
    """Whether a name is that of a store: a folder with its manifest, or a URL that ends in no `.json`."""
    from pathlib import Path

    if remote.is_url(name):
        return not name.endswith(".json")
    return (Path(name) / MANIFEST).is_file()


def compare_stores(baseline: str, candidate: str, *, other_images: bool = False, most: int = 10) -> StoreComparison:
    """The drop from one evaluation's score to another's with its paired bootstrap interval, and the images behind it.

    Raises:
        UsageError: of two metrics or classes; or on other images, unless `other_images`, and then on those in common.
        BadStoreError: one is damaged or incomplete.
    """
    left, right = Store.at(baseline), Store.at(candidate)
    metric, spec = scoring.metric_of(left), left.manifest.spec
    if scoring.metric_of(right).name != metric.name or right.manifest.metric != left.manifest.metric:
        raise UsageError(f"{baseline} was measured by {left.manifest.metric}, {candidate} by {right.manifest.metric}.")
    if right.manifest.spec.labels != spec.labels:
        raise UsageError(f"{baseline} and {candidate} are of models with other classes; their counts do not compare.")
    before, after = _counts(left), _counts(right)
    common = [each for each in sorted(before) if each in after]
    if not common or (not other_images and len(common) < max(len(before), len(after))):
        raise UsageError(
            f"the two have {len(common)} images in common, of {len(before)} and {len(after)}. Evaluate the same ones, "
            "or allow other images.",
            field="other_images",
        )
    one, other = ([counts[each] for each in common] for counts in (before, after))
    drop = change.paired_drop(metric, spec, one, other)
    scores = [metric.score(counts, spec) for counts in (one, other)]
    sign = 1.0 if scores[0].better == "higher" else -1.0
    changed = [
        ChangedImage(each, scores[0].per_image[each], scores[1].per_image[each], worse)
        for each in common
        if each in scores[0].per_image and each in scores[1].per_image
        if not math.isnan(worse := sign * (scores[0].per_image[each] - scores[1].per_image[each])) and worse != 0
    ]
    changed.sort(key=lambda image: (-abs(image.worse), image.id))
    return StoreComparison(
        metric.name,
        len(common),
        scores[0].value,
        scores[1].value,
        drop,
        sum(image.worse > 0 for image in changed),
        sum(image.worse < 0 for image in changed),
        tuple(changed[:most]),
    )


def _counts(store: Store) -> dict[str, Any]:
    scan = store.scan()
    scoring.require_complete(store, scan)
    return {count.sample_id: count for count in scoring.counts(store, repeated=scan.summary.is_repeated)}
