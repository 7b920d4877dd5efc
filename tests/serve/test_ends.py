"""The command serves until it is told to end, answers what it has begun, and ends with 0; workers are started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import malformed_requests
import pytest
import serve_client
from command_line import densecast, failed

JPEG = {"Content-Type": "image/jpeg"}


@contextmanager
def command(*arguments: str | Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command in a process of its own, and its address."""
    given = [sys.executable, "-m", "densecast", "serve", *map(str, arguments), "--port", "0"]
    with subprocess.Popen(given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert " at http://" in line, process.stderr.read() if process.stderr else ""
            yield process, line.rsplit(" ", 1)[1].strip()
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM])
def test_a_signal_ends_it_in_order(artifacts: Path, number: signal.Signals) -> None:
    with command(artifacts / "built") as (process, url):
        reply = serve_client.ask(url, "POST", "/predict", malformed_requests.jpeg(), JPEG | {"X-Request-Id": "mine-1"})
        assert reply.status == 200 and reply.headers["x-request-id"] == "mine-1"
        serve_client.ask(url, "GET", "/v2/models/a%0Ab%22")
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    lines = [json.loads(line) for line in errors.splitlines()]
    assert [(line["id"] == "mine-1", line["status"], line["model"]) for line in lines] == [
        (True, 200, "tiny"),
        (False, 404, ""),
    ]
    assert lines[1]["path"] == '/v2/models/a\nb"'


@pytest.mark.slow
def test_a_server_that_waits_says_nothing(artifacts: Path) -> None:
    """Commands tell now and then that they are at work; a server's standard error is a log of requests alone."""
    code = "from densecast.cli import _heartbeat, main; _heartbeat.SILENCE_S = 0.05; main()"
    given = [sys.executable, "-c", code, "serve", str(artifacts / "built"), "--port", "0"]
    with subprocess.Popen(given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().rsplit(" ", 1)[1].strip()
        for name in ("first", "last"):
            serve_client.ask(url, "GET", "/v2", headers={"X-Request-Id": name})
            time.sleep(0.3)
        process.terminate()
        _, errors = process.communicate(timeout=30)
    lines = errors.splitlines()
    begin = next(place for place, line in enumerate(lines) if line.startswith("{"))
    assert [json.loads(line)["id"] for line in lines[begin:]] == ["first", "last"]


@pytest.mark.slow
def test_a_worker_that_is_killed_is_started_again_and_others_go_on(artifacts: Path) -> None:
    with command(artifacts / "built", "--workers", "2", "-q") as (process, url):
        workers = _children(process.pid)
        assert len(workers) == 2
        picture = malformed_requests.jpeg()
        os.kill(workers[0], signal.SIGKILL)
        statuses = []
        end = time.monotonic() + 60
        while time.monotonic() < end and (len(_children(process.pid)) < 2 or len(statuses) < 100):
            statuses.append(serve_client.ask(url, "POST", "/predict", picture, JPEG).status)
        assert set(statuses) == {200} and len(_children(process.pid)) == 2
        counted = serve_client.ask(url, "GET", "/metrics").body.decode()
        (line,) = (each for each in counted.splitlines() if each.startswith('densecast_images_total{model="tiny"}'))
        assert float(line.split()[1]) == len(statuses)
        process.terminate()
        assert process.wait(30) == 0
        assert not [child for child in workers[1:] if Path(f"/proc/{child}/cmdline").exists()]


def _children(pid: int) -> list[int]:
    """Its worker processes; Python's resource tracker is none."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(each) for each in listed if b"spawn_main" in Path(f"/proc/{each}/cmdline").read_bytes()]


def test_a_port_that_is_taken_and_an_address_of_others_are_told_in_one_line(artifacts: Path, server: str) -> None:
    port = server.split(":")[2].strip("/")
    message = failed(3, "serve", artifacts / "built", "--port", port, "-q")
    assert message.startswith("--port ") and "taken" in message
    assert failed(2, "serve", artifacts / "built", "--host", "0.0.0.0", "-q").startswith("--host: ")
    assert "not compiled" in failed(3, "serve", artifacts / "float", "-q")


def test_check_verifies_without_serving(artifacts: Path, people: Path, tmp_path: Path) -> None:
    ended = densecast(
        "serve", "--check", artifacts / "built", f"people={people / 'built'}", "--json", tmp_path / "a.json"
    )
    assert ended.code == 0 and len(json.loads((tmp_path / "a.json").read_text())["artifacts"]) == 2
