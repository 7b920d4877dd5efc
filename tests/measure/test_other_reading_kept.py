"""Stores and the outputs of devices tell of another reading of the ground truth what `evaluate` itself tells."""

from __future__ import annotations

from pathlib import Path

import colour_network
import pytest
from made_mask_folders import labels_of, painted, write

import densecast
from densecast.artifact import Artifact
from densecast.measure.store.store import Store
from densecast.results.predictions import EvaluateResult
from densecast.spec.data_options import Data, DataOptions
from densecast.spec.handoff_options import PrepareOptions
from densecast.spec.model import Evaluation
from densecast.verbs.handoff import collect, prepare, simulate

COUNT = 5


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return colour_network.built(tmp_path_factory.mktemp("model"), 2, Evaluation("pairs", "iou"))


@pytest.fixture(scope="module")
def inverted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures whose masks have the two classes the other way round."""
    root = tmp_path_factory.mktemp("inverted")
    for index in range(COUNT):
        labels = labels_of(index, 2)
        write(root / f"images/val/{index}.png", painted(labels))
        write(root / f"masks/val/{index}.png", 1 - labels)
    return root


@pytest.fixture(scope="module")
def told(built: Artifact, inverted: Path) -> tuple[str, ...]:
    remarks = densecast.evaluate(built, inverted).score.remarks
    assert len([each for each in remarks if "'ground' are predicted as 'red'" in each]) == 1
    return remarks


def test_a_store_tells_the_same_however_it_was_made(
    built: Artifact, inverted: Path, told: tuple[str, ...], tmp_path: Path
) -> None:
    stored = densecast.StoreOptions(str(tmp_path / "whole"))
    assert densecast.evaluate(built, inverted, stored=stored).score.remarks == told
    assert densecast.evaluate(built, inverted, stored=stored).score.remarks == told  # of which nothing is computed
    for part in ("2/2", "1/2"):
        half = densecast.StoreOptions(str(tmp_path / "parts"), shard=part, shard_size=1)
        densecast.evaluate_shard(built, inverted, stored=half)
    merged = densecast.merge(tmp_path / "parts")
    assert isinstance(merged, EvaluateResult)
    assert merged.score.remarks == told


def test_a_devices_outputs_tell_the_same(
    built: Artifact, inverted: Path, told: tuple[str, ...], tmp_path: Path
) -> None:
    exported = Artifact.open(built.folder.parent / "float")
    prepare(exported, tmp_path / "handoff", PrepareOptions(processes=1), data=inverted)
    simulate(tmp_path / "handoff", tmp_path / "result", "benchmark")
    assert collect(tmp_path / "handoff", tmp_path / "result", data=inverted).score.remarks == told


@pytest.mark.parametrize("allowed", [False, True])
def test_what_may_be_ignored_is_kept_with_the_records(
    allowed: bool, built: Artifact, inverted: Path, tmp_path: Path
) -> None:
    """A store that is scored later, and elsewhere, is judged as the run was meant."""
    data = Data(inverted, DataOptions(allow_ignored=allowed))
    for verb, store in (("evaluate", tmp_path / "scored"), ("compare", tmp_path / "compared")):
        stored = densecast.StoreOptions(str(store))
        if verb == "evaluate":
            densecast.evaluate(built, data, stored=stored)
        else:
            densecast.compare(built.folder, [built.folder], data=data, threads=1, stored=stored)
        manifest = Store.at(str(store)).manifest
        assert (manifest.verb, manifest.allow_ignored) == (verb, allowed)
        assert manifest.record is not None and manifest.record.count == manifest.images == COUNT
