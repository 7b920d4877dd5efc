"""Images that kill the process which computes them, here and on a real Ray cluster; machines that go away."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_stores import prepare, rows

import densecast
from densecast.errors import UsageError, WorkerError
from densecast.pipeline import PipelineConfig
from densecast.results.predictions import EvaluateResult
from densecast.spec.store_options import StoreOptions

pytest.importorskip("pyarrow")
pytestmark = [pytest.mark.store, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
METRIC = "poison_metric:Poison"
IMAGES = 60


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        # Workers find what this process finds, and may load what it may.
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests" / "support")]))
        patch.setenv("DENSECAST_PLUGINS", "poison_metric")
        yield prepare(tmp_path_factory.mktemp("many"), count=IMAGES)


@pytest.fixture(scope="module")
def plain(root: Path) -> EvaluateResult:
    return densecast.evaluate(root / "built", data(root), densecast.EvaluateOptions(split="all"))


def data(root: Path) -> densecast.Data:
    return densecast.Data(root / "data", densecast.DataOptions(metric=METRIC))


def evaluated(root: Path, store: Path, **options: Any) -> EvaluateResult:
    config = PipelineConfig(root / "built", mode="throughput")
    stored = StoreOptions(str(store), **options)
    return densecast.evaluate(config, data(root), densecast.EvaluateOptions(split="all"), stored=stored)


def without(score: densecast.Score, name: str) -> float:
    return float(np.mean([value for each, value in score.per_image.items() if each != name]))


def check_poisoned(root: Path, plain: EvaluateResult, store: Path, **options: Any) -> None:
    """One image costs itself alone, and is named."""
    found = evaluated(root, store, max_errors="1", **options).score
    assert found.count == IMAGES - 1 and found.value == without(plain.score, "0017_01")
    ((name, code),) = {(row["id"], row["error"]) for row in rows(store, "failed")}
    assert (name, code) == ("0017_01", "WorkerError")
    assert any("0017_01" in remark for remark in found.remarks)


def test_an_image_that_kills_its_process_costs_itself_alone(
    root: Path, plain: EvaluateResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POISON_ID", "0017_01")
    check_poisoned(root, plain, tmp_path / "run", shard_size=8)
    with pytest.raises(WorkerError, match="0017_01"):
        evaluated(root, tmp_path / "strict", shard_size=8)


def test_a_process_that_dies_while_it_opens_the_model_is_started_once_more(
    root: Path, plain: EvaluateResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for deaths in (1, 2):
        log = tmp_path / f"opened{deaths}"
        monkeypatch.setenv("POISON_OPENED", str(log))
        monkeypatch.setenv("POISON_OPENINGS", str(deaths))
        if deaths == 1:
            assert evaluated(root, tmp_path / "run", shard_size=20).score == plain.score
        else:
            with pytest.raises(WorkerError, match="died"):
                evaluated(root, tmp_path / "never", shard_size=20)
        assert len(log.read_text()) == 2


@pytest.mark.ray
def test_an_address_where_no_cluster_is_is_said_at_once(root: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"  # bound, and nobody listens
        with pytest.raises(WorkerError, match=f"no Ray cluster answers at {address}"):
            evaluated(root, tmp_path / "run", on=f"ray:{address}")
    with pytest.raises(UsageError, match="HOST:PORT"):
        evaluated(root, tmp_path / "run", on="ray:head")


@pytest.fixture(scope="module")
def cluster(root: Path) -> Iterator[Any]:
    """Two machines of one CPU each, which are processes of this one."""
    pytest.importorskip("ray")
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    ray.init(address=made.address, log_to_driver=False)
    try:
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")
def test_a_cluster_gives_the_same_score(root: Path, plain: EvaluateResult, cluster: Any, tmp_path: Path) -> None:
    assert evaluated(root, tmp_path / "run", on="ray", shard_size=5) == plain
    assert sorted(row["id"] for row in rows(tmp_path / "run")) == sorted(plain.score.per_image)
    assert evaluated(root, tmp_path / "run", on="ray") == plain


def worker_processes() -> list[int]:
    """The actors' processes, by the name that Ray gives them."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                if b"ray::Worker" in (path / "cmdline").read_bytes():
                    found.append(int(path.name))
            except OSError:
                continue
    return found


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")
def test_a_killed_actor_costs_no_image(root: Path, plain: EvaluateResult, cluster: Any, tmp_path: Path) -> None:
    killed: list[int] = []

    def kill() -> None:
        deadline = time.monotonic() + 60
        while not killed and time.monotonic() < deadline:
            if list((tmp_path / "run" / "done").glob("*.parquet")):
                for process in worker_processes()[:1]:
                    os.kill(process, signal.SIGKILL)
                    killed.append(process)
            time.sleep(0.02)

    thread = threading.Thread(target=kill)
    thread.start()
    found = evaluated(root, tmp_path / "run", on="ray", shard_size=3)
    thread.join()
    assert killed and found == plain
    assert sorted(row["id"] for row in rows(tmp_path / "run")) == sorted(plain.score.per_image)


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")
def test_a_machine_that_goes_away_costs_no_image(
    root: Path, plain: EvaluateResult, cluster: Any, tmp_path: Path
) -> None:
    node = cluster.add_node(num_cpus=1)
    gone: list[bool] = []

    def remove() -> None:
        deadline = time.monotonic() + 60
        while not gone and time.monotonic() < deadline:
            if list((tmp_path / "run" / "done").glob("*.parquet")):
                cluster.remove_node(node, allow_graceful=False)
                gone.append(True)
            time.sleep(0.02)

    thread = threading.Thread(target=remove)
    thread.start()
    found = evaluated(root, tmp_path / "run", on="ray", shard_size=3)
    thread.join()
    assert gone and found == plain
    assert {row["id"] for row in rows(tmp_path / "run")} == set(plain.score.per_image)


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")
def test_an_image_that_kills_its_actor_costs_itself_alone(
    root: Path, plain: EvaluateResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    # Machines of their own, whose processes know the poison.
    monkeypatch.setenv("POISON_ID", "0017_01")
    import subprocess

    program = f"""
import densecast
from pathlib import Path
from densecast.pipeline import PipelineConfig
root, store = Path({str(root)!r}), {str(tmp_path / "run")!r}
data = densecast.Data(root / "data", densecast.DataOptions(metric={METRIC!r}))
stored = densecast.StoreOptions(store, max_errors="1", on="ray:local", shard_size=8)
config = PipelineConfig(root / "built", mode="throughput")
print(densecast.evaluate(config, data, densecast.EvaluateOptions(split="all"), stored=stored).score.value)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout.split()[-1]) == without(plain.score, "0017_01")
    assert [(row["id"], row["error"]) for row in rows(tmp_path / "run", "failed")] == [("0017_01", "WorkerError")]
