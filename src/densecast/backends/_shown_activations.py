"""How much memory the activations of an OpenVINO model may take that are made outputs, as calibrations do."""

from __future__ import annotations

import math
from typing import Any

from densecast.io import system

# Of one image the activations that are shown take at most such a share of memory, but may take so much anywhere. Where
# there are more, as of large images, the images run again for each part of them. The engine holds each three times.
_SHARE_OF_MEMORY, _LEAST_OF_IMAGE = 12, 1 << 30


def most_bytes_shown() -> int:
    """How much the activations of one image that are shown at a time may take on this machine."""
    return max((system.memory_bytes() or 0) // _SHARE_OF_MEMORY, _LEAST_OF_IMAGE)


def least_bytes(output: Any) -> int:
    """The bytes of an output in float32; sides that are open count with their least length."""
    return 4 * math.prod(int(axis.get_min_length()) for axis in output.get_partial_shape())
