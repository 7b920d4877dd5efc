"""Reports a store: the score with its tables, the worst images, what failed and why, and what images cost."""

from __future__ import annotations

from array import array
from collections import Counter
from pathlib import Path

import numpy as np

from densecast.errors import BadStoreError
from densecast.measure.store import scoring
from densecast.measure.store.store import Store, Summary
from densecast.results.compare import ComparedStage
from densecast.results.stored import StageCost, StoreReport
from densecast.spec.score import Score
from densecast.verbs.stored.compare_score import result_of_comparison, worst_of

_STAGES = ("decode", "infer", "postprocess", "total")


def report_store(store: Path | str, *, worst: int = 10) -> StoreReport:
    """What a store holds, complete or not; the score is of the images that are done.

    Raises:
        BadStoreError: no store, or a damaged one.
    """
    opened = Store.at(str(store))
    scan, manifest = opened.scan(), opened.manifest
    remarks: tuple[str, ...] = ()
    score: Score | None = None
    compared: tuple[ComparedStage, ...] = ()
    if (manifest.metric is not None or manifest.verb == "compare") and scan.done:
        try:
            scoring.require_complete(opened, scan)
            if manifest.verb == "compare":
                result = result_of_comparison(opened, scan)
                compared, remarks = result.stages, result.remarks
            else:
                score = scoring.score(opened, scan.summary).score
        except BadStoreError as error:
            missing = manifest.images - len(scan.done) - len(scan.failed)
            if missing <= 0:
                raise
            remarks = (str(error),)
    per_image = score.per_image if score is not None else {}
    is_loss = score is not None and score.better == "lower"
    order = sorted(per_image, key=lambda each: (-per_image[each] if is_loss else per_image[each], each))
    shown = {each: per_image[each] for each in order[:worst]}
    if manifest.verb == "compare":
        shown = worst_of(opened, scan, worst)
    costs, hosts = _costs(opened, scan.summary)
    return StoreReport(
        store=opened.name,
        model=manifest.spec.name,
        images=manifest.images,
        done=len(scan.done),
        failed={sample_id: f"{failure.code}: {failure.text}" for sample_id, failure in sorted(scan.failed.items())},
        score=score,
        worst=shown,
        stages=costs,
        hosts=hosts,
        remarks=remarks,
        compared=compared,
    )


def _costs(store: Store, found: Summary) -> tuple[dict[str, StageCost], dict[str, int]]:
    """Times by stage over all images, and how many images each machine has done."""
    times = {stage: array("d") for stage in _STAGES}
    hosts: Counter[str] = Counter()
    names = [f"{stage}_ms" for stage in _STAGES]
    for batch in store.done_batches(["id", "host", *names], repeated=found.is_repeated):
        hosts.update(batch.column("host").to_pylist())
        for stage, name in zip(_STAGES, names, strict=True):
            times[stage].extend(value for value in batch.column(name).to_pylist() if value is not None)
    costs = {}
    for stage, values in times.items():
        if values:
            p50, p90, p99 = (float(each) for each in np.percentile(np.frombuffer(values), [50, 90, 99]))
            costs[stage] = StageCost(p50, p90, p99)
    return costs, dict(hosts.most_common())
