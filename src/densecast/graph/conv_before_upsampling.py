"""Move a 1x1 convolution before the upsampling whose result it reads: the two commute.

    x -> Resize -> Conv 1x1        becomes        x -> Conv 1x1 -> Resize

An interpolated pixel is a weighted mean of pixels with weights that sum to one, the same for every channel; a 1x1
convolution mixes channels, the same for every pixel. Exact in real arithmetic, bias included. The convolution then
has a quarter of the pixels or fewer, and the enlargement no more channels than before.

Measured with OpenVINO 2026.4.1 in processor time on one thread: UNet-S5 at 1024 x 2048, with four such pairs, takes
1.12 times less in bfloat16.
"""

from __future__ import annotations

import onnx

from densecast.graph import _conv, _enlarged, _tensors
from densecast.graph._base import PassResult
from densecast.graph._edit import Edit, shapes


def apply(model: onnx.ModelProto) -> PassResult:
    """Swap each such pair if nothing else reads the upsampled map and the convolution adds no channels."""
    constants, sizes = _tensors.constants(model.graph), shapes(model)
    made_by = _tensors.producers(model.graph)
    readers = _tensors.reader_counts(model.graph)
    edit, moved, reasons = Edit(model), 0, dict[str, int]()
    for node in model.graph.node:
        conv = _conv.read(node, constants)
        resize = made_by.get(node.input[0]) if conv is not None and conv.is_pointwise else None
        if conv is None or resize is None or resize.op_type != "Resize":
            continue
        scales = _enlarged.factors(resize, constants, sizes)
        if readers[node.input[0]] > 1:
            reason = "others read the enlarged map"
        elif conv.weights.shape[0] > conv.weights.shape[1]:
            reason = "the convolution adds channels"
        elif not _enlarged.keeps_to_the_map(resize):
            reason = "pixels are taken from outside the map"
        elif scales is None:
            reason = "the factor is not known to be fixed"
        elif min(scales) < 1 or max(scales) == 1:
            reason = "the map is not enlarged"
        else:
            first, small = onnx.NodeProto(), edit.name(f"{node.output[0]}_small")
            first.CopyFrom(node)
            first.input[0], first.output[0] = resize.input[0], small
            edit.replace(node, [first, _enlarged.again(edit, resize, small, node.output[0], scales)])
            moved += 1
            continue
        reasons[reason] = reasons.get(reason, 0) + 1
    if not moved:
        summary = ", ".join(f"{reason} ({count})" for reason, count in reasons.items())
        return PassResult(model, False, summary or "no 1x1 convolution reads an enlarged map")
    return PassResult(edit.done(), True, f"{moved} 1x1 convolutions moved before the enlargement they read")
