"""Servers of confined processes: what one still has to say is never taken for the answer to the next job."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from densecast.runtime import cell_pool

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are confined on Linux only")


@pytest.fixture
def server() -> Iterator[cell_pool.Server]:
    made = cell_pool.Server(())
    yield made
    made.close()


def job(folder: Path) -> dict[str, Any]:
    """One that calls `print` of its payload and its folder."""
    folder.mkdir()
    places = ("/usr", "/lib", "/lib64", "/proc", sys.base_prefix, sys.prefix)
    return {
        "function": "builtins:print",
        "payload": {},
        "folder": str(folder),
        "readable": [each for each in places if Path(each).exists()],
        "writable": [],
        "preload": [],
        "memory_bytes": 1 << 30,
        "cpu_s": 20,
        "wall_s": 60,
        "file_bytes": 1 << 20,
        "environment": {},
        "log_level": 30,
    }


def test_a_server_that_owes_an_answer_is_never_asked_again(server: cell_pool.Server, tmp_path: Path) -> None:
    # Both of its deadlines are over before it can have said anything.
    assert server.run(job(tmp_path / "a"), wall_s=-1000) is None
    assert not server.is_usable
    cell_pool.give_back(server)
    other = cell_pool.take(())
    assert other is not server
    assert other.run(job(tmp_path / "b"), wall_s=30) == 0
    cell_pool.give_back(other)


def test_an_answer_that_is_there_is_read_however_late_it_is(
    server: cell_pool.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # This process is stopped (Ctrl-Z, a frozen container) while the job runs, and goes on an hour later.
    real, calls = time.monotonic, 0

    def clock() -> float:
        nonlocal calls
        calls += 1
        if calls == 2:
            wait_for(lambda: (tmp_path / "a" / "reply.json").exists())
            time.sleep(0.5)
        return real() + (3600 if calls > 1 else 0)

    monkeypatch.setattr(cell_pool.time, "monotonic", clock)
    assert server.run(job(tmp_path / "a"), wall_s=10) == 0
    assert server.is_usable


def servers() -> set[int]:
    """The processes of servers that this process has started."""
    found = set()
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((each / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"cell_server" in (each / "cmdline").read_bytes():
                found.add(int(each.name))
    return found


def test_a_server_that_cannot_even_end_its_job_is_ended_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = servers()
    server = cell_pool.Server(())
    (pid,) = servers() - before
    stuck = job(tmp_path / "a")
    os.mkfifo(tmp_path / "a" / "log")  # which nobody reads: the job waits for ever
    real, calls = time.monotonic, 0

    def clock() -> float:
        """Once the job has begun its server stands still, and the time for it is over, as is that for its end."""
        nonlocal calls
        calls += 1
        if calls == 3:
            os.kill(pid, signal.SIGSTOP)
        return real() + 3600 * max(calls - 2, 0)

    monkeypatch.setattr(cell_pool.time, "monotonic", clock)
    assert server.run(stuck, wall_s=60) is None
    assert calls >= 5 and not server.is_usable
    server.close()


def wait_for(is_true: Callable[[], bool]) -> None:
    for _ in range(600):
        if is_true():
            return
        time.sleep(0.05)


def test_as_many_servers_wait_as_are_said_and_the_oldest_of_others_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    # Whatever other tests left has other libraries.
    libraries = ("json",)
    monkeypatch.setattr(cell_pool, "most_idle", 2)
    servers = [cell_pool.take(libraries) for _ in range(3)]
    for each in servers:
        cell_pool.give_back(each)
    assert [each.is_usable for each in servers] == [False, True, True]
    again = [cell_pool.take(libraries) for _ in range(2)]
    assert again == servers[1:]
    monkeypatch.setattr(cell_pool, "most_idle", 1)
    for each in again:
        cell_pool.give_back(each)
    assert [each.is_usable for each in again] == [False, True]
    cell_pool.take(libraries).close()
