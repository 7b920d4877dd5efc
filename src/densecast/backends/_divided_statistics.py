"""Statistics of single calibration images, collected by other processes, and merged as if one had seen them all."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from densecast.backends._divided import Divided
from densecast.backends._value_statistics import ChannelMeans, ValueStatistics
from densecast.errors import BadGraphError
from densecast.runtime.machine import usable_cpus
from densecast.spec.tensor import Array, Feeds

SETTINGS = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
"""How a model runs whose tensors are looked at."""


@dataclass(frozen=True)
class Taker:
    """Who takes in some of the model's outputs, by their numbers: `add` is the name of the method that does.

    `layer` is whose values they are, for errors.
    """

    outputs: tuple[int, ...]
    statistics: ValueStatistics | ChannelMeans
    add: str = "add"
    layer: str = ""

    def take(self, values: Sequence[Array]) -> None:
        """Take in what one image has led to; of what is no number the extremes alone, which tell it."""
        taken: list[Any] = [values[number] for number in self.outputs]
        held = self.statistics
        if isinstance(held, ValueStatistics) and self.add == "add":
            found = held.extremes(taken[0])
            ends = held.widen(found)
            if found.are_finite:
                held.merge(held.counts(taken[0], ends))
        else:
            getattr(held, self.add)(*taken)


@dataclass(frozen=True)
class StatisticsWork:
    """What is computed of one image elsewhere: the model, whose outputs show what is wanted, and empty statistics."""

    model: Path
    takers: tuple[Taker, ...]

    def open(self, threads: int | None) -> Callable[[Feeds], bytes]:
        """Compile the model here; the function gives the statistics of one image as a file of arrays."""
        from densecast.backends import _openvino_model

        ov = _openvino_model.imported()
        settings: dict[str, Any] = {**SETTINGS, **({"INFERENCE_NUM_THREADS": threads} if threads else {})}
        request = ov.Core().compile_model(self.model, "CPU", settings).create_infer_request()
        pool = ThreadPoolExecutor(threads or usable_cpus())

        def statistics_of(feeds: Feeds) -> bytes:
            request.infer(feeds, share_inputs=True, share_outputs=True)
            values = [request.get_output_tensor(number).data for number in range(len(request.model_outputs))]
            # Empty ones anew for each image: what comes back is its own.
            takers = copy.deepcopy(self.takers)
            for done in [pool.submit(taker.take, values) for taker in takers]:
                done.result()
            return _packed([taker.statistics.parts() for taker in takers])

        return statistics_of


def collect_elsewhere(calibration: Divided, model: Any, takers: Sequence[Taker], before: int = 0) -> None:
    """Have the statistics of each image collected where `calibration` says, and merge them in the images' order.

    Each of them keeps what it was told image by image, so that nothing depends on who collected which. `before` is the
    number of images that came before, for errors.

    Raises:
        BadGraphError: a layer gives values that are no numbers.
    """
    import openvino as ov

    def written(folder: Path) -> StatisticsWork:
        ov.serialize(model, folder / "statistics.xml")
        empty = [replace(taker, statistics=taker.statistics.empty()) for taker in takers]
        return StatisticsWork(folder / "statistics.xml", tuple(empty))

    for number, answer in enumerate(calibration.each(written), before):
        for taker, parts in zip(takers, _unpacked(answer), strict=True):
            if not all(np.isfinite(held).all() for held in parts.values()):
                layer = f"layer {taker.layer!r}" if taker.layer else "a layer"
                raise BadGraphError(
                    f"{layer} gives values that are not finite on calibration image {number + 1}, in float32 as well: "
                    "its weights are broken, or it is made for images of another normalisation."
                )
            taker.statistics.extend(parts)


def _packed(parts: Sequence[dict[str, Array]]) -> bytes:
    arrays: dict[str, Any] = {
        f"{number}.{name}": held for number, each in enumerate(parts) for name, held in each.items()
    }
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def _unpacked(data: bytes) -> list[dict[str, Array]]:
    found: dict[int, dict[str, Array]] = {}
    with np.load(io.BytesIO(data), allow_pickle=False) as held:
        for key in held.files:
            number, _, name = key.partition(".")
            found.setdefault(int(number), {})[name] = held[key]
    return [found[number] for number in range(len(found))]
