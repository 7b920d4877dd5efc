"""Process-wide settings of other libraries, safe to change from several threads: OpenCV's thread pool, warnings.

Their own ways keep what they found and put it back. Two threads that do so in turns, the first to come also being the
first to go, leave the process with what neither wanted. Here the last to go puts back what the first found.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from densecast.io import cache
from densecast.runtime import cell_server

_log = logging.getLogger(__name__)

_changing = threading.Lock()
_opencv_claims: list[int] = []
_opencv_before = 0
_warnings_inside = 0
_outermost = contextlib.ExitStack()


@contextlib.contextmanager
def opencv_threads(count: int) -> Iterator[None]:
    """Limit OpenCV's thread pool to `count` threads within the block.

    Of several blocks at a time, in whatever threads, the smallest count holds; the last one to end puts back what the
    first one found. numba's pool needs no bound: no kernel here is compiled to start threads.
    """
    import cv2

    global _opencv_before
    with _changing:
        if not _opencv_claims:
            _opencv_before = cv2.getNumThreads()
        _opencv_claims.append(count)
        cv2.setNumThreads(min(_opencv_claims))
    try:
        yield
    finally:
        with _changing:
            _opencv_claims.remove(count)
            cv2.setNumThreads(min(_opencv_claims) if _opencv_claims else _opencv_before)


def give_numba_a_cache(kernels: Path) -> None:
    """Have numba keep compiled kernels where this process can write: beside their source, else in the cache folder.

    numba refuses to compile what it cannot keep. Where no folder can be written to, nothing is kept: the kernels are
    the same, and every process compiles them again. `$NUMBA_CACHE_DIR`, where it is set and can be used, is taken.
    """
    given = os.environ.get("NUMBA_CACHE_DIR")
    if given and _can_be_written(Path(given)):
        return
    beside = kernels / "__pycache__"
    if not given and os.access(beside if beside.is_dir() else kernels, os.W_OK | os.X_OK):
        return
    folder = cache.writable_folder()
    if folder is None or not _can_be_written(folder / "kernels"):
        _keep_no_kernels(kernels)
        return
    os.environ["NUMBA_CACHE_DIR"] = str(folder / "kernels")
    if "numba" in sys.modules:  # it reads the variable when it is imported
        from numba import config

        config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"]


def _can_be_written(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def _keep_no_kernels(kernels: Path) -> None:
    """Let numba compile functions below `kernels` without keeping them; those of others are not touched."""
    from numba.core.dispatcher import Dispatcher

    if not cell_server.is_inside():  # a confined process keeps nothing, whatever the user sets
        _log.warning(
            "no folder can be written to in which compiled kernels could be kept: every process compiles them again, "
            "which takes seconds. Set $DENSECAST_CACHE to a folder."
        )
    enable = Dispatcher.enable_caching

    def unless_ours(dispatcher: Any) -> None:
        if not Path(dispatcher.py_func.__code__.co_filename).is_relative_to(kernels):
            enable(dispatcher)

    Dispatcher.enable_caching = unless_ours  # type: ignore[method-assign, assignment]


@contextlib.contextmanager
def warnings_ignored() -> Iterator[None]:
    """Suppress all warnings within the block, and in other threads during it."""
    global _warnings_inside
    with _changing:
        if _warnings_inside == 0:
            _outermost.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        _warnings_inside += 1
    try:
        yield
    finally:
        with _changing:
            _warnings_inside -= 1
            if _warnings_inside == 0:
                _outermost.close()
