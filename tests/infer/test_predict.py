"""`predict` and `infer` take pictures wherever they are: files, patterns, arrays, bytes, streams; URLs when allowed."""

from __future__ import annotations

import http.server
import io
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import made_videos
import numpy as np
import pytest
from command_line import failed
from PIL import Image

import densecast as dc
from densecast import InferOptions, Pipeline
from densecast.errors import BadInputError, BadShapeError, MissingFileError, UsageError
from densecast.verbs.infer import download, infer, sources

PHOTO = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)


def png(image: Any = PHOTO) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def pipeline(bright: Path) -> Iterator[Pipeline]:
    with Pipeline.open(bright, mode="throughput") as opened:
        yield opened


def test_every_kind_of_source_gives_the_same_prediction(pipeline: Pipeline, tmp_path: Path) -> None:
    file = tmp_path / "in" / "a.png"
    file.parent.mkdir()
    file.write_bytes(png())
    (tmp_path / "list.txt").write_text(f"{file}\n")
    expected = pipeline(PHOTO).class_id
    given = [
        PHOTO, png(), Image.fromarray(PHOTO), file, str(file), file.parent, str(file.parent / "*.png"),
        tmp_path / "list.txt", [PHOTO, [png()]], (each for each in (PHOTO, file)), bytearray(png()), io.BytesIO(png()),
    ]  # fmt: skip
    for source in given:
        found = list(dc.predict(pipeline, source))
        assert found
        for each in found:
            np.testing.assert_array_equal(each.prediction.class_id, expected)
            np.testing.assert_array_equal(each.image, PHOTO)
    assert [each.source for each in dc.predict(pipeline, file.parent)] == [file]
    made = next(dc.predict(pipeline, PHOTO, scores=True)).prediction
    assert made.probability is not None and made.names == pipeline.spec.labels


@pytest.mark.torch
def test_a_loader_of_torch_is_an_iterable_of_what_it_gives(pipeline: Pipeline) -> None:
    data = pytest.importorskip("torch.utils.data")
    loader = data.DataLoader([PHOTO, PHOTO], batch_size=None, collate_fn=lambda each: each)
    expected = pipeline(PHOTO).class_id
    found = [each.prediction.class_id for each in dc.predict(pipeline, loader)]
    np.testing.assert_array_equal(found, [expected, expected])
    with pytest.raises(BadShapeError, match=r"got .*DataLoader\. Pass an array"):
        pipeline(loader)


def test_frames_of_a_video_come_in_order_with_their_times(pipeline: Pipeline, tmp_path: Path) -> None:
    clip = made_videos.write(tmp_path / "clip.mkv", count=7)
    found = list(dc.predict(pipeline, [clip, PHOTO], every=3))
    assert [each.source.number for each in found[:-1]] == [0, 3, 6] and found[-1].source is PHOTO
    assert [round(each.source.time_ms) for each in found[:-1]] == [0, 300, 600]
    for each, frame in zip(found, made_videos.decoded(clip)[::3], strict=False):
        np.testing.assert_array_equal(each.prediction.class_id, pipeline(frame).class_id)


def test_pictures_are_taken_from_an_iterable_as_results_are(pipeline: Pipeline) -> None:
    taken = []

    def endless() -> Iterator[Any]:
        while True:
            taken.append(1)
            yield PHOTO

    results = dc.predict(pipeline, endless())
    for _ in range(3):
        next(results)
    results.close()
    assert len(taken) < 40


@pytest.mark.parametrize("source", [7, None, [3.0]])
def test_what_shows_no_pictures_is_refused(source: Any, pipeline: Pipeline) -> None:
    with pytest.raises(UsageError, match="shows no pictures"):
        list(dc.predict(pipeline, source))


