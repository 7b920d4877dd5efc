"""Huge pages for the memory that an engine takes, on Linux.

The maps of a dense network are tens of megabytes each, and all of them pass through the CPU once an image. In pages of
4 KiB the CPU looks up some hundred thousand addresses an image, and in a virtual machine each look-up is two. Most
distributions give huge pages only to memory that asks for them (`madvise` in
`/sys/kernel/mm/transparent_hugepage/enabled`), and engines do not ask. Measured with OpenVINO 2026.4.1, two cores of a
virtual Xeon with AMX: 1.04 to 1.09 times faster (FCN-R50, DeepLabV3-R101, OCRNet-hr18; `benchmarks/huge_pages.py`).

Advice changes no content. Elsewhere, or where the kernel has none to give, nothing happens.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from pathlib import Path

# From Linux's <asm-generic/mman-common.h>; the second came with Linux 6.1.
_MADV_HUGEPAGE, _MADV_COLLAPSE = 14, 25
# Smaller pieces hold a page or none.
_LEAST_BYTES = 4 << 20
_MAPPINGS = Path("/proc/self/maps")
_SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")

_Range = tuple[int, int]


def setting() -> str | None:
    """`always`, `madvise` or `never`, as the kernel is set; None where it knows no huge pages."""
    try:
        words = _SETTING.read_text().split()
    except OSError:
        return None
    return next((word[1:-1] for word in words if word.startswith("[")), None)


@contextlib.contextmanager
def for_new_memory(*, written: bool = False) -> Iterator[None]:
    """What the process takes meanwhile gets huge pages: when first written to, or at once where that is past."""
    if setting() != "madvise":
        yield
        return
    before = _anonymous()
    yield
    for start, end in added(before, _anonymous()):
        if end - start >= _LEAST_BYTES:
            _advise(start, end, _MADV_HUGEPAGE)
            if written:
                _advise(start, end, _MADV_COLLAPSE)


def added(before: list[_Range], after: list[_Range]) -> list[_Range]:
    """The parts of the ranges `after` that lie in none of `before`; both sorted and without overlap."""
    new, old = [], iter(before)
    known = next(old, None)
    for start, end in after:
        while known is not None and known[1] <= start:
            known = next(old, None)
        while known is not None and known[0] < end:
            if start < known[0]:
                new.append((start, known[0]))
            start = min(known[1], end)
            if known[1] > end:
                break
            known = next(old, None)
        if start < end:
            new.append((start, end))
    return new


def _anonymous() -> list[_Range]:
    """Addresses of this process's own writable memory that is no file's, in order."""
    found = []
    for line in _MAPPINGS.read_text().splitlines():
        fields = line.split()
        if fields[1] == "rw-p" and (len(fields) == 5 or fields[5] == "[heap]"):
            start, _, end = fields[0].partition("-")
            found.append((int(start, 16), int(end, 16)))
    return found


def _advise(start: int, end: int, advice: int) -> None:
    """Refusals are of no account: the memory may be gone by now, or the kernel be older than the advice."""
    ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), advice)
