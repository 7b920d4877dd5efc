"""Warms up numba and OpenCV in a background thread.

The first call of any compiled kernel in a process sets numba's compiler up, even if the kernel itself comes from the
cache on disk: a third of a second in Python, in which an engine can load its model.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import threading
from collections.abc import Iterator

import numpy as np

_LOG = logging.getLogger(__name__)


@contextlib.contextmanager
def jit_warming_up() -> Iterator[None]:
    """Call the first kernel in a thread during the block; the end of the block waits for it."""
    thread = threading.Thread(target=_quietly, name="densecast jit_warming_up")
    thread.start()
    try:
        yield
    finally:
        thread.join()


def _quietly() -> None:
    """What fails here fails again where a kernel is needed, and is told by whoever called for it."""
    try:
        _first_call()
    except Exception:  # imports and compilers raise whatever stands in their way
        _LOG.debug("warming up failed", exc_info=True)


def _first_call() -> None:
    from densecast.runtime import late_imports

    late_imports.numba()
    from densecast.kernels import normalise

    late_imports.numba_array_functions()
    importlib.import_module("cv2")  # the first image is read with it

    pixel, zero, one = np.zeros((1, 1, 3), np.uint8), np.zeros(3, np.float32), np.ones(3, np.float32)
    normalise.to_normalised_planes(pixel, zero, one, False, np.empty((3, 1, 1), np.float32), 1.0)
