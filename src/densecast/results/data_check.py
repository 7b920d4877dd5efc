"""What a check of a data set found: counts, classes, problems and remarks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from densecast.results.json_result import FORMAT, JsonResult

Kind = Literal[
    "layout",
    "missing target",
    "missing picture",
    "unreadable",
    "size",
    "values",
    "frames",
    "duplicate",
    "leak",
    "0 and 255",
    "not evaluated",
    "one class",
    "absent class",
    "people",
]


@dataclass(frozen=True, slots=True)
class DataProblem:
    """A problem of one kind, in words, with the files that have it."""

    kind: Kind
    text: str
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class ClassCount:
    """In how many pixels and pictures a class is; `index` is the model's, or the value in the masks without a model."""

    index: int
    name: str
    pixels: int
    images: int
    colour: tuple[int, int, int] = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class DataCheckResult(JsonResult):
    """A data set as it was found.

    `layout` says in words how it was understood. `counts` are numbers of pictures, targets, pairs and what else the
    task counts, `splits` the pictures of each. `pixels` are all that masks hold, `ignored` those that are not
    evaluated, `foreign` those of each value that is no class. `frames` counts how masks of pictures with an orientation
    tag lie. `problems` make the check fail, `remarks` do not.
    """

    root: Path
    dataset: str
    layout: str
    counts: Mapping[str, int]
    splits: Mapping[str, int]
    classes: tuple[ClassCount, ...]
    pixels: int
    ignored: int
    foreign: Mapping[int, int]
    frames: Mapping[str, int]
    problems: tuple[DataProblem, ...]
    remarks: tuple[str, ...]
    model: str | None = None
    sheet: Path | None = None
    format: int = field(default=FORMAT)

    @property
    def is_sound(self) -> bool:
        """Whether no problem was found."""
        return not self.problems

    def plain(self) -> dict[str, Any]:
        """All fields, with the shares of pixels, `sound`, and files as text."""
        whole = max(1, self.pixels)
        return {
            "format": self.format,
            "sound": self.is_sound,
            "root": str(self.root),
            "dataset": self.dataset,
            "layout": self.layout,
            "model": self.model,
            "counts": dict(self.counts),
            "splits": dict(self.splits),
            "classes": [
                {
                    "index": each.index,
                    "name": each.name,
                    "pixels": each.pixels,
                    "share": each.pixels / whole,
                    "images": each.images,
                }
                for each in self.classes
            ],
            "ignored": {"pixels": self.ignored, "share": self.ignored / whole},
            "foreign": {
                str(value): {"pixels": pixels, "share": pixels / whole} for value, pixels in self.foreign.items()
            },
            "frames": dict(self.frames),
            "problems": [
                {"kind": each.kind, "text": each.text, "files": [str(path) for path in each.files]}
                for each in self.problems
            ],
            "remarks": list(self.remarks),
            "sheet": None if self.sheet is None else str(self.sheet),
        }
