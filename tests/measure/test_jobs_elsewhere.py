"""What is sent to other machines opens the model as its owner did: his views, and his URL rather than a copy of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_stores import ALL, prepare

import densecast as api
from densecast.io import mirror
from densecast.measure.distribute import ray_cluster
from densecast.pipeline import Pipeline, PipelineConfig
from densecast.spec.store_options import StoreOptions

pytest.importorskip("pyarrow")
pytestmark = pytest.mark.store


class SentError(Exception):
    """Stands for what a cluster would do."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(tmp_path_factory.mktemp("sent"), count=2)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The jobs that are sent to a cluster."""
    jobs: list[Any] = []

    def run_on_ray(job: Any, *_: object) -> None:
        jobs.append(job)
        raise SentError

    monkeypatch.setattr(ray_cluster, "run_on_ray", run_on_ray)
    return jobs


def send(root: Path, model: Any, store: Path) -> None:
    stored = StoreOptions(str(store), on="ray")
    with pytest.raises(SentError):
        api.evaluate(model, root / "data", ALL, stored=stored)
    with pytest.raises(SentError):
        api.infer_stored(model, [root / "data" / "imgs"], StoreOptions(f"{store}-infer", on="ray"))


def test_an_open_pipelines_views_are_sent(root: Path, sent: list[Any], tmp_path: Path) -> None:
    with Pipeline.open(root / "built", augment=api.Augment(flip=True), threads=1) as pipeline:
        send(root, pipeline, tmp_path / "run")
    for job in sent:
        assert (job.config.augment, job.config.artifact) == (api.Augment(flip=True), root / "built")


def test_paths_artifacts_and_configurations_are_sent_as_they_are(root: Path, sent: list[Any], tmp_path: Path) -> None:
    config = PipelineConfig(root / "built", threads=1, augment=api.Augment(flip=True))
    for name, model in (
        ("path", root / "built"),
        ("text", str(root / "built")),
        ("artifact", api.artifact.CompiledArtifact.open(root / "built")),
    ):
        send(root, model, tmp_path / name)
    assert {job.config for job in sent} == {PipelineConfig(root / "built", mode="throughput")}
    sent.clear()
    send(root, config, tmp_path / "config")
    assert {job.config for job in sent} == {config}


def test_a_url_is_sent_and_not_this_machines_copy(root: Path, sent: list[Any], tmp_path: Path, own_cache: Path) -> None:
    memory = pytest.importorskip("fsspec").filesystem("memory")
    for path in (root / "built").iterdir():
        memory.pipe_file(f"/sent/model/{path.name}", path.read_bytes())
    for number, model in enumerate(("memory://sent/model", PipelineConfig(Path("memory://sent/model")))):
        send(root, model, tmp_path / f"{number}")
    assert {mirror.url_of(job.config.artifact) for job in sent} == {"memory://sent/model"}
