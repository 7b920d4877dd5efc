"""Where a training configuration keeps its data: folders, lists and endings below a root, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class SplitFolders:
    """One split: folders of pictures and masks below the root, and the list of its pictures, if it has one."""

    split: Literal["train", "val"]
    images: str
    masks: str
    names: str | None = None


@dataclass(frozen=True, slots=True)
class DataLayout:
    """Folders of pictures and masks as somebody's configuration names them.

    `suffix` and `image_suffix` are what the names of masks and pictures have after what they share, the former with its
    file type: `_seg.png`. With `reduce_zero_label` masks count classes from 1, and 0 is not evaluated.
    """

    splits: tuple[SplitFolders, ...]
    suffix: str = ".png"
    image_suffix: str = ""
    reduce_zero_label: bool | None = None
