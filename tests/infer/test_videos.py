"""Videos are predicted frame by frame, in order, to their end; what is cut off, empty or no video is an error."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import made_videos
import numpy as np
import numpy.typing as npt
import pytest
from command_line import densecast, failed
from PIL import Image

from densecast import InferOptions, Pipeline
from densecast.errors import BadShapeError, BadVideoError, MissingFileError, UsageError
from densecast.imaging.video import Video
from densecast.imaging.video_writer import VideoWriter
from densecast.verbs.infer import infer


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_videos.write(tmp_path_factory.mktemp("clips") / "clip.mkv")


def mask_of(rle: dict[str, Any]) -> npt.NDArray[np.bool_]:
    """Compressed run lengths -> (H, W), as COCO's text says: read here by hand."""
    counts, value, shift = [], 0, 0
    for letter in rle["counts"]:
        bits = ord(letter) - 48
        value |= (bits & 31) << 5 * shift
        shift += 1
        if not bits & 32:
            value -= (1 << 5 * shift) if bits & 16 else 0
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    height, width = rle["size"]
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return flat.reshape(width, height).T


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_line_for_each_frame_has_the_labels_that_the_pipeline_gives_the_decoded_frame(
    bright: Path, clip: Path, tmp_path: Path
) -> None:
    result = infer(bright, [clip], tmp_path / "out", overlay=True)
    (video,) = result.videos
    lines = lines_of(tmp_path / "out" / "clip.jsonl")
    assert [line["frame"] for line in lines] == list(range(12)) and video.frames == 12
    np.testing.assert_allclose([line["time_ms"] for line in lines], np.arange(12) * 100, atol=1)
    frames = made_videos.decoded(clip)
    with Pipeline.open(bright) as pipeline:
        for line, frame in zip(lines, frames, strict=True):
            labels = pipeline(frame).class_id
            found = {each["class_id"]: mask_of(each["rle"]) for each in line["classes"]}
            for number in np.unique(labels).tolist():
                np.testing.assert_array_equal(found[number], labels == number)
            # The network marks what is bright: the bar, whose width tells the frame.
            assert found[1].sum() == 48 * made_videos.bar_of(line["frame"])


@pytest.mark.parametrize("container", ["webm", "mp4"])
def test_the_overlay_has_every_frame_of_the_video_drawn_on_at_its_time(
    container: Any, bright: Path, clip: Path, tmp_path: Path
) -> None:
    result = infer(bright, [clip], tmp_path, overlay=True, options=InferOptions(overlay_video=container))
    (video,) = result.videos
    assert video.overlay == tmp_path / f"clip_overlay.{container}"
    assert (video.overlay_frames, video.repeated, video.left_out) == (12, 0, 0)
    drawn = made_videos.decoded(video.overlay)
    assert len(drawn) == 12
    capture = cv2.VideoCapture(str(video.overlay))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(10)
    with Pipeline.open(bright) as pipeline:
        for frame, shown in zip(made_videos.decoded(clip), drawn, strict=True):
            expected = pipeline.task.draw(frame, pipeline(frame), pipeline.spec)
            # Lossy codecs halve the resolution of colours; away from edges they are close.
            assert np.median(np.abs(shown.astype(int) - expected)) < 12


@pytest.mark.parametrize("suffix", [".webm", ".mp4", ".avi", ".mkv"])
def test_frames_times_and_facts_of_every_container(suffix: str, tmp_path: Path) -> None:
    path = made_videos.write(tmp_path / f"a{suffix}", count=9, fps=25.0)
    with Video(str(path)) as video:
        assert (video.facts.size_hw, video.facts.fps, video.facts.frames) == ((48, 64), 25.0, 9)
        frames = list(video.frames())
    assert [each.number for each in frames] == list(range(9))
    np.testing.assert_allclose([each.time_ms for each in frames], np.arange(9) * 40.0, atol=1)
    for each, decoded in zip(frames, made_videos.decoded(path), strict=True):
        np.testing.assert_array_equal(each.image, decoded)


