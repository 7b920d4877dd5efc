"""What a server does not let its clients do: take its time, its memory or its queue, or ask without a token."""

from __future__ import annotations

import http.client
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import malformed_requests
import pytest
import serve_client

from densecast.errors import UsageError
from densecast.pipeline import Pipeline
from densecast.spec.serve_options import ServeOptions
from densecast.verbs.serve import serving

JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture(scope="module")
def impatient(artifacts: Path) -> Iterator[str]:
    options = ServeOptions(
        port=0, access_log=False, header_timeout=0.5, body_timeout=0.5, idle_timeout=1.0, max_body_mib=1, grace=1.0
    )
    with serving([artifacts / "built"], options) as running:
        yield running.url


def slowly(server: str, start: bytes, each: bytes, told: dict[str, bytes], name: str) -> None:
    """Send a byte now and then until the server has had enough."""
    host, port = server.split("/")[2].rsplit(":", 1)
    end = time.monotonic() + 15
    with socket.create_connection((host, int(port)), timeout=0.1) as connection:
        received = b""
        connection.sendall(start)
        while time.monotonic() < end:
            try:
                part = connection.recv(4096)
                if not part:
                    told[name] = received
                    return
                received += part
            except TimeoutError:
                connection.sendall(each)
            except ConnectionError:
                told[name] = received
                return