def test_every_nth_frame_of_what_has_none_is_refused_before_anything_is_predicted(
    pipeline: Pipeline, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(png())
    for source in (tmp_path / "a.png", tmp_path, [str(tmp_path / "a.png"), PHOTO], PHOTO):
        with pytest.raises(UsageError, match="for videos and cameras") as told:
            list(dc.predict(pipeline, source, every=2))
        assert told.value.field == "every"
    made_videos.write(tmp_path / "a.mp4", size_hw=(24, 32))
    assert len(list(dc.predict(pipeline, [tmp_path / "a.png", tmp_path / "a.mp4"], every=6))) == 3


def test_wrong_pictures_are_refused_in_the_words_of_the_pipeline(pipeline: Pipeline) -> None:
    with pytest.raises(BadShapeError, match="got"):
        list(dc.predict(pipeline, PHOTO.astype(np.float32)))
    with pytest.raises(UsageError, match="every"):
        list(dc.predict(pipeline, PHOTO, every=0))
    with pytest.raises(MissingFileError, match="does not exist"):
        list(dc.predict(pipeline, "nowhere.png"))


def test_a_picture_on_standard_input_is_predicted(
    bright: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):  # the second replaces the first
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(png())))
        result = infer(bright, ["-"], tmp_path)
        assert [str(each.image) for each in result.results] == ["-"]
    with Pipeline.open(bright) as opened:
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "stdin.png")), opened(PHOTO).class_id)


def test_a_run_with_a_store_reads_lists_on_standard_input_and_no_pictures(
    bright: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow", reason="needs the [store] extra")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(png())))
    message = failed(3, "infer", bright, "-", "--store", tmp_path / "store")
    assert "holds a picture" in message


class Pages(http.server.BaseHTTPRequestHandler):
    """`/a.png`, `/clip.mkv`, `/hop/N`, and answers that go wrong."""

    clip = b""
    asked: list[str]

    def do_GET(self) -> None:
        type(self).asked.append(self.path)
        if self.path.startswith("/hop/"):
            count = int(self.path.rpartition("/")[2])
            return self.answer(302, b"", Location="/a.png" if count == 1 else f"/hop/{count - 1}")
        if self.path == "/elsewhere":
            return self.answer(302, b"", Location="file:///etc/passwd")
        if self.path.startswith("/code/"):
            return self.answer(int(self.path.rpartition("/")[2]), b"")
        if self.path == "/cut.png":
            return self.answer(200, png()[:100], **{"Content-Length": "4000"})
        if self.path == "/typed.png":
            return self.answer(200, png(), **{"Content-Type": "image/png; charset=binary"})
        if self.path == "/huge.png":
            return self.answer(200, b"", **{"Content-Length": str(1 << 40)})
        found = {
            "/a.png": png(),
            "/clip.mkv": type(self).clip,
            "/text.png": b"no picture",
            "/text.mkv": b"no video",
        }.get(self.path)
        return self.answer(404, b"") if found is None else self.answer(200, found)

    def answer(self, code: int, body: bytes, **headers: str) -> None:
        self.send_response(code)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return None


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    Pages.clip, Pages.asked = made_videos.write(tmp_path / "served.mkv", count=3).read_bytes(), []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_nothing_is_fetched_unless_it_is_allowed(site: str, bright: Path, tmp_path: Path, pipeline: Pipeline) -> None:
    message = failed(3, "infer", bright, f"{site}/a.png", "--out", tmp_path / "out")
    assert "--allow-url" in message
    with pytest.raises(MissingFileError):
        list(dc.predict(pipeline, f"{site}/a.png"))
    (tmp_path / "list.txt").write_text(f"{site}/a.png\n")
    failed(3, "infer", bright, tmp_path / "list.txt", "--out", tmp_path / "out")
    assert Pages.asked == [] and not (tmp_path / "out").exists()


def test_what_is_behind_urls_is_predicted_and_called_by_its_url(
    site: str, bright: Path, tmp_path: Path, pipeline: Pipeline
) -> None:
    (tmp_path / "list.txt").write_text(f"{site}/a.png\n")
    options = InferOptions(allow_url=True)
    for _ in range(2):
        result = infer(bright, [tmp_path / "list.txt", f"{site}/clip.mkv"], tmp_path / "out", options=options)
        assert [each.image for each in result.results] == [f"{site}/a.png"]
        assert [(each.video, each.frames) for each in result.videos] == [(f"{site}/clip.mkv", 3)]
    stored = np.asarray(Image.open(tmp_path / "out" / "a.png"))
    np.testing.assert_array_equal(stored, pipeline(PHOTO).class_id)
    (found,) = dc.predict(pipeline, f"{site}/hop/3", allow_url=True)
    assert found.source == f"{site}/hop/3"
    np.testing.assert_array_equal(found.prediction.class_id, stored)


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("/hop/20", "cannot be read"),
        ("/elsewhere", "nothing is fetched from|not allowed"),
        ("/cut.png", "100 of 4000 bytes|cannot be read"),
        ("/huge.png", "MiB are the most"),
        ("/nothing.png", "404"),
        ("/text.png", "/text.png"),
        ("/text.mkv", "/text.mkv: it cannot be opened"),
    ],
)
def test_what_goes_wrong_behind_a_url_is_said_of_the_url(
    page: str, words: str, site: str, bright: Path, tmp_path: Path
) -> None:
    with pytest.raises((BadInputError, MissingFileError), match=words) as caught:
        infer(bright, [f"{site}{page}"], tmp_path / "out", options=InferOptions(allow_url=True))
    assert f"{site}" in str(caught.value) and "densecast-" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("code", [404, 410, 403, 405, 500])
