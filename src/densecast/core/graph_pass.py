"""What a graph pass returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, slots=True)
class PassResult:
    """The model after a pass, whether it changed, and what was done or why nothing was."""

    model: onnx.ModelProto
    changed: bool
    notes: str