def test_every_so_many_frames_keep_their_numbers_and_times_and_the_overlay_its_length(
    bright: Path, clip: Path, tmp_path: Path
) -> None:
    result = infer(bright, [clip], tmp_path, overlay=True, options=InferOptions(every=4))
    lines = lines_of(tmp_path / "clip.jsonl")
    assert [(line["frame"], round(line["time_ms"])) for line in lines] == [(0, 0), (4, 400), (8, 800)]
    capture = cv2.VideoCapture(str(result.videos[0].overlay))
    assert (capture.get(cv2.CAP_PROP_FPS), result.videos[0].overlay_frames) == (2.5, 3)


def test_a_video_is_left_after_the_seconds_asked_for(bright: Path, clip: Path, tmp_path: Path) -> None:
    infer(bright, [clip], tmp_path, options=InferOptions(seconds=0.45))
    assert len(lines_of(tmp_path / "clip.jsonl")) == 5


@pytest.mark.parametrize("suffix", [".webm", ".avi", ".mkv"])
def test_a_video_that_is_cut_off_is_an_error_and_what_was_there_is_kept(
    suffix: str, bright: Path, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    path, count = tmp_path / f"cut{suffix}", 40
    writer = cv2.VideoWriter(
        str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*made_videos.CODECS[suffix]), 10.0, (64, 48)
    )
    for _ in range(count):
        writer.write(random.integers(0, 256, (48, 64, 3), np.uint8))
    writer.release()
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    whole = len(made_videos.decoded(path))
    assert 5 < whole < 35
    with pytest.raises(
        BadVideoError, match=rf"end after {whole}, .*it has 40 .*cut off or damaged.*{whole} frames before"
    ):
        infer(bright, [path], tmp_path / "out")
    assert len(lines_of(tmp_path / "out" / "cut.jsonl")) == whole
    assert "cut off or damaged" in failed(3, "infer", bright, path, "--out", tmp_path / "again")


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("empty.mp4", b"", "it is empty"),
        ("text.mp4", b"no video " * 100, "cannot be opened"),
        ("moov.mp4", None, "cannot be opened"),
        ("none.avi", None, "no frame"),
    ],
)
def test_what_holds_no_frames_is_an_error_before_anything_is_written(
    name: str,
    data: bytes | None,
    words: str,
    bright: Path,
    clip: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)
    elif name == "moov.mp4":  # its index is at the end
        whole = made_videos.write(tmp_path / "whole.mp4").read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    else:
        made_videos.write(path, count=0)
    capfd.readouterr()
    with pytest.raises(BadVideoError, match=words):
        infer(bright, [clip, path], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert "WARN" not in capfd.readouterr().err, "OpenCV prints nothing of its own"
    result = infer(bright, [clip, path], tmp_path / "out", options=InferOptions(keep_going=True))
    assert [each.image for each in result.failed] == [path] and result.videos[0].frames == 12
    with pytest.raises(MissingFileError, match=r"nowhere\.mp4"):
        infer(bright, [tmp_path / "nowhere.mp4"], tmp_path / "out")


def test_a_size_that_the_network_does_not_take_is_refused_before_anything_is_written(
    bright: Path, tmp_path: Path
) -> None:
    path = made_videos.write(tmp_path / "large.mkv", count=2, size_hw=(16, 600))
    with pytest.raises(BadShapeError):
        infer(bright, [path], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_images_and_videos_go_together_and_a_folder_is_asked_for_images(
    bright: Path, clip: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(made_videos.frame(3)).save(folder / "photo.png")
    (folder / "clip.mkv").write_bytes(clip.read_bytes())
    ended = densecast("infer", bright, folder, folder / "*.mkv", "--out", tmp_path / "out", "--json", "-", "-q")
    assert ended.code == 0, ended.err
    result = json.loads(ended.out)
    assert [each["image"] for each in result["results"]] == [str(folder / "photo.png")]
    assert [each["frames"] for each in result["videos"]] == [12] and result["left_out"] == {".mkv": 1}
    of_no_overlay = ("overlay", "overlay_frames", "repeated", "left_out")
    assert not any(result["videos"][0].get(name) for name in of_no_overlay), "none was asked for"
    # The same call once more replaces its own results, and nobody else's.
    assert densecast("infer", bright, folder / "clip.mkv", "--out", tmp_path / "out", "-q").code == 0
    (tmp_path / "out" / "clip.jsonl").write_text("mine")
    message = failed(2, "infer", bright, folder / "clip.mkv", "--out", tmp_path / "out")
    assert "densecast did not write it" in message


@pytest.mark.parametrize(
    ("more", "of_video", "words"),
    [
        (("--every", "2"), False, "--every"),
        (("--seconds", "2"), False, "--seconds"),
        (("--overlay-video", "mp4"), True, "--overlay-video"),
        (("--colour",), True, "colours are written of images"),
        (("--skip-existing",), True, "--skip-existing"),
    ],
)
def test_options_without_effect_are_refused(
    more: tuple[str, ...], of_video: bool, words: str, bright: Path, clip: Path, tmp_path: Path
) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray(made_videos.frame(3)).save(photo)
    assert words in failed(2, "infer", bright, clip if of_video else photo, "--out", tmp_path / "out", *more)


def test_a_video_of_odd_sides_is_drawn_whole(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "odd.mp4", "mp4", 10.0, (47, 63))
    writer.write(made_videos.frame(3, (47, 63)), 0.0)
    written = writer.close()
    assert written.size_hw == (48, 64)
    (shown,) = made_videos.decoded(tmp_path / "odd.mp4")
    assert np.abs(shown[:47, :63].astype(int) - made_videos.frame(3, (47, 63))).mean() < 10


def test_an_overlay_of_uneven_times_shows_at_each_time_what_the_video_shows(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "a.mp4", "mp4", 10.0, (48, 64))
    for number, time_ms in ((0, 0.0), (1, 100.0), (2, 130.0), (3, 500.0)):
        writer.write(made_videos.frame(4 * number), time_ms)
    written = writer.close()
    assert (written.frames, written.repeated, written.left_out) == (6, 3, 1)
    widths = [round(float((each[24] > 120).all(axis=1).sum()) / 2) * 2 for each in made_videos.decoded(written.file)]
    expected = [made_videos.bar_of(4 * number) for number in (0, 1, 2, 2, 2, 3)]
    np.testing.assert_allclose(widths, expected, atol=2)


def test_frames_whose_times_jitter_around_the_rate_are_shown_once_each(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "a.mp4", "mp4", 25.0, (48, 64))
    for number, time_ms in enumerate((0.0, 39.6, 80.4, 119.5, 160.3)):
        writer.write(made_videos.frame(number), time_ms)
    written = writer.close()
    assert (written.frames, written.repeated, written.left_out) == (5, 0, 0)


def test_memory_does_not_hold_the_frames(tmp_path: Path) -> None:
    path = made_videos.write(tmp_path / "long.avi", count=60)
    with Video(str(path)) as video:
        alive: list[Any] = []
        import weakref

        for frame in itertools.islice(video.frames(), 40):
            alive.append(weakref.ref(frame.image))
            del frame
        assert sum(each() is not None for each in alive) <= 2


def test_frames_in_batches_are_those_of_one_at_a_time(artifacts: Path, tmp_path: Path) -> None:
    path = made_videos.write(tmp_path / "clip.mkv", count=5)
    for batch, out in ((None, "one"), (3, "three")):
        infer(artifacts / "built", [path], tmp_path / out, batch=batch)
    assert lines_of(tmp_path / "one" / "clip.jsonl") == lines_of(tmp_path / "three" / "clip.jsonl")


def test_progress_is_told_in_seconds_of_the_video(bright: Path, clip: Path, tmp_path: Path) -> None:
    told: list[tuple[str, float, float]] = []
    infer(bright, [clip], tmp_path, time_progress=lambda *each: told.append(each))
    assert [name for name, _, _ in told] == [str(clip)] * 12
    np.testing.assert_allclose([done for _, done, _ in told], np.arange(12) / 10, atol=1e-3)
    assert {round(total, 3) for _, _, total in told} == {1.2}


class Capture:
    """A file that says it has `count` frames at 10 a second, and gives one for each of `stamps_ms`."""

    def __init__(self, stamps_ms: Sequence[float], count: int, sizes: Sequence[tuple[int, int]] = ()) -> None:
        self.stamps, self.count, self.sizes, self.at = stamps_ms, count, sizes, -1

    def isOpened(self) -> bool:
        return True

    def grab(self) -> bool:
        self.at += 1
        return self.at < len(self.stamps)

    def retrieve(self) -> tuple[bool, npt.NDArray[np.uint8]]:
        return True, np.zeros((*(self.sizes[self.at] if self.sizes else (48, 64)), 3), np.uint8)

    def read(self) -> tuple[bool, npt.NDArray[np.uint8] | None]:
        return self.retrieve() if self.grab() else (False, None)

    def get(self, what: int) -> float:
        return {
            cv2.CAP_PROP_FPS: 10.0,
            cv2.CAP_PROP_FRAME_COUNT: float(self.count),
            cv2.CAP_PROP_POS_MSEC: self.stamps[min(self.at, len(self.stamps) - 1)],
        }[what]

    def release(self) -> None:
        return None


def times_of(capture: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: capture)
    (tmp_path / "a.mp4").write_bytes(b"there")
    with Video(str(tmp_path / "a.mp4")) as video:
        return [frame.time_ms for frame in video.frames()]


@pytest.mark.parametrize(
    ("stamps", "times"),
    [
        ((500, 600, 700), (0, 100, 200)),  # from the first frame's
        ((0, 0, 0, 0), (0, 100, 200, 300)),  # stamps that say nothing
        ((0, 100, 100, 90, 400), (0, 100, 200, 300, 400)),  # that stand still or go back
        ((0, 40, 240, 260), (0, 40, 240, 260)),  # an uneven rate
        ((0, float("nan"), 200), (0, 100, 200)),
    ],
)
def test_times_are_the_stamps_where_these_grow(
    stamps: tuple[float, ...], times: tuple[float, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert times_of(Capture(stamps, len(stamps)), tmp_path, monkeypatch) == pytest.approx(times)


def test_fewer_frames_than_promised_are_damage_at_an_even_rate_and_a_remark_at_an_uneven_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(BadVideoError, match=r"after 20, .*it has 30"):
        times_of(Capture([100.0 * number for number in range(20)], 30), tmp_path, monkeypatch)
    uneven = [100.0 * number + (350 if number > 10 else 0) for number in range(20)]
    assert len(times_of(Capture(uneven, 30), tmp_path, monkeypatch)) == 20
    assert "its rate varies" in caplog.text
    # Containers that estimate their count are not held to a frame, nor to two, nor to one in two hundred.
    for read, promised, is_whole in ((28, 30, True), (27, 30, False), (995, 1000, True), (994, 1000, False)):
        capture = Capture([100.0 * number for number in range(read)], promised)
        if is_whole:
            assert len(times_of(capture, tmp_path, monkeypatch)) == read
            continue
        with pytest.raises(BadVideoError, match=f"after {read}, .*it has {promised}"):
            times_of(capture, tmp_path, monkeypatch)


def test_a_size_that_changes_and_stamps_that_leap_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadVideoError, match="frame 2 is 32×24 pixels, the first is 64×48"):
        times_of(Capture((0, 100, 200), 3, ((48, 64), (48, 64), (24, 32))), tmp_path, monkeypatch)
    with pytest.raises(BadVideoError, match="time stamps jump"):
        times_of(Capture((0, 100, 1e9), 3), tmp_path, monkeypatch)


class Camera:
    """A camera that gives a frame every few milliseconds, whether anybody looks or not, until it is pulled out."""

    def __init__(self, *_: object) -> None:
        self.given = 0

    def isOpened(self) -> bool:
        return True

    def read(self) -> tuple[bool, npt.NDArray[np.uint8] | None]:
        time.sleep(0.004)
        self.given += 1
        return (True, made_videos.frame(self.given % 20)[:, :, ::-1]) if self.given < 60 else (False, None)

    def get(self, _: int) -> float:
        return 0.0

    def release(self) -> None:
        return None


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    real = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", lambda *given: Camera() if given == (0,) else real(*given))
    yield


@pytest.mark.usefixtures("camera")
def test_of_a_camera_the_newest_frame_is_taken_and_what_was_missed_is_counted() -> None:
    before = set(threading.enumerate())
    with Video("camera:0") as video:
        assert video.facts.is_live and video.facts.frames is None
        numbers, times = [], []
        with pytest.raises(BadVideoError, match="stopped giving frames"):
            for frame in video.frames():
                numbers.append(frame.number)
                times.append(frame.time_ms)
                time.sleep(0.02)
    assert numbers == sorted(set(numbers)) and times == sorted(times)
    assert 0 < video.missed == numbers[-1] + 1 - len(numbers)
    assert set(threading.enumerate()) <= before


@pytest.mark.usefixtures("camera")
def test_a_camera_writes_lines_and_an_overlay_until_its_time_is_up(bright: Path, tmp_path: Path) -> None:
    ended = densecast(
        "infer", bright, "camera:0", "--out", tmp_path, "--seconds", "0.1", "--overlay", "--overlay-video", "mp4", "-q"
    )  # fmt: skip
    assert ended.code == 0, ended.err
    lines = lines_of(tmp_path / "camera_0.jsonl")
    assert lines and all(line["time_ms"] < 100 for line in lines)
    assert made_videos.decoded(tmp_path / "camera_0_overlay.mp4")


@pytest.mark.usefixtures("camera")
def test_a_camera_that_is_pulled_out_leaves_what_it_gave(bright: Path, tmp_path: Path) -> None:
    assert "stopped giving frames" in failed(3, "infer", bright, "camera:0", "--out", tmp_path)
    assert lines_of(tmp_path / "camera_0.jsonl")


def test_a_camera_that_is_not_there_is_an_error(tmp_path: Path, bright: Path) -> None:
    assert "camera:97: it cannot be opened" in failed(3, "infer", bright, "camera:97", "--out", tmp_path)
    assert "named by its number" in failed(2, "infer", bright, "camera:front", "--out", tmp_path)
    assert "--allow-url" in failed(3, "infer", bright, "rtsp://127.0.0.1:9/x", "--out", tmp_path)


def test_people_and_depth_have_lines_too(people: Path, tmp_path: Path) -> None:
    path = made_videos.write(tmp_path / "clip.mkv", count=2, size_hw=(64, 96))
    infer(people / "built", [path], tmp_path / "out")
    lines = lines_of(tmp_path / "out" / "clip.jsonl")
    assert len(lines) == 2 and all({"people", "joints", "frame", "time_ms"} <= line.keys() for line in lines)


def test_a_codec_that_is_not_there_is_an_error_in_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Silent:
        def __init__(self, *_: object) -> None: ...

        def isOpened(self) -> bool:
            return False

    monkeypatch.setattr(cv2, "VideoWriter", type("VideoWriter", (Silent,), {"fourcc": staticmethod(lambda *_: 0)}))
    with pytest.raises(BadVideoError, match=r"cannot encode VP90 in \.webm"):
        VideoWriter(tmp_path / "a.webm", "webm", 10.0, (48, 64))


def test_the_wrong_options_are_refused_in_python() -> None:
    with pytest.raises(UsageError, match="every"):
        InferOptions(every=0)
    with pytest.raises(UsageError, match="seconds"):
        InferOptions(seconds=0.0)
