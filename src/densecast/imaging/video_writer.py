"""Writes videos with OpenCV, by the frames' time stamps, and reads back what was written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from densecast.errors import BadVideoError, WriteError

Container = Literal["webm", "mp4"]
# What OpenCV's FFmpeg can really encode: H.264 is not part of it. Browsers play VP9, and no MPEG-4 part 2.
CODECS: dict[Container, str] = {"webm": "VP90", "mp4": "mp4v"}
USUAL_FPS = 25.0
# OpenCV gives FFmpeg a rate as a whole fraction; MPEG-4 knows times of up to 65535 a second.
_SLOWEST_FPS, _FASTEST_FPS = 0.5, 240.0


@dataclass(frozen=True, slots=True)
class WrittenVideo:
    """What was read back of a written video.

    A video of an even rate holds, at each of its frames, what was shown at that time: `repeated` counts frames that are
    shown once more, `left_out` those that lay between two.
    """

    file: Path
    frames: int
    fps: float
    size_hw: tuple[int, int]
    repeated: int
    left_out: int


class VideoWriter:
    """An open video file; close it to see whether all of it was written."""

    def __init__(self, path: Path, container: Container, fps: float | None, size_hw: tuple[int, int]) -> None:
        """Open it for frames of one size. Odd sides grow by a pixel at the edge, which these codecs need.

        Raises:
            BadVideoError: OpenCV has no such encoder.
        """
        import cv2

        rate = fps if fps is not None and _SLOWEST_FPS <= fps <= _FASTEST_FPS else USUAL_FPS
        self.path, self._fps = path, rate
        self._size_hw = (size_hw[0] + size_hw[0] % 2, size_hw[1] + size_hw[1] % 2)
        code = cv2.VideoWriter.fourcc(*CODECS[container])
        self._writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, rate, self._size_hw[::-1])
        if not self._writer.isOpened():
            raise BadVideoError(
                f"{path}: this OpenCV cannot encode {CODECS[container]} in .{container}. Try another container, or "
                "install opencv-python-headless from PyPI, which has FFmpeg.",
                field="overlay_video",
            )
        self._last: npt.NDArray[np.uint8] | None = None
        self._next = self._repeated = self._left_out = 0

    def write(self, image: npt.NDArray[np.uint8], time_ms: float) -> None:
        """Add an (H, W, 3) RGB frame that is shown from `time_ms` on; times must grow.

        Raises:
            WriteError: the encoder did not take it.
        """
        place = round(time_ms * self._fps / 1000)
        if place < self._next:
            self._left_out += 1
            self._last = image
            return
        while self._last is not None and self._next < place:
            self._put(self._last)
            self._repeated += 1
        self._next = place
        self._put(image)
        self._last = image

    def close(self) -> WrittenVideo:
        """Finish the file, decode it again, and compare.

        Raises:
            WriteError: frames are missing in it, or it has another size.
        """
        import cv2

        self._writer.release()
        capture = cv2.VideoCapture(str(self.path), cv2.CAP_FFMPEG)
        found = 0
        size_hw = (int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)), int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)))
        while capture.isOpened() and capture.grab():
            found += 1
        capture.release()
        if found != self._written or size_hw != self._size_hw:
            raise WriteError(
                f"{self.path}: {found} frames of {size_hw[1]}×{size_hw[0]} can be read back, of {self._written} of "
                f"{self._size_hw[1]}×{self._size_hw[0]} that were written. Is the disk full?"
            )
        return WrittenVideo(self.path, found, self._fps, size_hw, self._repeated, self._left_out)

    def abandon(self) -> None:
        """Close the file without looking at it."""
        self._writer.release()

    @property
    def _written(self) -> int:
        return self._next

    def _put(self, image: npt.NDArray[np.uint8]) -> None:
        pixels = np.ascontiguousarray(image[:, :, ::-1])
        more = (self._size_hw[0] - pixels.shape[0], self._size_hw[1] - pixels.shape[1])
        if any(more):
            pixels = np.pad(pixels, ((0, more[0]), (0, more[1]), (0, 0)), mode="edge")
        if self._writer.write(pixels) is False:  # older versions say nothing
            raise WriteError(f"{self.path}: the encoder did not take frame {self._next}.")
        self._next += 1
