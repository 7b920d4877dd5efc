"""Pairs pictures and masks whose names differ only in what all pictures, and all masks, have before and after.

`img_01.png` and `lab_01.png`, `x_rgb.jpg` and `x_seg.png`, nnU-Net's `case_0000.png` and `case.png`, `IMG_1.JPG` and
`img_1.png`, `0001.jpg` and `1.png`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from densecast.datasets import _names
from densecast.datasets.pairs._folders import Part

# With fewer, what all have in common may be all there is.
_FEWEST = 3


def match(part: Part, images: list[Path], masks: list[Path]) -> tuple[dict[Path, Path], str]:
    """The mask of every picture, and the rule in words; nothing unless it pairs all of both, one to one."""
    if len(images) != len(masks) or len(images) < _FEWEST:
        return {}, "masks are named otherwise than their pictures"
    of_images, told_images = _keys(images, part.images)
    of_masks, told_masks = _keys(masks, part.masks)
    if len(of_images) != len(images) or of_images.keys() != of_masks.keys():
        return {}, "masks are named otherwise than their pictures"
    found = {path: of_masks[key] for key, path in of_images.items()}
    return found, f"pictures are named {told_images} and masks {told_masks}, with the same in the middle"


def _keys(paths: list[Path], root: Path) -> tuple[dict[tuple[str, str], Path], str]:
    """The files by folder and by what their stems do not have in common; and in words what they have."""
    stems = {path: _names.nfc(path.stem).casefold() for path in paths}
    before, after = _common(stems.values())
    keys: dict[tuple[str, str], Path] = {}
    for path, stem in stems.items():
        middle = stem[len(before) : len(stem) - len(after)]
        middle = str(int(middle)) if middle.isdecimal() else middle
        keys[path.parent.relative_to(root).as_posix(), middle] = path
    return keys, f"{before}…{after}"


def _common(stems: Iterable[str]) -> tuple[str, str]:
    """What all stems begin and end with; numbers are not cut."""
    listed = list(stems)
    before = re.sub(r"\d+$", "", _beginning(listed))
    after = _beginning([stem[len(before) :][::-1] for stem in listed])[::-1]
    # A number that goes on before what is common belongs to the middle.
    while after[:1].isdecimal():
        after = after[1:]
    return before, after


def _beginning(texts: list[str]) -> str:
    """The characters that all texts begin with."""
    shortest, longest = min(texts), max(texts)
    same = next((place for place, letter in enumerate(shortest) if letter != longest[place]), len(shortest))
    return shortest[:same]
