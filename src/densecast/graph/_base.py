"""The result type of a graph pass, and the name suffixes that passes leave on tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

# Suffix of tensors whose height and width a pass has transposed, up to a Transpose node.
TRANSPOSED = "_on_its_side"
# Suffix of tensors that a pass has put into channels-last layout, as rows; no tensor of the original has this layout.
CHANNELS_LAST = "_channels_last"


@dataclass(frozen=True, slots=True)
class PassResult:
    """The model after a pass, whether it changed, and a note on what was done or why nothing was."""

    model: onnx.ModelProto
    changed: bool
    notes: str
