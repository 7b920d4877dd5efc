"""Processes that share a port are started, waited for, started again and ended together."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import served_work

from densecast.errors import UsageError, WorkerError
from densecast.verbs.serve import metrics, workers

pytest.importorskip("prometheus_client")


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def test_a_server_is_ready_when_all_its_processes_are_and_ends_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process of its own, as the signal that ends a server may otherwise end the one that runs tests."""
    monkeypatch.delenv(metrics.MULTIPROCESS, raising=False)
    server = multiprocessing.get_context("spawn").Process(target=served_work.serve_until_told, args=(tmp_path,))
    server.start()
    server.join(60)
    assert server.exitcode == 0
    *told, counts = (tmp_path / "ready").read_text(encoding="utf-8").splitlines()
    assert told == ["True", "2", "True"]
    # Each had its time to end in, which is the grace and some seconds more.
    ended = {each.name.removeprefix("ended_") for each in tmp_path.glob("ended_*")}
    assert ended == {each.name.removeprefix("started_") for each in tmp_path.glob("started_*")}
    for started in tmp_path.glob("started_*"):
        with pytest.raises(ProcessLookupError):
            os.kill(int(started.name.removeprefix("started_")), 0)
    assert not Path(counts).exists()


@pytest.mark.slow
def test_what_a_process_refuses_is_what_the_server_ends_with(
    listening: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(metrics.MULTIPROCESS, "/elsewhere")
    with pytest.raises(UsageError, match="no such model") as error:
        workers.run(served_work.refuse, (tmp_path,), listening, count=1, grace_s=30, ready=pytest.fail)
    assert error.value.field == "artifacts" and os.environ[metrics.MULTIPROCESS] == "/elsewhere"


def test_a_process_that_dies_before_it_is_ready_ends_the_server(listening: socket.socket, tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="died while it loaded its models"):
        workers.run(served_work.die, (tmp_path,), listening, count=1, grace_s=30, ready=pytest.fail)


@pytest.mark.slow
def test_a_process_that_dies_later_is_started_again(listening: socket.socket, tmp_path: Path) -> None:
    told: list[int] = []
    workers.run(served_work.die_once, (tmp_path,), listening, count=1, grace_s=30, ready=told.append)
    assert len(told) == 1 and (tmp_path / "died").exists()