def test_what_is_not_there_is_told_from_what_cannot_be_read(code: int, site: str, tmp_path: Path) -> None:
    """By the standard of HTTP 404 is not found, and 410 is gone."""
    with pytest.raises((MissingFileError, BadInputError), match=f"the server answers {code} ") as caught:
        download.fetch(f"{site}/code/{code}", tmp_path / "a")
    assert caught.type is (MissingFileError if code in (404, 410) else BadInputError)


def test_the_media_type_is_told_where_there_is_one(site: str, tmp_path: Path) -> None:
    assert download.fetch(f"{site}/a.png", tmp_path / "a") == ""
    assert download.fetch(f"{site}/typed.png", tmp_path / "a") == "image/png"
    assert (download.suffix_of("image/png"), download.suffix_of("made/up")) == (".png", "")


def test_a_slow_or_endless_answer_is_left(site: str, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="longer than 0 s"):
        download.fetch(f"{site}/a.png", tmp_path / "a", most_seconds=0.0)
    with pytest.raises(BadInputError, match="MiB"):
        download.fetch(f"{site}/a.png", tmp_path / "a", most_bytes=10)


@pytest.mark.parametrize("address", ["ftp://host/a.png", "file:///etc/passwd", "https://me:secret@host/a.png"])
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(UsageError) as caught:
        sources.find([address], allow_url=True, takes_videos=True)
    assert "secret" not in str(caught.value)


def test_a_password_of_a_camera_is_used_and_never_shown(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []

    class Closed:
        def __init__(self, *given: Any) -> None:
            opened.append(given[0])

        def isOpened(self) -> bool:
            return False

        def release(self) -> None: ...

    monkeypatch.setattr(cv2, "VideoCapture", Closed)
    address = "rtsp://me:secret@camera.local/door?token=secret"
    (source,) = sources.find([address], allow_url=True, takes_videos=True).images
    assert "secret" not in repr(source) + source.name + str(source.path) + str(source.below)
    with pytest.raises(BadInputError, match=r"rtsp://camera\.local/door: it cannot be opened") as caught:
        list(dc.predict(pipeline, address, allow_url=True))
    assert opened == [address] and "secret" not in str(caught.value)


@pytest.mark.parametrize("more", [("--allow-url",), ("--format", "coco"), ("--every", "2")])
def test_options_that_have_no_effect_on_runs_with_a_store_are_refused(
    more: tuple[str, ...], bright: Path, tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow", reason="needs the [store] extra")
    message = failed(2, "infer", bright, "x.png", "--store", tmp_path / "store", *more)
    assert more[0] in message and "no effect" in message
