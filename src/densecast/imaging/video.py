"""Reads videos and cameras frame by frame with OpenCV, and says when it does not get what a file promises.

OpenCV fails in silence: a file that cannot be opened or ends in the middle is an empty answer there, and an error here.
What a decoder conceals inside a frame is not known.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from densecast.errors import BadVideoError, MissingFileError, UsageError

_log = logging.getLogger(__name__)

VIDEO_SUFFIXES = (
    ".mp4",
    ".m4v",
    ".mov",
    ".avi",
    ".mkv",
    ".webm",
    ".mpg",
    ".mpeg",
    ".ts",
    ".wmv",
    ".flv",
    ".ogv",
    ".3gp",
)
CAMERA = "camera:"
STREAMS = ("rtsp://", "rtsps://", "rtmp://", "udp://", "tcp://")

# Containers that do not know their rate give the unit of their time stamps, as 1000 or 90000.
_FASTEST_FPS = 240.0
_ANSWER_MS = 10_000
_LONGEST_GAP_MS = 3_600_000.0


@dataclass(frozen=True, slots=True, eq=False)
class VideoFrame:
    """A frame: its number from 0, its time from the first frame's, and (H, W, 3) uint8 RGB."""

    number: int
    time_ms: float
    image: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """What a video says of itself: the size as shown, frames a second, how many; None for what is not known."""

    size_hw: tuple[int, int]
    fps: float | None
    frames: int | None
    is_live: bool = False

    @property
    def seconds(self) -> float | None:
        """How long it says it is."""
        return self.frames / self.fps if self.frames and self.fps else None


def is_video(name: str) -> bool:
    """Whether a name is that of a video file, a camera or a stream of one.

    >>> is_video("a.MP4"), is_video("camera:0"), is_video("rtsp://host/door"), is_video("a.jpg")
    (True, True, True, False)
    """
    return name.lower().endswith(VIDEO_SUFFIXES) or is_live(name)


def is_live(name: str) -> bool:
    """Whether a name is that of a camera or of a stream, which does not wait for whoever looks at it."""
    return name.startswith(CAMERA) or name.lower().startswith(STREAMS)


class Video:
    """An opened video; read it once, and close it."""

    def __init__(self, name: str, address: str | None = None) -> None:
        """Open it and read the first frame; `address` is where it is, if it is called otherwise.

        Raises:
            MissingFileError: no such file.
            BadVideoError: it cannot be opened, or holds no frame.
        """
        self.name = name
        self._live = is_live(name)
        self._capture = _opened(name, address or name)
        try:
            self._first = self._grabbed()
            self.facts = self._facts(self._first)
        except BaseException:
            self.close()
            raise
        # How many frames of a live source nobody had time for.
        self.missed = 0

    def frames(self, every: int = 1) -> Iterator[VideoFrame]:
        """All frames, or every so many, in order; of a live source the newest each time, whatever was missed.

        A frame's time is its time stamp. Where stamps do not grow, it is one frame's duration after the last.

        Raises:
            BadVideoError: the frames end before the file says, their size changes, or a camera stops.
        """
        yield from self._live_frames(every) if self._live else self._file_frames(every)

    def close(self) -> None:
        """Let the file or camera go."""
        self._capture.release()

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _file_frames(self, every: int) -> Iterator[VideoFrame]:
        import cv2

        number, start_ms, last_ms, is_even = 0, self._stamp(), 0.0, True
        step_ms = 1000 / self.facts.fps if self.facts.fps else 40.0
        yield VideoFrame(0, 0.0, self._first)
        while self._capture.grab():
            number += 1
            stamp = self._stamp() - start_ms
            time_ms = stamp if math.isfinite(stamp) and stamp > last_ms else last_ms + step_ms
            if time_ms - last_ms > _LONGEST_GAP_MS:
                raise BadVideoError(
                    f"{self.name}: time stamps jump by {(time_ms - last_ms) / 1000:.0f} s; it is damaged."
                )
            is_even &= abs(time_ms - number * step_ms) < step_ms
            last_ms = time_ms
            if number % every:
                continue
            got, pixels = self._capture.retrieve()
            if not got:
                raise BadVideoError(f"{self.name}: frame {number} cannot be decoded.")
            yield VideoFrame(number, time_ms, self._checked(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), number))
        self._check_whole(number + 1, last_ms, is_even)

    def _check_whole(self, read: int, last_ms: float, is_even: bool) -> None:
        """Containers may count by their duration: only at an even rate does a frame that is missing mean damage."""
        promised, fps = self.facts.frames, self.facts.fps
        if promised is None or fps is None or promised - read <= max(2, promised // 200):
            return
        message = (
            f"{self.name}: its frames end after {read}, at {last_ms / 1000:.2f} s, and it says that it has {promised} "
            f"in {promised / fps:.2f} s"
        )
        if not is_even:
            _log.warning("%s; its rate varies, so that it may be whole all the same", message)
            return
        raise BadVideoError(f"{message}. It is cut off or damaged: copy it again.")

    def _live_frames(self, every: int) -> Iterator[VideoFrame]:
        newest = _Newest(self._capture)
        try:
            start, seen = newest.begun, 0
            yield VideoFrame(0, 0.0, self._first)
            while True:
                found = newest.after(seen + every - 1)
                if found is None:
                    raise BadVideoError(f"{self.name} stopped giving frames after {time.monotonic() - start:.1f} s.")
                number, at, pixels = found
                self.missed += number - seen - every
                seen = number
                yield VideoFrame(number, (at - start) * 1000, self._checked(pixels, number))
        finally:
            newest.stop()

    def _grabbed(self) -> npt.NDArray[np.uint8]:
        import cv2

        got, pixels = self._capture.read()
        if not got or pixels is None or not pixels.size:
            raise BadVideoError(f"{self.name}: it holds no frame that can be decoded.")
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)

    def _facts(self, first: npt.NDArray[np.uint8]) -> VideoFacts:
        import cv2

        fps = float(self._capture.get(cv2.CAP_PROP_FPS))
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        known = math.isfinite(fps) and 0 < fps <= _FASTEST_FPS
        counted = not self._live and known and math.isfinite(count) and count > 0
        size_hw = (first.shape[0], first.shape[1])
        return VideoFacts(size_hw, fps if known else None, int(count) if counted else None, self._live)

    def _stamp(self) -> float:
        import cv2

        return float(self._capture.get(cv2.CAP_PROP_POS_MSEC))

    def _checked(self, image: Any, number: int) -> npt.NDArray[np.uint8]:
        if image.shape[:2] != self.facts.size_hw:
            height, width = self.facts.size_hw
            raise BadVideoError(
                f"{self.name}: frame {number} is {image.shape[1]}×{image.shape[0]} pixels, the first is "
                f"{width}×{height}. Divide the video where its size changes."
            )
        return np.asarray(image, np.uint8)


