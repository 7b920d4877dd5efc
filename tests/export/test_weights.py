"""Weights are found in a fixed order, fetched from any mirror that works, and taken only with the published hash."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from densecast.errors import BadCheckpointError, MissingFileError
from densecast.io import cache
from densecast.verbs.export import weights
from densecast.zoo._base import CheckpointSource

CONTENT = bytes(range(256)) * 9000  # more than two of the chunks that are read at a time
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves `CONTENT` under paths that say how: whole, cut, without ranges, other bytes, not at all."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, str | None]] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append((self.path, wanted))
        content = CONTENT[:-1] + b"?" if "other" in self.path else CONTENT
        if "absent" in self.path:
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and "no_ranges" not in self.path else 0
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        # A connection that breaks off promises all and gives half of it, until it is asked for the rest.
        breaks = "breaks" in self.path and not start
        self.wfile.write(content[start : len(content) // 2 if breaks else None])

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing on standard error."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def shelf(own_cache: Path) -> Path:
    """Where fetched weights are kept in this test."""
    return cache.folder() / "weights"


def source(*urls: str, sha256: str | None = SHA256, md5: str | None = None) -> CheckpointSource:
    return CheckpointSource("net.pth", urls, sha256=sha256, md5=md5)


def test_fetched_once_and_kept(server: Server, shelf: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path = weights.find(source(server.url("net.pth")), progress=lambda done, total: seen.append((done, total)))
    assert path == shelf / "net.pth" and path.read_bytes() == CONTENT
    assert [item.name for item in shelf.iterdir()] == ["net.pth"]
    assert seen[-1] == (len(CONTENT), len(CONTENT)) and seen == sorted(seen) and len(seen) > 1
    assert weights.find(source(server.url("net.pth"))) == path
    assert len(server.requests) == 1


def test_a_download_goes_on_where_it_broke_off(server: Server, shelf: Path) -> None:
    wanted = source(server.url("breaks.pth"))
    with pytest.raises(MissingFileError, match="broke off after"):
        weights.find(wanted)
    assert not (shelf / "net.pth").exists()
    assert weights.find(wanted).read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == [None, f"bytes={len(CONTENT) // 2}-"]
    assert [item.name for item in shelf.iterdir()] == ["net.pth"]


def test_a_server_without_ranges_starts_again(server: Server, shelf: Path) -> None:
    url = server.url("no_ranges.pth")
    wanted = source(url)
    shelf.mkdir(parents=True)
    part = shelf / f".net.pth.{hashlib.sha256(url.encode()).hexdigest()[:8]}.part"
    part.write_bytes(CONTENT[:1000])
    assert weights.find(wanted).read_bytes() == CONTENT


def test_a_part_that_is_already_whole_is_taken(server: Server, shelf: Path) -> None:
    url = server.url("net.pth")
    shelf.mkdir(parents=True)
    part = shelf / f".net.pth.{hashlib.sha256(url.encode()).hexdigest()[:8]}.part"
    part.write_bytes(CONTENT)
    assert weights.find(source(url)).read_bytes() == CONTENT
    assert not part.exists()


def test_a_part_that_is_too_long_is_thrown_away(server: Server, shelf: Path) -> None:
    url = server.url("net.pth")
    shelf.mkdir(parents=True)
    part = shelf / f".net.pth.{hashlib.sha256(url.encode()).hexdigest()[:8]}.part"
    part.write_bytes(CONTENT + b"more")
    unhashed = source(url, sha256=None)
    with pytest.raises(MissingFileError, match="longer than the file"):
        weights.find(unhashed)
    assert weights.find(unhashed).read_bytes() == CONTENT


def test_mirrors_are_tried_in_order(server: Server, shelf: Path) -> None:
    mirrors = [server.url(name) for name in ("absent.pth", "other.pth", "net.pth", "never.pth")]
    assert weights.find(source(*mirrors)).read_bytes() == CONTENT
    assert [path for path, _ in server.requests] == ["/absent.pth", "/other.pth", "/net.pth"]
    assert [item.name for item in shelf.iterdir()] == ["net.pth"]


def test_when_all_fail_every_place_and_reason_is_named(
    server: Server, shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(weights.WEIGHTS_VARIABLE, str(tmp_path / "usb"))
    closed = "http://127.0.0.1:9/net.pth"
    urls = [server.url("absent.pth"), server.url("other.pth"), closed, "file:///etc/passwd"]
    with pytest.raises(MissingFileError) as caught:
        weights.find(source(*urls))
    message = str(caught.value)
    for place in (*urls, str(tmp_path / "usb" / "net.pth"), str(shelf / "net.pth")):
        assert place in message
    for reason in ("404", "published is", "refused", "only http and https", "$DENSECAST_WEIGHTS"):
        assert reason in message
    assert caught.value.field == "checkpoint"
    assert not list(shelf.glob("*"))


def test_order_is_given_then_shelf_then_cache(
    server: Server, shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(weights.WEIGHTS_VARIABLE, str(tmp_path / "usb"))
    wanted = source(server.url("net.pth"))
    given, on_usb, cached = tmp_path / "mine.pth", tmp_path / "usb" / "net.pth", shelf / "net.pth"
    given.write_bytes(b"my own training: no published hash")
    for path in (cached, on_usb):
        path.parent.mkdir(parents=True)
    cached.write_bytes(CONTENT)
    assert weights.find(wanted) == cached
    on_usb.write_bytes(CONTENT)
    assert weights.find(wanted) == on_usb
    assert weights.find(wanted, given) == given
    assert server.requests == []
    with pytest.raises(MissingFileError, match=r"absent\.pth does not exist"):
        weights.find(wanted, tmp_path / "absent.pth")


@pytest.mark.parametrize(
    ("sha256", "md5", "fits"),
    [
        (SHA256[:8], None, True),
        (SHA256.upper(), None, True),
        (None, hashlib.md5(CONTENT).hexdigest(), True),
        (None, None, True),
        ("0" * 8, None, False),
        (SHA256, "0" * 32, False),
    ],
)
def test_published_hashes_are_checked(tmp_path: Path, sha256: str | None, md5: str | None, fits: bool) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(CONTENT)
    wanted = source(sha256=sha256, md5=md5)
    if fits:
        assert weights.check_hash(path, wanted) == path
    else:
        with pytest.raises(BadCheckpointError, match="published is"):
            weights.check_hash(path, wanted)


def test_a_file_of_the_published_name_has_to_be_the_published_one_and_another_name_is_ones_own(tmp_path: Path) -> None:
    for name, content in (("net.pth", CONTENT[:-1] + b"?"), ("mine.pth", CONTENT[:-1] + b"?")):
        (tmp_path / name).write_bytes(content)
    wanted = source(sha256=SHA256, md5=None)
    with pytest.raises(BadCheckpointError, match="published is"):
        weights.find(wanted, tmp_path / "net.pth")
    assert weights.find(wanted, tmp_path / "mine.pth") == tmp_path / "mine.pth"
    (tmp_path / "net.pth").write_bytes(CONTENT)
    assert weights.find(wanted, tmp_path / "net.pth") == tmp_path / "net.pth"


def test_a_damaged_file_on_the_shelf_is_said_and_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(weights.WEIGHTS_VARIABLE, str(tmp_path))
    (tmp_path / "net.pth").write_bytes(CONTENT[:-1])
    with pytest.raises(BadCheckpointError, match="damaged or another file"):
        weights.find(source())
