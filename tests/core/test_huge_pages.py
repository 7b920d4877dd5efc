"""Which memory is new, and that asking for huge pages marks just that and changes nothing in it."""

from __future__ import annotations

import mmap
import re
from pathlib import Path

import numpy as np
import pytest

from densecast.core import huge_pages
from densecast.core.huge_pages import added

CASES: dict[str, tuple[list[tuple[int, int]], list[tuple[int, int]], list[tuple[int, int]]]] = {
    "nothing before": ([], [(2, 5)], [(2, 5)]),
    "nothing new": ([(2, 5)], [(2, 5)], []),
    "one more": ([(2, 5)], [(2, 5), (7, 9)], [(7, 9)]),
    "grown above": ([(2, 5)], [(2, 8)], [(5, 8)]),
    "grown below": ([(2, 5)], [(0, 5)], [(0, 2)]),
    "grown around two": ([(2, 3), (5, 6)], [(1, 9)], [(1, 2), (3, 5), (6, 9)]),
    "shrunk": ([(2, 8)], [(4, 6)], []),
    "split": ([(2, 8)], [(2, 3), (5, 8)], []),
    "gone": ([(2, 5), (7, 9)], [(7, 9)], []),
    "overlapping one end": ([(2, 5)], [(4, 9)], [(5, 9)]),
    "one old range in two new ones": ([(3, 8)], [(1, 4), (6, 10)], [(1, 3), (8, 10)]),
}


@pytest.mark.parametrize("name", CASES)
def test_new_is_what_was_in_no_range_before(name: str) -> None:
    before, after, wanted = CASES[name]
    assert added(before, after) == wanted


def test_new_addresses_are_a_difference_of_sets() -> None:
    rng = np.random.default_rng(0)

    def ranges() -> list[tuple[int, int]]:
        ends = np.sort(rng.choice(60, 2 * int(rng.integers(0, 8)), replace=False))
        return [(int(start), int(end)) for start, end in ends.reshape(-1, 2)]

    def addresses(found: list[tuple[int, int]]) -> set[int]:
        return {address for start, end in found for address in range(start, end)}

    for _ in range(300):
        before, after = ranges(), ranges()
        new = added(before, after)
        assert addresses(new) == addresses(after) - addresses(before)
        assert sum(end - start for start, end in new) == len(addresses(new))


@pytest.mark.parametrize(
    ("text", "wanted"), [("always [madvise] never\n", "madvise"), ("always madvise [never]\n", "never"), ("?\n", None)]
)
def test_the_setting_is_the_word_in_brackets(
    text: str, wanted: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "enabled").write_text(text)
    monkeypatch.setattr(huge_pages, "_SETTING", tmp_path / "enabled")
    assert huge_pages.setting() == wanted
    monkeypatch.setattr(huge_pages, "_SETTING", tmp_path / "absent")
    assert huge_pages.setting() is None


@pytest.mark.parametrize("setting", ["always", "never", None])
def test_memory_is_not_looked_at_where_advice_would_change_nothing(
    setting: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huge_pages, "setting", lambda: setting)
    monkeypatch.setattr(huge_pages, "_MAPPINGS", tmp_path / "absent")
    with huge_pages.for_new_memory():
        pass


@pytest.mark.skipif(huge_pages.setting() != "madvise", reason="this kernel gives huge pages unasked, or none")
def test_only_memory_taken_meanwhile_is_marked_and_its_content_stays() -> None:
    old = private(32 << 20)
    with huge_pages.for_new_memory():
        waiting = private(32 << 20)
    with huge_pages.for_new_memory(written=True):
        written = private(32 << 20)
        written[:] = b"\x05" * len(written)
    assert not is_marked(old) and is_marked(waiting) and is_marked(written)
    assert waiting[:] == bytes(len(waiting)) and written[:] == b"\x05" * len(written)


def private(size_bytes: int) -> mmap.mmap:
    """Memory of its own, as an allocator takes it."""
    return mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def is_marked(memory: mmap.mmap) -> bool:
    """Whether the middle of `memory` lies in a mapping that the kernel was advised to give huge pages."""
    address = np.frombuffer(memory, np.uint8).ctypes.data + len(memory) // 2
    holds = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if bounds := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            holds = int(bounds[1], 16) <= address < int(bounds[2], 16)
        elif holds and line.startswith("VmFlags:"):
            return "hg" in line.split()
    return False