class _Newest:
    """A thread that takes every frame of a live source, and keeps the newest: those are late that wait in a queue."""

    def __init__(self, capture: Any) -> None:
        self.begun = time.monotonic()
        self._capture, self._changed = capture, threading.Condition()
        self._frame: tuple[int, float, Any] | None = None
        self._is_over = False
        self._thread = threading.Thread(target=self._take, name="densecast camera", daemon=True)
        self._thread.start()

    def after(self, number: int) -> tuple[int, float, Any] | None:
        """Wait for a frame beyond that number: its number, when it came, RGB pixels; None if no more come."""
        import cv2

        with self._changed:
            self._changed.wait_for(lambda: self._is_over or (self._frame is not None and self._frame[0] > number))
            if self._frame is None or self._frame[0] <= number:
                return None
            frame_number, at, pixels = self._frame
        return frame_number, at, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)

    def stop(self) -> None:
        """End the thread; a read that is on its way ends first, or by its time limit."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        self._thread.join(_ANSWER_MS / 1000)

    def _take(self) -> None:
        number = 0
        while not self._is_over:
            got, pixels = self._capture.read()
            with self._changed:
                if not got or pixels is None:
                    self._is_over = True
                else:
                    number += 1
                    self._frame = (number, time.monotonic(), pixels)
                self._changed.notify_all()


def _opened(name: str, address: str) -> Any:
    import cv2

    # What FFmpeg and OpenCV print of a file says less than the error, and names no file; a user's own setting stays.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    if "OPENCV_LOG_LEVEL" not in os.environ:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    if name.startswith(CAMERA):
        number = name.removeprefix(CAMERA)
        if not number.isdigit():
            raise UsageError(f"a camera is named by its number, as {CAMERA}0; got {name!r}.", field="images")
        capture = cv2.VideoCapture(int(number))
        cure = "Is there one, and does no other program use it?"
    elif is_live(name):
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _ANSWER_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _ANSWER_MS]
        capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, limits)
        cure = "Is the address right, and does it answer?"
    else:
        path = Path(address)
        if not path.is_file():
            raise MissingFileError.at(path, "video")
        if path.stat().st_size == 0:
            raise BadVideoError(f"{name}: it is empty.")
        capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG)
        cure = "It is no video, is damaged, or its codec is unknown to OpenCV's FFmpeg."
    if not capture.isOpened():
        with contextlib.suppress(cv2.error):
            capture.release()
        raise BadVideoError(f"{name}: it cannot be opened. {cure}")
    return capture
