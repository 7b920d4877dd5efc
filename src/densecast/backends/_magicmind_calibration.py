"""Wraps calibration images in the iterator interface that MagicMind's calibrator expects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from densecast.spec.tensor import Feeds, TensorSpec


def calibration_data(mm: Any, feeds: Sequence[Feeds], spec: TensorSpec) -> Any:
    """A `CalibDataInterface` over `feeds`, in whole batches of the network's size.

    The class is made here, because its base is MagicMind's. A short last batch begins again from the first image.
    """
    shape = [int(size) for size in spec.shape if isinstance(size, int)]
    batch = shape[0]
    batches = -(-len(feeds) // batch)

    class CalibrationData(mm.CalibDataInterface):  # type: ignore[misc]  # the vendor's package has no types
        """Iterator over calibration batches; starts before the first one, `next` advances."""

        def __init__(self) -> None:
            super().__init__()
            self._place = -1

        def get_shape(self) -> Any:
            return mm.Dims(shape)

        def get_data_type(self) -> Any:
            return mm.DataType.UINT8 if spec.dtype == "uint8" else mm.DataType.FLOAT32

        def get_sample(self) -> Any:
            places = [(self._place * batch + row) % len(feeds) for row in range(batch)]
            # One image of `feeds` fills a whole batch of the network.
            return np.ascontiguousarray(np.concatenate([feeds[place][spec.name][:1] for place in places]))

        def next(self) -> Any:
            self._place += 1
            if self._place >= batches:
                return mm.Status(mm.Code.OUT_OF_RANGE, "no more calibration images")
            return mm.Status.OK()

        def reset(self) -> Any:
            self._place = -1
            return mm.Status.OK()

    return CalibrationData()
