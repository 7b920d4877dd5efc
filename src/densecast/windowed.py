"""Runs a session over the sliding windows of an image, a batch at a time, and puts the prediction together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from densecast.errors import BadArtifactError
from densecast.runtime.batching import batches
from densecast.runtime.clock import Clock, summed
from densecast.session import Session, Slot
from densecast.spec.geometry import Placement
from densecast.spec.model import Frame, ModelSpec
from densecast.spec.tensor import Dim, Feeds
from densecast.tasks._base import Joiner, JoinsWindows

if TYPE_CHECKING:
    # It brings numba, for which there is time while the engine loads its model.
    from densecast.imaging.views import ModelInputs

# Where a network takes any batch, so many windows run at a time: more need more memory and are no faster on CPUs.
_AT_ONCE = 4
Image = npt.NDArray[np.uint8]
Source = TypeVar("Source")


@dataclass(frozen=True, slots=True)
class Predicted(Generic[Source]):
    """An image of a stream with its prediction; `placement` is its placement in the network's input."""

    source: Source
    image: Image
    placement: Placement
    prediction: Any


def predict_all(
    session: Session,
    task: object,
    images: Sequence[ModelInputs],
    slot: Slot,
    frame: Frame,
    scores: bool,
    clock: Clock,
    at_once: int | None = None,
) -> list[Any]:
    """`predict` of several images, one after another."""
    return [predict(session, task, each, slot, frame, scores, clock, at_once) for each in images]


def predict(
    session: Session,
    task: object,
    inputs: ModelInputs,
    slot: Slot,
    frame: Frame,
    scores: bool,
    clock: Clock,
    at_once: int | None = None,
) -> Any:
    """The prediction of one image; windows are prepared, inferred and averaged in turns, `at_once` at a time.

    Each stage is one sample of the clock, the sum over all windows.
    """
    joiner = _joiner(task, session.spec, inputs, frame, scores)
    with summed(clock) as part:
        for numbers, feeds in batches_of(session, inputs, slot, part, at_once):
            with part("infer"):
                outputs_by_name = slot.run(feeds)
            with part("postprocess"):
                for row in range(len(numbers)):
                    joiner.add({name: array[row] for name, array in outputs_by_name.items()})
        with part("postprocess"):
            return joiner.prediction()


def join(
    outputs: Sequence[Feeds], task: object, spec: ModelSpec, inputs: ModelInputs, frame: Frame, *, scores: bool
) -> Any:
    """The prediction from the outputs of all windows."""
    joiner = _joiner(task, spec, inputs, frame, scores)
    for each in outputs:
        joiner.add(each)
    return joiner.prediction()


def batches_of(
    session: Session, inputs: ModelInputs, slot: Slot, clock: Clock, at_once: int | None = None
) -> Iterator[tuple[list[int], Feeds]]:
    """Yield the numbers of windows that run together, in order, and their batch, in arrays that are used again.

    Of inputs without windows it is the numbers of views.
    """
    from densecast.imaging.windows import WindowFeeds

    windows, tensor = inputs.feeds, session.spec.input
    if not isinstance(windows, WindowFeeds):
        yield from batches(windows, session.spec.inputs, session.batch_sizes, slot.buffers)
        return
    most = at_once or windows_at_once(session)
    begin = 0
    while begin < len(windows):
        end, shape = begin + 1, windows.shape(begin)
        while end < min(begin + most, len(windows)) and windows.shape(end) == shape:
            end += 1
        slot.buffers.turn()
        with clock("preprocess"):
            rows = slot.buffers.empty((end - begin, *shape), tensor.dtype)
            for row, number in zip(rows, range(begin, end), strict=True):
                windows.fill(number, row)
        items = [{tensor.name: row} for row in rows]
        for numbers, feeds in batches(items, session.spec.inputs, session.batch_sizes, slot.buffers):
            yield [begin + number for number in numbers], feeds
        begin = end


def windows_at_once(session: Session) -> int:
    """How many windows run in one inference: as many as the largest batch that was built, or a few of an open one."""
    if session.batch_sizes is None and isinstance(batch := session.spec.input.shape[0], Dim):
        return min(batch.max, max(batch.min, _AT_ONCE))
    return session.largest_batch


def _joiner(task: object, spec: ModelSpec, inputs: ModelInputs, frame: Frame, scores: bool) -> Joiner[Any]:
    if not isinstance(task, JoinsWindows):
        raise BadArtifactError(f"{spec.name}: predictions of {spec.task} cannot be put together from sliding windows.")
    joiner: Joiner[Any] = task.joiner(inputs.views, spec, frame, scores=scores)
    return joiner
