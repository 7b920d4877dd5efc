"""Refuses `fold` (col2im) of an open size, of which torch's newer exporter takes minutes and an engine may crash."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

_NAME, _OPSET = "aten::col2im", 18


class OpenFoldError(Exception):
    """The network folds columns to a map whose size follows that of the image."""


@contextlib.contextmanager
def refused(*, is_open: bool) -> Iterator[None]:
    """Within, the tracing exporter writes `fold`, and raises of one where heights and widths are open.

    ONNX Runtime does not check that the columns fill the map, as torch does: of an image whose sides are not multiples
    of the patches it reads and writes beyond them.

    Raises:
        OpenFoldError: in the exporter.
    """
    import torch.onnx

    exporter: Any = torch.onnx  # its stubs leave half of this out

    def col2im(
        g: Any,
        input: Any,
        output_size: Any,
        kernel_size: Any,
        dilation: Sequence[int],
        padding: Sequence[int],
        stride: Sequence[int],
    ) -> Any:
        if is_open and output_size.node().kind() != "onnx::Constant":
            raise OpenFoldError("it folds columns (fold, col2im) to maps whose size is that of the image")
        # Of ONNX the paddings at all beginnings come first, then those at all ends.
        sides = {"dilations_i": list(dilation), "pads_i": [*padding, *padding], "strides_i": list(stride)}
        return g.op("Col2Im", input, output_size, kernel_size, **sides)

    parsed = exporter.symbolic_helper.parse_args("v", "v", "v", "is", "is", "is")
    exporter.register_custom_op_symbolic(_NAME, parsed(col2im), _OPSET)
    try:
        yield
    finally:
        exporter.unregister_custom_op_symbolic(_NAME, _OPSET)
