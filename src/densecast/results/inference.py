"""Inference results: which prediction file belongs to which image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from densecast.results._base import FORMAT, JsonResult, ModelRecord


@dataclass(frozen=True, slots=True)
class InferredImage:
    """An image file and the file that its prediction was written to."""

    image: Path
    file: Path


@dataclass(frozen=True, slots=True)
class InferResult(JsonResult):
    """All images in order with their files, and the model that made them."""

    results: tuple[InferredImage, ...]
    model: ModelRecord
    format: int = FORMAT

    def plain(self) -> dict[str, Any]:
        """`results`, and `precision` as it was asked for and as it ran."""
        precision = self.model.precision
        return {
            "format": self.format,
            "results": [{"image": str(each.image), "file": str(each.file)} for each in self.results],
            "precision": {"asked": precision.asked, "ran": str(precision.ran)},
        }