@pytest.mark.slow
def test_slow_headers_bodies_and_idle_connections_are_cut_off_while_others_are_served(impatient: str) -> None:
    start = b"POST /predict/tiny HTTP/1.1\r\nHost: localhost\r\n"
    told: dict[str, bytes] = {}
    clients = {
        "silent": (b"", b""),
        "header": (start, b"a"),
        "body": (start + b"Content-Length: 1000\r\n\r\n", b"a"),
        "chunks": (start + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
        "unread": (start.replace(b"tiny", b"none") + b"Content-Length: 100000\r\n\r\n", b"a"),
        "idle": (b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n", b""),
    }
    threads = [
        threading.Thread(target=slowly, args=(impatient, *sent, told, name), daemon=True)
        for name, sent in clients.items()
    ]
    for thread in threads:
        thread.start()
    picture = malformed_requests.jpeg()
    served = [serve_client.ask(impatient, "POST", "/predict", picture, JPEG).status for _ in range(30)]
    for thread in threads:
        thread.join(20)
    assert served == [200] * 30
    starts = {name: answer.split(b"\r\n")[0] for name, answer in told.items()}
    late = b"HTTP/1.1 408 Request Timeout"
    assert starts == {
        "silent": late,
        "header": late,
        "body": late,
        "chunks": late,
        "unread": b"HTTP/1.1 404 Not Found",
        "idle": b"HTTP/1.1 200 OK",
    }


def test_a_body_is_bounded_announced_or_not_and_inflated(impatient: str) -> None:
    connection = http.client.HTTPConnection(impatient.split("/")[2], timeout=10)
    connection.request("POST", "/predict", iter([b"a" * 65536] * 17), JPEG, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()
    assert serve_client.ask(impatient, "POST", "/predict", b"a" * ((1 << 20) + 1), JPEG).status == 413
    body = serve_client.ask(impatient, "POST", "/predict", b"a" * (1 << 20), JPEG)
    assert body.status == 400 and body.document["field"] == "image"


class Blocked:
    """Predictions that wait until they may go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go, self.started, self.count = threading.Event(), threading.Semaphore(0), 0
        real = Pipeline.predict_together

        def waiting(pipeline: Pipeline, images: Any, **options: Any) -> list[Any]:
            self.count += len(images)
            self.started.release()
            assert self.go.wait(20)
            return real(pipeline, images, **options)

        self._patch = lambda: monkeypatch.setattr(Pipeline, "predict_together", waiting)

    def begin(self) -> None:
        self._patch()


def asking(url: str, path: str, replies: list[serve_client.Reply]) -> threading.Thread:
    thread = threading.Thread(
        target=lambda: replies.append(serve_client.ask(url, "POST", path, malformed_requests.jpeg(), JPEG)), daemon=True
    )
    thread.start()
    return thread


def waiting_pictures(url: str) -> float:
    text = serve_client.ask(url, "GET", "/metrics").body.decode()
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith("densecast_queue_images{"))


def until(what: Any, value: Any) -> None:
    end = time.monotonic() + 10
    while what() != value and time.monotonic() < end:
        time.sleep(0.01)
    assert what() == value


def test_a_full_queue_a_passed_deadline_and_a_client_that_left(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ServeOptions(port=0, access_log=False, queue=2, mode="latency", grace=5.0)
    blocked = Blocked(monkeypatch)
    with serving([artifacts / "built"], options) as running:
        blocked.begin()
        replies: list[serve_client.Reply] = []
        first = asking(running.url, "/predict", replies)
        assert blocked.started.acquire(timeout=10)
        late: list[serve_client.Reply] = []
        asking(running.url, "/predict?timeout_ms=50", late).join(10)
        assert late[0].status == 503 and late[0].headers.get("retry-after")
        # Its place in the queue is free again; a client that leaves gives its own back, too.
        until(lambda: waiting_pictures(running.url), 0.0)
        host, port = running.url.split("/")[2].rsplit(":", 1)
        with socket.create_connection((host, int(port))) as gone:
            gone.sendall(malformed_requests.request("/predict", malformed_requests.jpeg()))
            until(lambda: waiting_pictures(running.url), 1.0)
        until(lambda: waiting_pictures(running.url), 0.0)
        others = [asking(running.url, "/predict", replies) for _ in range(2)]
        until(lambda: waiting_pictures(running.url), 2.0)
        full = serve_client.ask(running.url, "POST", "/predict", malformed_requests.jpeg(), JPEG)
        assert full.status == 503 and int(full.headers["retry-after"]) >= 1
        # Who waits for leave to send a picture gets the refusal instead.
        with socket.create_connection((host, int(port)), timeout=10) as asks:
            asks.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n"
                         b"Expect: 100-continue\r\n\r\n")  # fmt: skip
            assert asks.recv(4096).startswith(b"HTTP/1.1 503 ")
        blocked.go.set()
        for thread in (first, *others):
            thread.join(10)
        assert [reply.status for reply in replies] == [200] * 3 and blocked.count == 3


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux knows a niceness of threads")
def test_what_computes_gives_way_to_what_listens_and_refuses(artifacts: Path) -> None:
    before = {task.name for task in Path("/proc/self/task").iterdir()}
    with serving([artifacts / "built"], ServeOptions(port=0, access_log=False)) as running:
        assert serve_client.ask(running.url, "POST", "/predict", malformed_requests.jpeg(), JPEG).status == 200
        own = os.getpriority(os.PRIO_PROCESS, os.getpid())
        named = {str(thread.native_id): thread.name for thread in threading.enumerate()}
        nice = {
            named.get(task.name, "the engine's"): os.getpriority(os.PRIO_PROCESS, int(task.name)) - own
            for task in Path("/proc/self/task").iterdir()
            if task.name not in before
        }
    assert nice["densecast serve"] == 0 and nice["densecast serve 0"] > 0
    assert nice.get("the engine's", 1) > 0


def test_a_server_that_ends_answers_what_is_in_work_and_is_not_ready(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = Blocked(monkeypatch)
    replies: list[serve_client.Reply] = []
    with serving([artifacts / "built"], ServeOptions(port=0, access_log=False, grace=10.0)) as running:
        blocked.begin()
        thread = asking(running.url, "/predict", replies)
        assert blocked.started.acquire(timeout=10)
        threading.Timer(0.3, blocked.go.set).start()
    thread.join(10)
    assert [reply.status for reply in replies] == [200]
    with pytest.raises(OSError):
        serve_client.ask(running.url, "GET", "/v2/health/ready")


def test_pictures_of_one_size_share_an_inference(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ServeOptions(port=0, access_log=False, batch=4, batch_wait_ms=5000.0, queue=16, mode="latency")
    sizes: list[int] = []
    real = Pipeline.predict_together

    def noting(pipeline: Pipeline, images: Any, **given: Any) -> list[Any]:
        sizes.append(len(images))
        return real(pipeline, images, **given)

    with serving([artifacts / "built"], options) as running:
        monkeypatch.setattr(Pipeline, "predict_together", noting)
        replies: list[serve_client.Reply] = []
        threads = [asking(running.url, "/predict", replies) for _ in range(4)]
        for thread in threads:
            thread.join(20)
    assert sizes == [4] and len({reply.document["segmentation_mask"] for reply in replies}) == 1


def test_a_token_is_asked_for_but_by_health_checks_and_the_page(artifacts: Path, tmp_path: Path) -> None:
    token = "0123456789abcdef-token"
    (tmp_path / "token").write_text(f"{token}\n")
    options = ServeOptions(port=0, access_log=False, token_file=str(tmp_path / "token"))
    with serving([artifacts / "built"], options) as running:
        for path in ("/v2/health/live", "/v2/health/ready", "/"):
            assert serve_client.ask(running.url, "GET", path).status == 200
        for path in ("/v2", "/metrics", "/v2/models/tiny", "/nothing"):
            for sent in (
                {},
                {"Authorization": "Bearer x"},
                {"Authorization": token},
                {"Authorization": f"Basic {token}"},
            ):
                reply = serve_client.ask(running.url, "GET", path, headers=sent)
                assert reply.status == 401 and reply.headers["www-authenticate"] == "Bearer"
                assert token not in reply.body.decode()
        given = {"Authorization": f"Bearer {token}"}
        assert serve_client.ask(running.url, "GET", "/v2", headers=given).status == 200


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"host": "0.0.0.0"}, "host"),
        ({"host": "::"}, "host"),
        ({"host": "no.such.host.invalid", "insecure": True}, "host"),
        ({"insecure": True}, "insecure"),
        ({"token_file": "/nonexistent"}, "token_file"),
        ({"deadline": 0.0}, "deadline"),
        ({"port": 70000}, "port"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_a_model_is_loaded(
    artifacts: Path, given: dict[str, Any], field: str
) -> None:
    from densecast.errors import DensecastError

    with pytest.raises(DensecastError) as caught, serving([artifacts / "built"], ServeOptions(**({"port": 0} | given))):
        pass
    assert caught.value.field == field


def test_names_of_models_are_checked(artifacts: Path) -> None:
    built = artifacts / "built"
    for wrong in ([], [f"a:1={built}", f"a:1={built}"], [f"a/b={built}"], [f"={built}"], [f"a:={built}"]):
        with pytest.raises(UsageError), serving(wrong):
            pass
