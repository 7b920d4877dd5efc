"""Makes a network's adaptive pooling one that a graph of open sizes can hold, while the network is exported."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_LOCK = threading.Lock()


@contextlib.contextmanager
def replaced(*, is_open: bool) -> Iterator[None]:
    """Within, `adaptive_avg_pool2d` is two matrix products, of which exporters can count the bins of any image.

    Torch's own is written only for sizes that are fixed multiples of the bins, else for one size as a gather of every
    bin. It stays where it can be: for one value of the whole map, and for such fixed sizes (not `is_open`). A script's
    own operators are not reached, and other threads keep torch's own.
    """
    import torch
    from torch.nn import functional

    own: Any = functional.adaptive_avg_pool2d
    exporting = threading.get_ident()

    def pooled(input: Tensor, output_size: Any) -> Any:
        """(N, C, H, W) or (C, H, W) -> the means of its bins."""
        from densecast.networks._pooling import bin_weights

        sides = list(output_size) if isinstance(output_size, Sequence) else [output_size, output_size]
        if threading.get_ident() != exporting or all(side == 1 for side in sides):
            return own(input, output_size)
        if not all(isinstance(side, int) or side is None for side in sides):
            return own(input, output_size)
        fixed = not is_open and all(
            side is None or int(size) % side == 0 for size, side in zip(input.shape[-2:], sides, strict=True)
        )
        if fixed:
            return own(input, output_size)
        result = input
        if sides[0] is not None:
            result = torch.matmul(bin_weights(input.shape[-2], sides[0], input), result)
        if sides[1] is not None:
            result = torch.matmul(result, bin_weights(input.shape[-1], sides[1], input).transpose(0, 1))
        return result

    with _LOCK:
        functional.adaptive_avg_pool2d = pooled
        try:
            yield
        finally:
            functional.adaptive_avg_pool2d = own
