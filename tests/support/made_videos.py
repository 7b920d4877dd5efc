"""Videos made with OpenCV: each frame is dark with a bright bar whose width tells the frame's number."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

CODECS = {".webm": "VP90", ".mp4": "mp4v", ".avi": "MJPG", ".mkv": "FFV1"}


def bar_of(number: int) -> int:
    """The width of the bar in a frame."""
    return 4 + 2 * number


def frame(number: int, size_hw: tuple[int, int] = (48, 64)) -> npt.NDArray[np.uint8]:
    """(H, W, 3) RGB."""
    image = np.full((*size_hw, 3), 40, np.uint8)
    image[:, : bar_of(number)] = (200, 210, 220)
    return image


def write(path: Path, count: int = 12, fps: float = 10.0, size_hw: tuple[int, int] = (48, 64)) -> Path:
    """A video of `count` frames; its codec is that of its ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(
        str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*CODECS[path.suffix]), fps, size_hw[::-1]
    )
    assert writer.isOpened()
    for number in range(count):
        writer.write(np.ascontiguousarray(frame(number, size_hw)[:, :, ::-1]))
    writer.release()
    return path


def decoded(path: Path) -> list[npt.NDArray[np.uint8]]:
    """Every frame as OpenCV decodes it, (H, W, 3) RGB."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    frames = []
    while True:
        got, pixels = capture.read()
        if not got:
            return frames
        frames.append(np.ascontiguousarray(pixels[:, :, ::-1]))
