"""The result type of a graph pass, and the name suffixes that passes leave on tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

# What tensors are called after that a rewriting has turned: height and width in each other's place, up to a Transpose.
TURNED = "_on_its_side"
# And those whose channels it has put last, as rows: nothing in the network as written is laid out alike.
CHANNELS_LAST = "_channels_last"


@dataclass(frozen=True, slots=True)
class PassResult:
    """The model after a pass, whether it changed, and what was done or why nothing was."""

    model: onnx.ModelProto
    changed: bool
    notes: str
