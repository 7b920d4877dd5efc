"""Labels of a large picture by the model's own sliding windows, equal to those of the whole picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from densecast.errors import UsageError
from densecast.imaging.strips import Strips
from densecast.imaging.views import check_size
from densecast.kernels import bilinear
from densecast.kernels.label_part import label_part
from densecast.spec.augment import Augment, View
from densecast.tasks._windows import WindowMean
from densecast.verbs.large.exact import Band
from densecast.verbs.large.network import TileNetwork
from densecast.verbs.large.picture import RowWindow

_MOST_BYTES = 1 << 30


def count(network: TileNetwork, strips: Strips) -> int:
    """How many windows lie over the picture."""
    assert network.spec.slide is not None, "the spec has sliding windows"
    return len(network.spec.slide.windows(network.rule.place(strips.size_hw).model_hw))


def labels(network: TileNetwork, strips: Strips, *, scored: bool, done: Callable[[], None]) -> Iterator[Band]:
    """Yield the labels of the picture's rows, from its top, and their probability with `scored`.

    Raises:
        UsageError: a row of windows needs more memory than is sane.
        BadShapeError: the picture is smaller than the windows, which are all that the network takes.
        BadImageError: the picture is damaged.
        BadInputError: outputs that are not finite.
    """
    slide, placement = network.spec.slide, network.rule.place(strips.size_hw)
    assert slide is not None, "the spec has sliding windows"
    check_size(strips.size_hw, network.spec, Augment())
    height, _ = slide.window_hw(placement.model_hw)
    size = 4 * len(network.spec.labels) * height * placement.model_hw[1]
    if size > _MOST_BYTES:
        raise UsageError(
            f"{network.spec.name}: a row of its sliding windows needs {size >> 20} MiB of outputs. Export the network "
            "with lower windows, or without any (--slide), for exact tiles.",
            field="large",
        )
    views = [View(placement, False, 1.0, each) for each in slide.windows(placement.model_hw)]
    mean = WindowMean(views, network.spec, align_corners=network.options.align_corners)
    window = RowWindow(strips)
    for view in views:
        part = view.window
        assert part is not None, "each view is a window"
        pixels = window.rows(part.top, part.bottom)[:, part.left : part.right]
        planes = network.raw(pixels, (part.height, part.width))
        for band in mean.add({network.spec.output.name: planes}):
            decided = network.decided(band.planes)
            taps = bilinear.unchanged((decided.shape[1], decided.shape[2])).late
            yield label_part(np.ascontiguousarray(decided), taps.rows, taps.cols, scored=scored)
        done()
