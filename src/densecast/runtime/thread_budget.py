"""One process-wide thread budget for libraries with global thread pools."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

_changing = threading.Lock()
_claims: list[int] = []
_before = 0


@contextlib.contextmanager
def opencv_threads(count: int) -> Iterator[None]:
    """OpenCV's pool at no more than `count` threads within the block.

    Of several blocks at a time, in whatever threads, the smallest count holds; the last one to end puts back what the
    first one found. numba's pool needs no bound: no kernel here is compiled to start threads.
    """
    import cv2

    global _before
    with _changing:
        if not _claims:
            _before = cv2.getNumThreads()
        _claims.append(count)
        cv2.setNumThreads(min(_claims))
    try:
        yield
    finally:
        with _changing:
            _claims.remove(count)
            cv2.setNumThreads(min(_claims) if _claims else _before)
