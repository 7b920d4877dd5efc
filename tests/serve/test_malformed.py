"""Requests that are wrong in hundreds of ways are answered 4xx, each with one line, and nothing else comes of them."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import threading

import malformed_requests
import numpy as np
import pytest
import serve_client


def answered(server: str, sent: bytes, wait_s: float = 5.0) -> tuple[int, bytes]:
    """The status and body of the answer; 0 where the connection was closed without one."""
    host, port = server.split("/")[2].rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=wait_s) as connection:
        received = b""
        with contextlib.suppress(ConnectionError):  # it is answered before all was sent
            connection.sendall(sent)
        try:
            while b"\r\n\r\n" not in received:
                received += (part := connection.recv(65536))
                if not part:
                    break
            head, _, body = received.partition(b"\r\n\r\n")
            length = next(
                (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length")), 0
            )
            while len(body) < length and (part := connection.recv(65536)):
                body += part
        except (ConnectionError, TimeoutError):
            return 0, received
    return (int(head.split()[1]), body[:length]) if head else (0, b"")


def test_there_are_hundreds_of_them() -> None:
    names = [name for name, _ in malformed_requests.wrong()]
    assert len(names) >= 500 and len(set(names)) == len(names)


@pytest.mark.slow
def test_every_wrong_request_is_answered_4xx_in_one_line(server: str, capfd: pytest.CaptureFixture[str]) -> None:
    threads_before = threading.active_count()
    failed = []
    for name, sent in malformed_requests.wrong():
        status, body = answered(server, sent)
        if not 400 <= status < 500:
            failed.append((name, status, body[:200]))
            continue
        told = json.loads(body)
        if (
            "\n" in told["error"]
            or len(told["error"]) > 2000
            or "Traceback" in told["error"]
            or "/site-packages" in told["error"]
        ):
            failed.append((name, status, body[:200]))
    assert not failed, f"{len(failed)}: {failed[:60]}"
    seen = capfd.readouterr()
    assert "Traceback" not in seen.err and "passwd" not in seen.err, seen.err[-2000:]
    feed = np.zeros((1, 3, 8, 8), np.float32)
    request = serve_client.v2([("image", "FP32", feed.shape, feed.tobytes())])
    assert serve_client.ask(server, "POST", "/v2/models/tiny/infer", *request).status == 200
    assert threading.active_count() <= threads_before + 4


def test_flipped_bytes_of_right_requests_never_end_in_an_error_of_the_server(server: str) -> None:
    rng = random.Random(0)
    feed = np.zeros((1, 3, 8, 8), np.float32)
    right = [
        malformed_requests.infer(json.dumps(malformed_requests.valid_tensor()).encode()),
        malformed_requests.infer(*serve_client.v2([("image", "FP32", feed.shape, feed.tobytes())])[:1]),
        malformed_requests.request("/predict/tiny", malformed_requests.jpeg(), ("Content-Type: image/jpeg",)),
    ]
    statuses = set()
    for number in range(120):
        sent = bytearray(right[number % len(right)])
        # Behind the request line and the length, so that the request stays complete.
        start = sent.index(b"\r\n\r\n") + 4
        for _ in range(rng.choice((1, 1, 2, 8))):
            sent[rng.randrange(start, len(sent))] = rng.randrange(256)
        statuses.add(answered(server, bytes(sent))[0])
    assert statuses <= {200, *range(400, 500)}


def test_the_field_that_is_wrong_is_named(server: str) -> None:
    document = malformed_requests.valid_tensor()
    document["inputs"][0]["shape"] = [1, 3, 8, -8]
    reply = serve_client.ask(server, "POST", "/v2/models/tiny/infer", json.dumps(document).encode())
    assert reply.status == 400 and reply.document["field"] == "inputs[image].shape"
    reply = serve_client.ask(server, "POST", "/predict/tiny?overlay=7", malformed_requests.jpeg())
    assert reply.status == 400 and reply.document["field"] == "overlay"
    reply = serve_client.ask(server, "GET", "/v2/models/tinny")
    assert reply.status == 404 and "Did you mean 'tiny'" in reply.document["error"]
